"""Ways to start DVC for a cell: as a new process, or forked from one with imported libraries."""
