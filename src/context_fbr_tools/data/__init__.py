"""Commands about data sets: verify one, and write a task for it."""
