"""Settings of a split, `tasks.<task>.prepare.split`: the cases for training, validation and test."""

import unicodedata
from collections import Counter
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from context_fbr.config.document import InconsistentError, Section

Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(min_length=1), AfterValidator(lambda name: unicodedata.normalize("NFC", name))]
"""Name of a case, composed: macOS may decompose the letters of names."""
Names = Annotated[tuple[Name, ...], Field(min_length=1)]
FOLDER = "splits"
"""Folder of the files of splits, a dependency of the stage."""
PARTS = ("train", "validation", "test")


class Split(Section):
    """Cases for training, validation and test.

    Counts take the cases in the order of their sorted file names, lists name them. A file names them, too: a
    CSV with the columns case and split, or nnU-Net's splits_final.json with a fold. Folds divide the cases
    themselves: one fold is for test, the next for validation. `test: imagesTs` takes the data set's own test
    folder, if it has labels.
    """

    train: Count | Names | None = None
    """Number of cases, or their names."""
    validation: Count | Names | None = None
    """Number of cases, or their names."""
    test: Count | Names | Literal["imagesTs"] | None = None
    """Number of cases, their names, or `imagesTs` for the data set's own test folder."""
    file: Annotated[str, Field(min_length=1)] | None = None
    """Below `splits/`, with the ending .csv or .json."""
    folds: Annotated[int, Field(ge=2)] | None = None
    """Number of folds that the cases are divided into, in place of numbers or names."""
    fold: Annotated[int, Field(ge=0)] | None = None
    """Number of the fold, from 0."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.file is not None or self.folds is not None:
            self._check_without_cases()
            return self
        if self.fold is not None:
            raise InconsistentError("fold", "goes with `folds`, or with the file of nnU-Net")
        parts = {name: getattr(self, name) for name in PARTS}
        for name, part in parts.items():
            if part is None:
                raise InconsistentError(name, "is missing")
        listed = {key: part for key, part in parts.items() if isinstance(part, tuple)}
        counted = [key for key, part in parts.items() if isinstance(part, int)]
        if listed and counted:
            text = f"is a number, but {', '.join(listed)} lists cases: give numbers everywhere, or lists"
            raise InconsistentError(counted[0], text)
        twice = [name for name, n in Counter(n for part in listed.values() for n in part).items() if n > 1]
        if twice:
            key = next(key for key, part in reversed(listed.items()) if twice[0] in part)
            raise InconsistentError(key, f"{twice[0]} is listed more than once in train, validation and test")
        return self

    def _check_without_cases(self) -> None:
        """Check a split by a file or by folds; raises InconsistentError."""
        way = "file" if self.file is not None else "folds"
        for name in PARTS:
            part = getattr(self, name)
            if part is not None and (name, part) != ("test", "imagesTs"):
                raise InconsistentError(name, f"goes without {way}, which decides on all cases")
        if self.file is None:
            least = 2 if self.test == "imagesTs" else 3
            assert self.folds is not None
            if self.folds < least:
                text = f"{self.folds} leave nothing to train on: expected {least} at least"
                raise InconsistentError("folds", text)
            if self.fold is None or self.fold >= self.folds:
                raise InconsistentError("fold", f"is {self.fold}, expected 0 to {self.folds - 1}")
            return
        if self.folds is not None:
            raise InconsistentError("folds", "goes without file, which has folds of its own")
        path = PurePosixPath(self.file)
        if path.is_absolute() or ".." in path.parts or len(path.parts) < 2 or path.parts[0] != FOLDER:
            raise InconsistentError("file", f"{self.file} is not below {FOLDER}/, where DVC notices changes")
        if path.suffix not in (".csv", ".json"):
            raise InconsistentError("file", f"{self.file} ends with {path.suffix}, expected .csv or .json")
        if (path.suffix == ".json") != (self.fold is not None):
            text = (
                "is missing: the file of nnU-Net has several" if path.suffix == ".json" else "goes with .json"
            )
            raise InconsistentError("fold", text)

    @property
    def training_cases(self) -> int | None:
        """Number of cases to train on; None if a file or the data decide."""
        return self.train if isinstance(self.train, int | None) else len(self.train)
