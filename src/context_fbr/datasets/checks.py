"""Rules for a volume, a case and a data set: pure functions of the values that were read.

**Same place.** Image and label are in the same place if the same corner of both volumes is no further apart
in the world than `geometry.SAME_PLACE` of the shortest edge of a voxel.

**Spacing.** An edge of a voxel is under `SHORTEST_MM` if it is given in metres by mistake, or over
`LONGEST_MM` if slices are missing or it is not a scan. The longest edge is at most `MOST_ANISOTROPIC`
times the shortest (scans of the lung with gaps reach 20); over `ANISOTROPIC` times there is a warning (MSD
Task09 reaches 10).

**Hounsfield units.** Water is 0, air -1000, fat -100, soft tissue 20 to 80, bone several hundred, metal up to
30,000; voxels outside of the scanned circle are often padded with -1024, -2000 or -2048. Hence a volume of
modality CT cannot be in HU if

* nothing is below 0: a forgotten rescale intercept (air is 0 then), an image scaled to 0..1 or 0..255, MRI;
* nothing reaches `LEAST_MAXIMUM_HU`: tissue with its noise does, an image scaled to -1..1 or by z-score not;
* a value is outside of what 16 bits hold, `WIDEST_HU`: a scale factor applied twice, or damage.

A volume without anything below `AIR_HU` has no air in it: it was cropped inside of the body, or clipped to a
window. That may be meant, and is a warning.
"""

import math
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePath

import numpy as np
from nibabel.affines import obliquity

from context_fbr.core.geometry import SAME_PLACE, SHEAR, distance_mm, shear
from context_fbr.datasets.dataset_json import NAME, Description, case_name
from context_fbr.datasets.problems import Problem, error, note, warning
from context_fbr.datasets.volume_facts import MOST_VALUES, Facts

SHORTEST_MM, LONGEST_MM = 0.01, 20.0
ANISOTROPIC, MOST_ANISOTROPIC = 15.0, 30.0
LEAST_MAXIMUM_HU, AIR_HU = 100.0, -200.0
WIDEST_HU = (-32768.0, 32767.0)
OBLIQUE = 1e-3  # radians
NEAR_INTEGER = 1e-3

_SCAN = "correct the header, or convert the scan again"
_HU = (
    "convert the scan again with its rescale slope and intercept, or, if it is not a CT, correct the "
    "modality in dataset.json"
)


def image_problems(image: Facts, description: Description | None) -> list[Problem]:
    """Return the problems of an image."""
    problems = [*_voxel_problems(image), *_file_problems(image), *geometry_problems(image)]
    if description and description.modalities and len(description.modalities) != image.channels:
        text = f"{image.channels} channels, but {NAME} lists {', '.join(description.modalities)} as modality"
        remedy = "take the file with all channels, or correct modality"
        problems.append(error("channels", case_name(image.file), image.file, text, remedy))
    if description and description.is_ct and not math.isnan(image.minimum):
        problems += _hounsfield_problems(image)
    return problems


def label_problems(label: Facts, description: Description | None) -> list[Problem]:
    """Return the problems of a label, its geometry aside."""
    case = case_name(label.file)
    problems = [*_voxel_problems(label), *_file_problems(label)]
    if description:
        unknown = [value for value in label.values if value not in description.labels]
        expected = f"expected {', '.join(map(str, description.labels))} as in {NAME}"
    else:
        unknown = [value for value in label.values if value != round(value)]
        expected = "expected whole numbers"
    if unknown:
        count = f"{MOST_VALUES} or more" if len(label.values) == MOST_VALUES else f"{len(unknown)}"
        shown = ", ".join(map(_exactly, unknown[:5])) + (", ..." if len(unknown) > 5 else "")
        text = f"{count} unknown label value{'s' if count != '1' else ''}: {shown}; {expected}"
        remedy = f"correct the label, or name the value in {NAME}"
        if any(value != round(value) and abs(value - round(value)) < NEAR_INTEGER for value in unknown):
            remedy = (
                "store whole numbers: round them, and set scl_slope to 1 and scl_inter to 0 in the header"
            )
        problems.append(error("unknown label", case, label.file, text, remedy))
    if not label.foreground:
        text = "is empty: every voxel is 0"
        problems.append(error("empty label", case, label.file, text, "label the case, or remove it"))
    return problems


