"""The study's figures: data frames in, PNG bytes out; the same frame gives the same bytes."""
