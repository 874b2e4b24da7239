"""Training: the skorch nets, checkpoints, seeds, threads and processes."""