def pair_problems(image: Facts, label: Facts) -> list[Problem]:
    """Return the problems of an image and a label that do not belong together."""
    case = case_name(label.file)
    problems: list[Problem] = []
    remedy = "take the label that belongs to the image, in the image's grid"
    if image.shape != label.shape:
        text = f"shape {_times(label.shape)}, but its image has {_times(image.shape)}"
        problems.append(error("shapes differ", case, label.file, text, remedy))
    distance = distance_mm(image.affine, label.affine, image.shape)
    limit = SAME_PLACE * min(image.spacing_mm)
    if not distance <= limit:  # NaN is not a place either
        text = f"is up to {distance:.3g} mm away from its image (affine); at most {limit:.2g} mm are allowed"
        problems.append(error("affines differ", case, label.file, text, remedy))
    return problems


def geometry_problems(volume: Facts) -> list[Problem]:
    """A grid that no scan has."""
    case, file = case_name(volume.file), volume.file
    matrix = np.array(volume.affine)[:3, :3]
    spacing = " x ".join(f"{size:.4g}" for size in volume.spacing_mm)
    if not np.isfinite(volume.affine).all() or min(volume.spacing_mm) <= 0:
        return [
            error("singular affine", case, file, f"spacing {spacing} mm: every edge must be above 0", _SCAN)
        ]
    directions = matrix / volume.spacing_mm
    if abs(np.linalg.det(directions)) < 1e-6:
        text = "its affine is singular: two axes of the volume point in the same direction"
        return [error("singular affine", case, file, text, _SCAN)]
    problems: list[Problem] = []
    shortest, longest = min(volume.spacing_mm), max(volume.spacing_mm)
    if shortest < SHORTEST_MM or longest > LONGEST_MM:
        text = f"spacing {spacing} mm, expected {SHORTEST_MM:g} to {LONGEST_MM:g} mm"
        problems.append(error("spacing", case, file, text, _SCAN))
    if longest > ANISOTROPIC * shortest:
        kind = error if longest > MOST_ANISOTROPIC * shortest else warning
        text = f"spacing {spacing} mm: the longest edge is {longest / shortest:.0f} times the shortest"
        problems.append(kind("anisotropy", case, file, text, _SCAN))
    cosine = shear(volume.affine)
    if cosine > SHEAR:
        degrees = math.degrees(math.asin(min(cosine, 1.0)))
        text = f"its axes are sheared by {degrees:.1f} degrees (a tilted gantry)"
        problems.append(error("sheared", case, file, text, "resample it to axes at right angles"))
    elif obliquity(np.array(volume.affine)).max() > OBLIQUE:
        degrees = math.degrees(obliquity(np.array(volume.affine)).max())
        problems.append(
            note("oblique", case, file, f"its axes are turned by {degrees:.1f} degrees from the world's")
        )
    return problems


def duplicate_problems(cases: Sequence[tuple[Facts | None, Facts | None]]) -> list[Problem]:
    """Return a problem for cases, given by image and label, with the same voxels.

    The same patient in training and test makes scores too good. The same label for two images is mostly a
    copy by mistake, but two small structures can be equal, and generated ones are: a warning. Empty labels
    are reported as such.
    """
    images: dict[str, Facts] = {}
    labels: defaultdict[str, list[tuple[Facts | None, Facts]]] = defaultdict(list)
    problems: list[Problem] = []
    for image, label in cases:
        if image:
            first = images.setdefault(image.digest, image)
            if first is not image:
                text = f"the same voxels as {first.file}"
                remedy = "bring the right image, or remove one of the cases"
                problems.append(error("duplicate image", case_name(image.file), image.file, text, remedy))
        if label and label.foreground:
            earlier = labels[label.digest]
            if earlier:
                problems.append(_duplicate_label(image, label, earlier))
            earlier.append((image, label))
    return problems


