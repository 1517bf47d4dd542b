"""Start, stop and resumption of a stage, and the provenance of its result."""
