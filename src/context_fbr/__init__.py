"""A data-versioned study of 3D segmentation networks: context against foreground ratio."""