def _duplicate_label(
    image: Facts | None, label: Facts, earlier: Sequence[tuple[Facts | None, Facts]]
) -> Problem:
    case = case_name(label.file)
    for other_image, other in earlier:
        if image and other_image and image.digest == other_image.digest:
            text = f"the same voxels as {other.file}, and their images are the same too"
            return error("duplicate label", case, label.file, text, "remove one of the cases")
    text = f"the same voxels as {earlier[0][1].file}, but another image"
    remedy = "look whether it is the right label; if so, leave it"
    return warning("duplicate label", case, label.file, text, remedy)


def _file_problems(volume: Facts) -> list[Problem]:
    """A name or a header that other programs read in another way."""
    case = case_name(volume.file)
    problems = _form_problems(volume)
    name = unicodedata.normalize("NFC", PurePath(volume.file).name)
    right = f"{case_name(name)}{'.nii.gz' if volume.packed else '.nii'}"
    if name != right:
        what = "packed by gzip" if volume.packed else "not packed by gzip"
        text = f"is {what}, and other programs read no such file under this name"
        problems.append(warning("misnamed", case, volume.file, text, f"rename it to {right}"))
    if volume.repairs:
        text = f"its header is not valid: {', '.join(volume.repairs)}; other programs may read it otherwise"
        problems.append(warning("header repaired", case, volume.file, text, _SCAN))
    if not volume.has_form:
        text = "its header has neither sform nor qform: programs differ in where they place it, left or right"
        problems.append(warning("no orientation", case, volume.file, text, _SCAN))
    return problems


def _form_problems(volume: Facts) -> list[Problem]:
    """Return the problem of a header with two places of the volume that differ."""
    if not volume.repairs and min(volume.spacing_mm) > 0 and volume.has_form:
        sides = zip(volume.shape, volume.pixdim_mm, volume.spacing_mm, strict=True)
        apart = max(n * abs(edge - size) for n, edge, size in sides)
        if not apart <= SAME_PLACE * min(volume.spacing_mm):
            one, other = (
                " x ".join(f"{size:.4g}" for size in of) for of in (volume.pixdim_mm, volume.spacing_mm)
            )
            text = f"its voxels are {one} mm by its pixdim, {other} mm by its sform, which counts here"
            remedy = "find out which is right, and write it into both"
            return [warning("forms differ", case_name(volume.file), volume.file, text, remedy)]
    distance = volume.forms_apart_mm
    if distance <= SAME_PLACE * min(volume.spacing_mm):
        return []
    how = f"up to {distance:.3g} mm apart" if math.isfinite(distance) else "apart (one of them is damaged)"
    text = f"its sform and qform lie {how}; the sform counts here, other programs may take the qform"
    remedy = "find out which is right, and write it into both"
    return [warning("forms differ", case_name(volume.file), volume.file, text, remedy)]


def _voxel_problems(volume: Facts) -> list[Problem]:
    if not volume.not_finite:
        return []
    text = f"{volume.not_finite} of {math.prod(volume.shape)} voxels are NaN or infinite"
    remedy = "bring back the original, or convert the scan again"
    return [error("not finite", case_name(volume.file), volume.file, text, remedy)]


def _hounsfield_problems(image: Facts) -> list[Problem]:
    """The rule is this module's docstring."""
    case, file = case_name(image.file), image.file
    found = f"values {image.minimum:g} to {image.maximum:g}"
    if image.minimum >= 0:
        return [
            error("not HU", case, file, f"{found} are not HU: nothing is below 0, as air and fat are", _HU)
        ]
    if image.maximum < LEAST_MAXIMUM_HU:
        text = f"{found} are not HU: nothing reaches {LEAST_MAXIMUM_HU:g}, as tissue does"
        return [error("not HU", case, file, text, _HU)]
    if image.minimum < WIDEST_HU[0] or image.maximum > WIDEST_HU[1]:
        text = f"{found} are not HU: a CT has {WIDEST_HU[0]:g} to {WIDEST_HU[1]:g}"
        return [error("not HU", case, file, text, _HU)]
    if image.minimum >= AIR_HU:
        text = f"{found}: no air in it, so it was cropped inside of the body or clipped to a window"
        return [warning("no air", case, file, text, "take the original, if that was not meant")]
    return []


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _exactly(value: float) -> str:
    """Format a float32 in as few digits as identify it: 7, 0.1, 1.0000001."""
    short = f"{value:g}"
    return short if float(short) == value else str(np.float32(value))
