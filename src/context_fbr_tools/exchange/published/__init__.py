"""The published results: their files, and what they say by the methods of this study."""
