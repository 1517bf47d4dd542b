"""From raw volumes to volumes that networks are trained and tested on, and back."""
