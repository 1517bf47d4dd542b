"""Data sets in the layout of the Medical Segmentation Decathlon: bring, unpack, verify."""
