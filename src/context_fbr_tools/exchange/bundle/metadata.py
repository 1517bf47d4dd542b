"""metadata.json of a bundle, by MONAI's specification."""

from importlib.metadata import version
from typing import Any

from context_fbr.analysis.display_names import name_of
from context_fbr.core.patch_size import PatchSize, edges_of
from context_fbr.training.weights import Training

SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
)
IGNITE = "0.4.11"
"""Version of pytorch-ignite that MONAI asks for at least."""


def metadata(training: Training, window: PatchSize, data: dict[str, Any], revision: str) -> dict[str, Any]:
    """Return the content of metadata.json.

    Args:
        training: of the cell.
        window: size of the inference window in voxels.
        data: name, description, reference and licence of the data set, as in dataset.json.
        revision: commit of the results.
    """
    cell, preparation = training.cell, training.recipe.preparation
    structures = preparation.names or ("foreground",)
    modality = ", ".join(training.recipe.modality) or "unknown"
    return {
        "schema": SCHEMA,
        "version": "0.1.0",
        "changelog": {"0.1.0": f"cell {cell.key} of commit {revision}"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch").partition("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {
            "nibabel": version("nibabel"),
            "pytorch-ignite": IGNITE,
            **({"einops": version("einops")} if training.network["network"] == "UNETR" else {}),
        },
        "name": cell.key,
        "task": f"Segmentation of {', '.join(structures)} ({data['name']})",
        "description": (
            f"{name_of(cell.model)}, trained on patches of {cell.patch_size} voxels with seed {cell.seed}, "
            "a cell of a study of context against foreground ratio"
        ),
        "authors": "the context-fbr authors",
        "copyright": "Copyright (c) 2026 the context-fbr authors",
        "data_source": ", ".join(filter(None, (data["name"], data.get("reference"), data.get("licence")))),
        "data_type": "nibabel",
        "image_classes": modality,
        "label_classes": "integer values, see channel_def",
        "pred_classes": "one-hot, argmax gives the class",
        "eval_metrics": {},
        "intended_use": "Research on training choices. Not for clinical use.",
        "references": ["Kamath et al., MedNeurIPS 2022"],
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image",
                    "format": modality,
                    "modality": modality,
                    "num_channels": training.recipe.channels,
                    "spatial_shape": [*edges_of(window)],
                    "dtype": "float32",
                    "value_range": [0, 1] if preparation.windows else [],
                    "is_patch_data": True,
                    "channel_def": {
                        str(number): name
                        for number, name in enumerate(training.recipe.modality or ("image",))
                    },
                }
            },
            "outputs": {
                "pred": {
                    "type": "image",
                    "format": "segmentation",
                    "num_channels": 1 + len(preparation.groups),
                    "spatial_shape": [*edges_of(window)],
                    "dtype": "float32",
                    "value_range": [],
                    "is_patch_data": True,
                    "channel_def": {
                        "0": "background",
                        **{str(number): name for number, name in enumerate(structures, 1)},
                    },
                }
            },
        },
    }
