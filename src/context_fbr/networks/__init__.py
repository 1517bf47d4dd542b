"""Networks by MONAI class name, the devices and precisions they run on, sliding-window inference."""
