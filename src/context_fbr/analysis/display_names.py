"""Names of models in tables and figures."""

NAMES = {
    "unet": "UNet",
    "attention_unet": "Attention-UNet",
    "unetr": "UNETR",
    "unet_instance": "UNet, instance norm",
    "attention_unet_batch": "Attention-UNet, batch norm",
    "unetr_batch": "UNETR, batch norm",
    "attention_unet_modern": "Attention-UNet, modern recipe",
    "unet_core16": "UNet, core 16",
    "unet_core32": "UNet, core 32",
    "attention_unet_batch_core16": "Attention-UNet, batch norm, core 16",
    "unet_equal_voxels": "UNet, equal voxels",
    "unet_published_recipe": "UNet, published recipe",
    "per_voxel": "per-voxel network",
    "receptive_field_7": "receptive field 7",
    "everything": "everything foreground",
    "threshold": "intensity threshold",
}


def name_of(model: str) -> str:
    """The usual name of a network or baseline; a network of the user's keeps its key."""
    return NAMES.get(model, model)
