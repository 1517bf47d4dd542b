"""An archive of a data set, from a file or a URL to a checked folder."""
