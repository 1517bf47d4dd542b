"""Score tables of tasks with supervised cores, made to have, or not to have, what is claimed."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from small_results import SETTINGS

from context_fbr.analysis.observations import Evidence
from context_fbr.analysis.results import CELL_COLUMNS

CORES = (
    ("unet", "unet_core16", 16),
    ("unet", "unet_core32", 32),
    ("attention_unet_batch", "attention_unet_batch_core16", 16),
)
GROUPS = ((6, 8), (9, 12), (13, 15), (16, 18), (19, 22))
CONTEXT_SETTINGS = SETTINGS.model_copy(update={"supervised_cores": CORES, "distance_groups": GROUPS})
TWINS = (
    *(("unet", p, p) for p in (16, 32, 48)),
    *(("attention_unet_batch", p, p) for p in (16, 32, 48)),
    ("unet_core16", 32, 16),
    ("unet_core16", 48, 16),
    ("unet_core32", 48, 32),
    ("attention_unet_batch_core16", 48, 16),
    ("unetr_batch", 48, 48),
    ("per_voxel", 16, 16),
    ("receptive_field_7", 16, 16),
    *(("unet_published_recipe", p, p) for p in (16, 32, 48)),
)
"""Model, patch and core of each configuration of the task twins."""
SPHERES = (
    *(("unet", p, p) for p in (16, 32, 48)),
    *(("attention_unet", p, p) for p in (16, 32, 48)),
    ("unet_core16", 32, 16),
    ("unet_core16", 48, 16),
    ("unet_core32", 48, 32),
)
Told = Callable[[str, int, int, int], float]
"""From model, patch, core and distance to the share of volumes in which the two balls are distinguished."""


def seen(model: str, patch_size: int, core: int, distance: int) -> float:
    """Return what a study with an effect has: windows that reach the shell tell the balls apart."""
    if model in ("per_voxel", "receptive_field_7"):
        return 0.0
    if model == "unet_published_recipe" and patch_size < 48:
        return 0.05
    return 0.9 if distance <= patch_size - 4 else 0.1


def half(model: str, patch_size: int, core: int, distance: int) -> float:
    """Return the same for all cells: patch and core do not matter."""
    return 0.5


def nothing_told(*_: object) -> float:
    """Return 0: no volume's balls are distinguished."""
    return 0.0


def told_scores(
    told: Told,
    generator: np.random.Generator,
    *,
    task: str = "twins",
    cells: Iterable[tuple[str, int, int]] = TWINS,
    seeds: int = 3,
    variant: str = "",
    noise: float = 0.06,
) -> pd.DataFrame:
    """Return a table of scores, three test volumes a distance; a variant has the first of each distance."""
    rows = []
    hard = {}
    for model, patch, core in cells:
        for seed in range(1, seeds + 1):
            luck = 0.008 * generator.standard_normal()
            for number, distance in enumerate(d for d in range(6, 23) for _ in range(3)):
                if variant and number % 3:
                    continue
                name = f"{task}_{136 + number}" + (f"_{variant}" if variant else "")
                if name not in hard:
                    hard[name] = 0.02 * generator.standard_normal()
                share = (-1 if variant == "exchanged" else 1) * told(model, patch, core, distance)
                spread = noise * generator.standard_normal() if model != "per_voxel" else 0.0
                apart = share + (luck + hard[name] if model != "per_voxel" else 0.0) + spread
                hit, false = np.clip((0.5 + apart / 2, 0.5 - apart / 2), 0, 1)
                dice = 2 * hit / (1 + hit + false)
                rows.append((task, model, patch, seed, f"{name}.nii.gz", dice, hit, false, 0.0, distance))
    names = [*CELL_COLUMNS, "filename", "dsc", "recall", "distractor_recall", "elsewhere", "design"]
    return _typed(pd.DataFrame(rows, columns=names).assign(variant=variant or None))


def sphere_scores(
    dice: Callable[[str, int, int], float], generator: np.random.Generator, noise: float = 0.01
) -> pd.DataFrame:
    """Return scores of a task without distractor: one sphere for each radius from 2 to 23."""
    rows = [
        ("spheres", model, patch, seed, f"spheres_{r}.nii.gz", dice(model, patch, core) + noise * z, 0.9, r)
        for model, patch, core in SPHERES
        for seed in (1, 2, 3)
        for r, z in zip(range(2, 24), generator.standard_normal(22), strict=True)
    ]
    frame = pd.DataFrame(rows, columns=[*CELL_COLUMNS, "filename", "dsc", "recall", "design"])
    return _typed(frame.assign(distractor_recall=np.nan, elsewhere=np.nan, variant=None))


@dataclass(frozen=True)
class Made:
    """A study."""

    evidence: Evidence
    variants: pd.DataFrame


def study(
    told: Told = seen,
    seed: int = 3,
    *,
    spheres: Callable[[str, int, int], float] = lambda _model, _patch, core: 0.95 - 0.04 * (core == 48),
    equal: Told = nothing_told,
    exchanged: Told | None = None,
    removed: Told = nothing_told,
) -> Made:
    """Return a study of twins, twins with equal shells, and spheres."""
    generator = np.random.default_rng(seed)
    frames = [
        told_scores(told, generator),
        told_scores(equal, generator, task="twins_equal", cells=[("unet", 32, 32)]),
        sphere_scores(spheres, generator),
    ]
    variants = [
        told_scores(exchanged or told, generator, variant="exchanged"),
        told_scores(removed, generator, variant="removed"),
    ]
    scores = pd.concat(frames, ignore_index=True)
    keys = scores[CELL_COLUMNS].drop_duplicates().itertuples(index=False, name=None)
    ratios = pd.DataFrame(columns=[*CELL_COLUMNS, "foreground_ratio"])
    return Made(Evidence(scores, ratios, dict.fromkeys(keys, True)), pd.concat(variants, ignore_index=True))


def observed(windows: Iterable[tuple[int, int]], task: str = "twins") -> pd.DataFrame:
    """Return a table like that of the ideal observer: a window of 16 decides up to a distance of 15."""
    rows = []
    for patch, core in windows:
        for number, distance in enumerate(d for d in range(6, 23) for _ in range(3)):
            false = 0.0 if patch > 16 or distance <= 15 else 0.1 * (distance - 15)
            dice = 2 / (2 + false)
            rows.append((f"{task}_{136 + number}.nii.gz", distance, patch, core, dice, 1.0, false))
    return pd.DataFrame(rows, columns=["filename", "distance", "patch_size", "core", "dice", "hit", "false"])


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.astype({"patch_size": "Int64", "seed": "Int64"})
