"""Commands that compute cells on a Slurm cluster."""
