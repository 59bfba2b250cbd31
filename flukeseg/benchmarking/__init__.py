"""Speed and quality of every part, measured by `python -m flukeseg.benchmark`."""
