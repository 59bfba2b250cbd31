"""Layers of networks, and layers that take the place of slow or faulty ones."""
