"""Forecast of what a study will cost on this machine, from measured parts of its cells."""
