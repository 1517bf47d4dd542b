"""The proposed block as text for params.yaml, with the reasons in comments."""

import json
import re
from collections.abc import Mapping, Sequence

from ruamel.yaml import YAML

from context_fbr.config.study import Study
from context_fbr.core.errors import visible
from context_fbr.core.geometry import Shape
from context_fbr.core.patch_size import PatchSize
from context_fbr_tools.data.proposal import (
    HIGH,
    LOW,
    PUBLISHED_SPLIT,
    THIN_PERCENTILE,
    Proposal,
    padded_cases,
)
from context_fbr_tools.data.survey import Survey, on_one_line

COMMENT_COLUMN = 39  # as in the rest of params.yaml
AXES = ("right", "anterior", "superior")
_PLAIN = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./ -]*(?<! )")  # safe without quotes, if it is text at all

Line = tuple[str, list[str]]
"""YAML and its comments, of which the second and following go below the first."""


def render(
    name: str, folder: str, found: Survey, proposal: Proposal, study: Study, structures: Mapping[str, int]
) -> str:
    """Return the block, each line ended, as it is indented below `tasks:`.

    Args:
        name: of the task.
        folder: for `raw.folder`.
        found: what the proposal is based on, for the comments.
        proposal: the values.
        study: that the block is for.
        structures: label values by the name of a structure; none: `foreground` of one class.
    """
    split = proposal.split
    lines: list[Line] = [
        (f"{name}:", [_about(found)]),
        ("  raw:", []),
        ("    source: folder", []),
        (f"    folder: {_scalar(folder)}", _folder(folder)),
        ("  prepare:", ["in this order"]),
        (
            f"    split: {{train: {split.train}, validation: {split.validation}, test: {split.test}}}",
            [_split(found, proposal)],
        ),
        _classes(found, structures),
        *_intensities(found, proposal),
        (f"    crop: {str(proposal.crop).lower()}", [_crop(proposal)]),
        (
            f"    spacing_mm: [{', '.join(map(repr, proposal.spacing_mm))}]",
            [*_spacing(proposal), *_shapes(proposal.shapes, study.grid.patch_sizes)],
        ),
        ("  train:", []),
        (f"    epochs: {proposal.steps.epochs}", _steps(proposal, study)),
        ("  evaluate:", []),
        (
            f"    surface_tolerance_mm: {proposal.surface_tolerance_mm!r}",
            ["the longest edge of a prepared voxel; better: what two readers differ by"],
        ),
    ]
    return "".join(_laid_out(f"  {text}", comments) for text, comments in lines)


def ranges(shapes: Sequence[Sequence[int]]) -> str:
    """`231..300 x 200 x 96..140`: the range of each axis."""
    limits = [(min(axis), max(axis)) for axis in zip(*shapes, strict=True)]
    return " x ".join(str(low) if low == high else f"{low}..{high}" for low, high in limits)


def _laid_out(text: str, comments: list[str]) -> str:
    if not comments:
        return f"{text}\n"
    first = f"{text:<{COMMENT_COLUMN}}" if len(text) < COMMENT_COLUMN else f"{text}   "
    below = "".join(f"{'':<{COMMENT_COLUMN}}# {comment}\n" for comment in comments[1:])
    return f"{first}# {comments[0]}\n{below}"


def _scalar(text: str) -> str:
    is_plain = _PLAIN.fullmatch(text) and isinstance(YAML(typ="safe").load(text), str)
    return text if is_plain else visible(json.dumps(text, ensure_ascii=False))  # YAML has the same escapes


def _folder(folder: str) -> list[str]:
    if not folder.startswith("/"):
        return []
    return ["of this machine; for others: below the project, or $DATA/..."]


def _about(found: Survey) -> str:
    modalities = ", ".join(map(on_one_line, found.description.modalities)) or "modality not given"
    return f"{modalities}, {len(found.cases)} labelled cases; proposed by `context-fbr task init`"


def _split(found: Survey, proposal: Proposal) -> str:
    train, validation, test = PUBLISHED_SPLIT
    if proposal.split.test == "imagesTs":
        return f"{train} : {validation} as published; its own {found.labelled_test_cases} test cases"
    return f"{train} : {validation} : {test} as published; or lists of cases"


def _classes(found: Survey, structures: Mapping[str, int]) -> Line:
    if not structures:
        return f"    foreground: [{', '.join(map(str, found.foreground))}]", _foreground(found)
    named = ", ".join(f"{name}: [{value}]" for name, value in structures.items())
    return f"    structures: {{{named}}}", [
        "label values of each, a class of its own; several values: one class"
    ]


def _foreground(found: Survey) -> list[str]:
    chosen = ", ".join(found.label_names[value] for value in found.foreground)
    comments = [chosen]
    classes = {value: name for value, name in found.label_names.items() if value > 0}
    if len(classes) > 1:
        comments = [
            f"{chosen}; of {', '.join(f'{value} {name}' for value, name in classes.items())}",
            "label values in a list are segmented together as one class;",
            "`structures: {NAME: [VALUE], ...}` in its place makes a class of each",
        ]
    without = sum(not case.foreground_voxels for case in found.cases)
    if without:
        comments.append(f"{without} of {len(found.cases)} cases have none of it")
    return comments


def _intensities(found: Survey, proposal: Proposal) -> list[Line]:
    if proposal.window:
        low, high = (f"{found.percentile(percent):.4g}" for percent in (LOW, HIGH))
        return [
            (
                f"    window: [{proposal.window[0]}, {proposal.window[1]}]",
                [
                    "HU that become 0 to 1, clipped; widened to tens from the foreground's",
                    f"percentiles {LOW:g} and {HIGH:g}, {low} and {high}, which nnU-Net clips to",
                ],
            )
        ]
    comments = ["of the voxels above 0, of each image by itself"]
    if not found.description.modalities:
        comments.append("if these are CT, in HU, a window is better: name the modality in dataset.json")
    below = sum(case.minimum < 0 for case in found.cases)
    if below:
        comments.append(f"{below} of {len(found.cases)} images go below 0, which counts as no tissue: is it?")
    return [("    z_score: true", comments)]


def _crop(proposal: Proposal) -> str:
    if proposal.window:
        return f"to the box of what is above {proposal.window[0]} HU"
    if proposal.crop:
        return "to the box of what is above 0: the background is exactly 0"
    return "there is no background of exact zeros that could be cut off"


def _spacing(proposal: Proposal) -> list[str]:
    thick = proposal.thick_axis
    if thick is None:
        return [f"median of the cases, by axis: {', '.join(AXES)}"]
    return [
        f"median of the cases, by axis: {', '.join(AXES)};",
        f"{AXES[thick]}, the thick slices: percentile {THIN_PERCENTILE:g}, nnU-Net's rule",
    ]


def _shapes(shapes: Sequence[Shape], patch_sizes: Sequence[PatchSize]) -> list[str]:
    padded = padded_cases(shapes, patch_sizes)
    shown = ", ".join(f"{size} ({count} of {len(shapes)})" for size, count in padded.items())
    text = f"cases padded, as the patch is larger: {shown}" if shown else "no patch of the grid is larger"
    return [f"gives volumes of {ranges(shapes)} voxels;", text]


def _steps(proposal: Proposal, study: Study) -> list[str]:
    steps = proposal.steps
    return [
        f"x {steps.steps_per_epoch} steps (training cases: {proposal.split.train}, a step takes "
        f"{study.train.batch_volumes})"
        f" = {steps.epochs * steps.steps_per_epoch} steps"
        + (f"; {steps.reference} has {steps.reference_steps}" if steps.reference else "")
    ]
