"""Settings of preprocessing and of the split, `tasks.<task>.prepare`."""
