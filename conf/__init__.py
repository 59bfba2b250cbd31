"""Every option and its default; in a wheel this folder is `flukeseg.conf`."""
