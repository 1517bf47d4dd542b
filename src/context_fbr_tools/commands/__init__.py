"""The commands of `context-fbr`: a file each, in the folder of its group in the help; see cli.py."""
