"""Files of splits: a CSV with the columns case and split, or nnU-Net's splits_final.json."""

import csv
import io
import json
import unicodedata
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from context_fbr.config.prepare.split import PARTS
from context_fbr.config.yaml.complaints import suggestion
from context_fbr.core import bounded
from context_fbr.core.errors import UserError, raise_problems

Chosen = list[tuple[str, str]]
"""(split, case), training cases first."""


def read_csv(path: Path, cases: Collection[str], parts: Collection[str] = PARTS) -> Chosen:
    """Read a table of cases.

    Args:
        path: of the file.
        cases: of the data set.
        parts: splits that have to be there; a case of another one is not taken.

    Raises:
        UserError: with the line of each case that is unknown, there twice, or of no such split; or if a split
            has no case.
    """
    reader = csv.reader(io.StringIO(_text(path), newline=""))
    header = next(reader, [])
    if not {"case", "split"} <= {*header}:
        raise UserError(f"{path}:1: columns {', '.join(header) or 'none'}, expected case and split")
    places = header.index("case"), header.index("split")
    found: dict[str, str] = {}
    problems: list[str] = []
    for fields in reader:
        if not fields:
            continue
        where = f"{path}:{reader.line_num}"
        if len(fields) != len(header):
            problems.append(f"{where}: {len(fields)} fields, expected {len(header)}")
            continue
        case, split = (unicodedata.normalize("NFC", fields[place].strip()) for place in places)
        if split not in PARTS:
            problems.append(f"{where}: split is {split!r}; {suggestion(split, PARTS)}")
        elif case in found:
            problems.append(f"{where}: {case} is there twice")
        elif split in parts:
            problems += _unknown(where, case, cases)
            found[case] = split
    raise_problems(problems)
    raise_problems([f"{path}: no case has the split {part}" for part in parts if part not in found.values()])
    return [(part, case) for part in parts for case, split in found.items() if split == part]


def read_folds(path: Path, fold: int, cases: Collection[str], tested: bool) -> Chosen:
    """Read nnU-Net's list of folds, each with the cases `train` and `val`.

    Args:
        path: of the file.
        fold: number, from 0.
        cases: of the data set.
        tested: whether the cases `val` of the fold are the test, and those of the next one the validation;
            otherwise the data set has a test set, and they are the validation.

    Raises:
        UserError: if the file is no such list, has no such fold, or a fold has an unknown or repeated case.
    """
    folds = _folds(path)
    if fold >= len(folds):
        raise UserError(
            f"{path}: has {len(folds)} folds, 0 to {len(folds) - 1}; expected one of them, not {fold}"
        )
    raise_problems(
        [
            problem
            for part, names in folds[fold].items()
            for place, case in enumerate(names)
            for problem in _unknown(f"{path}: [{fold}].{part}[{place}]", case, cases)
        ]
    )
    own, others = folds[fold], folds[(fold + 1) % len(folds)]["val"]
    if not tested:
        return [("train", case) for case in own["train"]] + [("validation", case) for case in own["val"]]
    validation = [case for case in own["train"] if case in others]
    if not validation:
        raise UserError(
            f"{path}: no case of the next fold's val is in [{fold}].train: nothing to validate with"
        )
    train = [case for case in own["train"] if case not in others]
    parts = {"train": train, "validation": validation, "test": own["val"]}
    return [(part, case) for part, names in parts.items() for case in names]


def divided(cases: Collection[str], folds: int, fold: int, tested: bool) -> Chosen:
    """Divide cases into folds by turns, in their order: case i is in the fold i modulo `folds`.

    Arguments and result are those of `read_folds`; the validation is the next fold.

    Raises:
        UserError: if there are fewer cases than folds.
    """
    if len(cases) < folds:
        raise UserError(f"{len(cases)} cases cannot be divided into {folds} folds")
    named = {fold: "test", (fold + 1) % folds: "validation"} if tested else {fold: "validation"}
    found = [(named.get(place % folds, "train"), case) for place, case in enumerate(cases)]
    return sorted(found, key=lambda own: PARTS.index(own[0]))


def _folds(path: Path) -> list[Mapping[str, list[str]]]:
    try:
        tree: Any = json.loads(_text(path))
        if not isinstance(tree, list) or not tree:
            raise ValueError("is no list of folds")
        for number, own in enumerate(tree):
            for part in ("train", "val"):
                names = own.get(part) if isinstance(own, dict) else None
                if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
                    raise ValueError(f"[{number}].{part} is no list of cases")
            both = [*own["train"], *own["val"]]
            twice = sorted({name for name in both if both.count(name) > 1})
            if twice:
                raise ValueError(f"[{number}]: {twice[0]} is there twice")
    except ValueError as error:
        raise UserError(f"{path}: {error}; expected nnU-Net's [{{train: [...], val: [...]}}, ...]") from None
    return [{part: own[part] for part in ("train", "val")} for own in tree]


def _text(path: Path) -> str:
    try:
        return bounded.read_text(path, encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(
            f"{path}: not found; write it, or correct prepare.split.file in params.yaml"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error


def _unknown(where: str, case: str, cases: Collection[str]) -> list[str]:
    return [] if case in cases else [f"{where}: {case!r} is no case of imagesTr; {suggestion(case, cases)}"]
