"""Names of models in tables and figures."""

NAMES = {
    "unet": "UNet",
    "attention_unet": "Attention-UNet",
    "unetr": "UNETR",
    "unet_instance": "UNet, instance norm",
    "attention_unet_batch": "Attention-UNet, batch norm",
    "unetr_batch": "UNETR, batch norm",
    "attention_unet_modern": "Attention-UNet, modern recipe",
    "everything": "everything foreground",
    "threshold": "intensity threshold",
}


def name_of(model: str) -> str:
    """The usual name of a network or baseline; a network of the user's keeps its key."""
    return NAMES.get(model, model)
