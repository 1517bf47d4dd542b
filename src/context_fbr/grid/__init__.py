"""Many cells at once."""
