"""Configurations of a bundle: inference.json, and evaluate.json, which is read after it."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from monai.networks import nets

from context_fbr.config.training import SlidingWindow
from context_fbr.core.patch_size import PatchSize, edges_of, voxels
from context_fbr.networks import normalisation
from context_fbr.training.weights import Training

Config = dict[str, Any]
RAS_LABELS = (("L", "R"), ("P", "A"), ("I", "S"))


def inference(training: Training, window: PatchSize, settings: SlidingWindow) -> Config:
    """Return the configuration that segments a folder of images, as `context-fbr predict` does.

    Args:
        training: of the cell.
        window: size of the inference window in voxels.
        settings: of the sliding window.
    """
    return {
        "imports": ["$import glob", "$import os", "$import torch", "$import monai"],
        "bundle_root": ".",
        "dataset_dir": "images",
        "output_dir": "$@bundle_root + '/eval'",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "images": "$sorted(glob.glob(os.path.join(@dataset_dir, '*.nii*')))",
        "data": "$[{'image': path} for path in @images]",
        "network_def": network(training),
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": _preprocessing(training, window)},
        "dataset": {"_target_": "Dataset", "data": "@data", "transform": "@preprocessing"},
        "dataloader": {
            "_target_": "DataLoader",
            "dataset": "@dataset",
            "batch_size": 1,
            "shuffle": False,
            "num_workers": 0,
        },
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": [*edges_of(window)],
            "sw_batch_size": max(settings.voxels_per_batch // voxels(window), 1),
            "overlap": settings.overlap,
            "mode": "constant",
        },
        "postprocessing": {"_target_": "Compose", "transforms": _postprocessing(training)},
        "handlers": [
            {
                "_target_": "CheckpointLoader",
                "load_path": "$@bundle_root + '/models/model.pt'",
                "load_dict": {"model": "@network"},
                "map_location": "@device",
            },
            {"_target_": "StatsHandler", "iteration_log": False},
        ],
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": "@handlers",
        },
        "initialize": ["$torch.set_float32_matmul_precision('highest')"],
        "run": ["$@evaluator.run()"],
    }


def evaluate(training: Training) -> Config:
    """Return what evaluate.json replaces: data with labels, and Dice on the image's grid."""
    preparation = training.recipe.preparation
    classes = 1 + len(preparation.groups)
    return {
        "label_dir": "labels",
        "data": (
            "$[{'image': path, 'label': os.path.join(@label_dir, os.path.basename(path))} "
            "for path in @images]"
        ),
        "dataset#transform": {
            "_target_": "Compose",
            "transforms": [
                "@preprocessing",
                {"_target_": "LoadImaged", "keys": "label", "ensure_channel_first": True},
                _classes_of("label", preparation.groups),
            ],
        },
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                *_postprocessing(training, save=False),
                _classes_of("pred", _written(preparation.groups)),
                {"_target_": "AsDiscreted", "keys": ["pred", "label"], "to_onehot": classes},
            ],
        },
        "key_metric": {
            "val_mean_dice": {
                "_target_": "MeanDice",
                "include_background": False,
                "num_classes": classes,
                "output_transform": "$monai.handlers.from_engine(['pred', 'label'])",
            }
        },
        "evaluator#key_val_metric": "@key_metric",
        "evaluate_handlers": [
            "$@handlers[0]",
            {"_target_": "StatsHandler", "iteration_log": False},
            {
                "_target_": "MetricsSaver",
                "save_dir": "@output_dir",
                "metrics": ["val_mean_dice"],
                "metric_details": ["val_mean_dice"],
                "batch_transform": "$lambda batch: [item['image'].meta for item in batch]",
                "summary_ops": "mean",
            },
        ],
        "evaluator#val_handlers": "@evaluate_handlers",
    }


