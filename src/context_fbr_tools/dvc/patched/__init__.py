"""DVC with three of its functions replaced: less work for many stages, and patience with other processes."""
