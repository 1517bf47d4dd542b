"""Timings of this project's parts against the way of the original study, in pairs."""
