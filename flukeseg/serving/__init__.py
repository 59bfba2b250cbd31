"""Masks over HTTP for other programs, and the server that the review page stands on too."""
