"""Commands that show, compare and publish results."""
