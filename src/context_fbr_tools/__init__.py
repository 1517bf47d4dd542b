"""Everything around the study: command line, local grid, Slurm, comparison of commits, checks, W&B.

No stage imports this package, so a change here never changes dvc.lock.
"""
