"""Tables and trees of results as files that git can show the changes of."""

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from context_fbr.core import atomic

DIGITS = 6


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write a table whole or not at all, numbers rounded, undefined ones as empty fields."""
    atomic.write_text(path, frame.round(DIGITS).to_csv(index=False, lineterminator="\n"))


def write_json(path: Path, tree: Mapping[str, object]) -> None:
    """Write JSON whole or not at all; NaN and infinity are errors of the caller."""
    atomic.write_text(path, json.dumps(tree, indent=1, allow_nan=False) + "\n")
