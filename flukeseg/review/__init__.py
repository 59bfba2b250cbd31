"""Masks looked at, corrected and learnt from in a page of the browser."""
