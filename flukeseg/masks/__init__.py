"""Probabilities -> clean masks, what is made of them, and how good they are."""
