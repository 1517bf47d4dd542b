"""Parts of a training that params.yaml chooses: loss, optimizer with its learning rates, augmentation."""
