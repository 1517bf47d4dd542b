"""Raw data: generated spheres, and data sets in the layout of the Medical Segmentation Decathlon."""
