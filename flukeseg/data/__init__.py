"""From files on disk, or from the renderer, to batches."""
