"""Source of a task's data: `tasks.<task>.raw`."""
