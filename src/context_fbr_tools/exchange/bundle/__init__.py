"""MONAI bundles of trained cells: configurations, weights, metadata and a model card."""
