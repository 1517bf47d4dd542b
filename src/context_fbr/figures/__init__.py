"""Figures: data frames in, PNG out; each file is named after the PNG it draws."""
