"""How 3D segmentation networks behave between context and foreground ratio: a data-versioned study."""
