"""Tables of results beside the summary, one file each."""
