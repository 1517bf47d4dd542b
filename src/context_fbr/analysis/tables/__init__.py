"""Tables of results other than the summary, one file each."""
