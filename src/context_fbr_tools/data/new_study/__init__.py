"""A study of your own: a folder with the pipeline, the code that it runs, and one task."""
