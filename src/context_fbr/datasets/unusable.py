"""Reasons why a dataset.json cannot be used, in terms of the file, with what to write instead."""

import codecs
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from context_fbr.core.file_kinds import FileStart
from context_fbr.datasets.problems import Problem, error

DAMAGED = "bring back the original, or write one as medicaldecathlon.com describes it"
LABELS = '`"labels": {"0": "background", "1": "spleen"}`'
EXPECTED: Mapping[str, str] = MappingProxyType(
    {
        "": '`{"labels": ..., "training": ..., ...}`',
        "name": "text",
        "modality": '`"modality": {"0": "CT"}`',
        "labels": LABELS,
        "training": '`"training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}, ...]`',
        "test": '`"test": ["./imagesTs/b.nii.gz", ...]`',
        "numTraining": "a whole number",
        "numTest": "a whole number",
    }
)
"""Descriptions by key of the top level."""
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_NNUNET = frozenset({"channel_names", "file_ending"})  # keys of nnU-Net v2 that MSD does not have


def is_nnunet(content: object) -> bool:
    """Return true if this is a dataset.json of nnU-Net v2 that cannot be read as one of the Decathlon."""
    return isinstance(content, dict) and bool(_NNUNET & content.keys())


def encoding_problem(file: str, content: bytes, found: UnicodeDecodeError) -> Problem:
    """Bytes that are not UTF-8."""
    name = next((name for mark, name in _BYTE_ORDER_MARKS.items() if content.startswith(mark)), None)
    line = content[: found.start].count(b"\n") + 1
    text = (
        f"is {name}" if name else f"line {line} holds the byte {content[found.start]:#x}, which is not UTF-8"
    )
    return error("description", "", file, f"{text}; expected UTF-8", "save it as UTF-8")


def json_problem(file: str, start: FileStart, found: Exception) -> Problem:
    """Return the problem of text that is not JSON: its kind, or the line of the error."""
    if start.kind.key in ("empty", "git-lfs", "git-annex", "html", "xml", "zeros") or start.packed:
        text = f"is packed by gzip: {start.kind.text}" if start.packed else start.kind.text
        return error("description", "", file, text, start.kind.remedy or DAMAGED)
    reason = "nested too deeply" if isinstance(found, RecursionError) else str(found)
    return error("description", "", file, f"is no JSON: {reason}", DAMAGED)


def nnunet_problem(file: str, content: Mapping[str, object]) -> Problem:
    """Return the problem of nnU-Net v2's description: labels by name, and no list of cases."""
    turned = _turned(content.get("labels")) or {"0": "background", "1": "spleen"}
    channels = content.get("channel_names")
    modality = channels if isinstance(channels, dict) and channels else {"0": "CT"}
    return error(
        "description",
        "",
        file,
        "is nnU-Net's (channel_names, labels by name), expected that of the Decathlon",
        f'run `context-fbr task convert` on its folder; or write `"labels": {json.dumps(turned)}`, '
        f'`"modality": {json.dumps(modality)}` and the list '
        '`"training": [{"image": "imagesTr/CASE.nii.gz", "label": "labelsTr/CASE.nii.gz"}, ...]`, '
        "and take `_0000` off the names of images",
    )


def validation_problems(file: str, content: Any, found: ValidationError) -> list[Problem]:
    """One problem for each key of the top level that holds something else than expected."""
    groups: dict[str, list[ErrorDetails]] = {}
    for item in found.errors():
        groups.setdefault(str(item["loc"][0]) if item["loc"] else "", []).append(item)
    problems = []
    for key, items in groups.items():
        text, remedy = _say(content, items), DAMAGED
        if key == "labels" and (turned := _turned(content.get(key))):
            name, value = next(iter(content[key].items()))
            text = (
                f"labels: maps names to numbers (labels.{name} is {value}), as nnU-Net v2 does; expected the "
                "reverse, numbers to names"
            )
            remedy = f'write `"labels": {json.dumps(turned, ensure_ascii=False)}`'
        elif key in EXPECTED:
            text += f"; expected {EXPECTED[key]}"
        problems.append(error("description", "", file, text, remedy))
    return problems


def _turned(labels: object) -> dict[str, object]:
    """Labels of names to numbers as numbers to names; empty if they are anything else."""
    if not isinstance(labels, dict) or any(str(name).strip().isdecimal() for name in labels):
        return {}
    values = [str(value) for value in labels.values() if not isinstance(value, bool)]
    if len(values) < len(labels) or not all(value.isdecimal() for value in values):
        return {}
    return dict(zip(values, labels, strict=True))


def _say(content: Any, items: list[ErrorDetails]) -> str:
    """The first of several errors below a key, and how many values more have one."""
    places = list(dict.fromkeys(_place(content, item) for item in items))
    first = items[0]
    if first["type"] == "missing":
        text = f"{places[0]}: is missing"
    elif first["loc"][-1:] == ("[key]",):
        text = f"{places[0]}: {json.dumps(first['input'], ensure_ascii=False)} is not a whole number"
    else:
        shown = json.dumps(first["input"], ensure_ascii=False)
        text = f"{places[0]}: is {shown if len(shown) <= 60 else f'{shown[:60]}...'}"
    more = len(places) - 1
    return f"{text}, and {more} more such value{'s' if more > 1 else ''}" if more else text


def _place(content: Any, item: ErrorDetails) -> str:
    """Keys of the file that lead to an error, without pydantic's names of classes and branches."""
    keys: list[str] = []
    for key in item["loc"]:
        try:
            content = content[key]
        except (KeyError, IndexError, TypeError):
            if not (item["type"] == "missing" and key == item["loc"][-1]):
                continue
        keys.append(str(key))
    return ".".join(keys) or "top level"
