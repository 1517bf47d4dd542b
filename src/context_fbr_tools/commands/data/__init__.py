"""Commands about images: data sets, tasks and predictions."""
