"""Where the time goes: measured by `python -m flukeseg.benchmark`."""
