"""Probabilities -> clean masks, their boxes, drawings, annotations and metrics."""
