"""How good the masks of many photos are: pairing, judging, statistics, report."""
