"""Look at a data set in MSD layout and propose its block of params.yaml."""
