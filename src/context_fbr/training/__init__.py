"""Training of one cell: sampling, loss, loop, checkpoints."""
