"""Checks of this machine and this checkout."""
