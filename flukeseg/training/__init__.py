"""What a training run needs around it: callbacks, loggers, run folders, provenance."""