def network(training: Training) -> Config:
    """Return the network: a class of MONAI, or scripts/normalisation.py where its norm is not an argument."""
    given = dict(training.network)
    name = given.pop("network")
    constructor = getattr(nets, name)
    size = training.cell.patch_size
    known = {
        "spatial_dims": 3,
        "in_channels": training.recipe.channels,
        "out_channels": 1 + len(training.recipe.preparation.groups),
        "img_size": [*edges_of(size)],
    }
    accepted = inspect.signature(constructor).parameters
    arguments = {key: value for key, value in known.items() if key in accepted} | given
    if not normalisation.own_keys(constructor) & given.keys():
        return {"_target_": f"monai.networks.nets.{name}", **arguments}
    return {
        "_target_": "scripts.normalisation.build",
        "constructor": f"$monai.networks.nets.{name}",
        "arguments": arguments,
    }


def needs_scripts(training: Training) -> bool:
    """Return true if the network is built by scripts/normalisation.py."""
    return network(training)["_target_"].startswith("scripts.")


def state_dict(trained: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return weights as MONAI's classes name them."""
    return {name: value.detach().cpu().clone() for name, value in trained.state_dict().items()}


def _preprocessing(training: Training, window: PatchSize) -> list[Config]:
    """Return the steps of `prepare_image`, with padding to a window before the z-score."""
    preparation = training.recipe.preparation
    steps: list[Config] = [
        {"_target_": "LoadImaged", "keys": "image", "ensure_channel_first": True},
        {"_target_": "EnsureTyped", "keys": "image", "dtype": "$torch.float32"},
    ]
    if len(preparation.windows) > 1:
        windows = [list(pair) for pair in preparation.windows]
        steps.append({"_target_": "scripts.transforms.ScaleChannelsd", "keys": "image", "windows": windows})
    elif preparation.windows:
        ((low, high),) = preparation.windows
        limits = {"a_min": low, "a_max": high, "b_min": 0.0, "b_max": 1.0}
        steps.append({"_target_": "ScaleIntensityRanged", "keys": "image", **limits, "clip": True})
    if preparation.crop:
        steps.append(
            {"_target_": "CropForegroundd", "keys": "image", "source_key": "image", "allow_smaller": True}
        )
    if preparation.z_score:
        steps.append({"_target_": "scripts.transforms.MeasureTissued", "keys": "image"})
    steps.append({"_target_": "Orientationd", "keys": "image", "axcodes": "RAS", "labels": RAS_LABELS})
    if preparation.spacing_mm:
        spacing = {"pixdim": list(preparation.spacing_mm), "mode": "bilinear"}
        steps.append({"_target_": "Spacingd", "keys": "image", **spacing})
    steps.append({"_target_": "SpatialPadd", "keys": "image", "spatial_size": [*edges_of(window)]})
    if preparation.z_score:
        steps.append({"_target_": "scripts.transforms.StandardiseTissued", "keys": "image"})
    return steps


def _postprocessing(training: Training, save: bool = True) -> list[Config]:
    """Return the steps from logits to label values on the image's grid, and to files."""
    groups = training.recipe.preparation.groups
    steps: list[Config] = [
        {"_target_": "AsDiscreted", "keys": "pred", "argmax": True, "to_onehot": 1 + len(groups)},
        {
            "_target_": "Invertd",
            "keys": "pred",
            "transform": "@preprocessing",
            "orig_keys": "image",
            "nearest_interp": False,
            "to_tensor": True,
        },
        {
            "_target_": "scripts.transforms.LabelValuesd",
            "keys": "pred",
            "values": [group[0] for group in _written(groups)],
        },
    ]
    if save:
        steps.append(
            {
                "_target_": "SaveImaged",
                "keys": "pred",
                "output_dir": "@output_dir",
                "output_postfix": "",
                "separate_folder": False,
                "resample": False,
                "output_dtype": "$'uint8'",
            }
        )
    return steps


def _written(groups: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
    """Return the label values of predictions: 1 of a single structure, the first value of each of several."""
    return groups if len(groups) > 1 else ((1,),)


def _classes_of(key: str, groups: Sequence[Sequence[int]]) -> Config:
    """Return the step from label values to the numbers of their classes."""
    pairs = [(value, number) for number, group in enumerate(groups, 1) for value in group]
    values, numbers = zip(*pairs, strict=True)
    return {
        "_target_": "MapLabelValued",
        "keys": key,
        "orig_labels": [0, *values],
        "target_labels": [0, *numbers],
    }
