"""Jobs of a sweep, pruning, and the table and pictures of it."""
