"""Cells side by side on this machine."""
