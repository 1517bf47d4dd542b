"""Assignment of the cases of a data set in MSD layout to training, validation and test."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from context_fbr.config.prepare.split import PARTS, Split
from context_fbr.config.yaml.complaints import suggestion
from context_fbr.core.errors import UserError, raise_problems
from context_fbr.datasets.dataset_json import case_name
from context_fbr.datasets.layout import comparable, nifti_files
from context_fbr.preprocessing import split_files


@dataclass(frozen=True)
class Source:
    """Files of a case."""

    name: str
    split: str
    image: Path
    """Relative to the data set's folder."""
    label: Path


def assign_splits(raw: Path, split: Split) -> tuple[Source, ...]:
    """Assign the cases of an MSD folder to train, validation and test, in this order.

    Numbers take cases in the order of sorted file names (`spleen_59.nii.gz`, `spleen_6.nii.gz`,
    `spleen_60.nii.gz`), as the published study did.

    Raises:
        UserError: if there are fewer cases than the split asks for, cases it names are not there, images are
            without label, or two files are of the same case.
    """
    training = _pairs(raw, "Tr")
    wanted: dict[str, object] = {"train": split.train, "validation": split.validation}
    test: dict[str, tuple[Path, Path]] = {}
    if split.test == "imagesTs":
        test = _pairs(raw, "Ts")
        if not test:
            raise UserError(
                f"{raw / 'imagesTs'}: no test volumes, but the split says `test: imagesTs`; "
                f"change tasks.{raw.name}.prepare.split in params.yaml"
            )
        raise_problems(
            [
                f"{raw / test[case][0]}: {case} is a training case too; rename it"
                for case in sorted({*test} & {*training})
            ]
        )
    else:
        wanted["test"] = split.test
    counts = {name: part for name, part in wanted.items() if isinstance(part, int)}
    lists = {name: part for name, part in wanted.items() if isinstance(part, tuple)}
    if split.file or split.folds:
        chosen = _from_file_or_folds(training, split)
    else:
        chosen = _counted(raw, training, counts) if counts else _listed(raw, training, lists)
    cases = [(name, case, *training[case]) for name, case in chosen]
    cases += [("test", case, *pair) for case, pair in test.items()]
    return tuple(Source(case, name, image, label) for name, case, image, label in cases)


def _from_file_or_folds(training: Mapping[str, object], split: Split) -> list[tuple[str, str]]:
    """Return (split, case) of the cases of imagesTr; errors as in split_files.py."""
    tested = split.test != "imagesTs"
    if split.file is None:
        assert split.folds is not None
        assert split.fold is not None
        return split_files.divided([*training], split.folds, split.fold, tested)
    path = Path(split.file)
    if split.fold is not None:
        return split_files.read_folds(path, split.fold, training, tested)
    return split_files.read_csv(path, training, PARTS if tested else PARTS[:2])


def in_no_split(raw: Path, sources: Iterable[Source]) -> list[str]:
    """Return the cases of imagesTr that are in no split, sorted by file name."""
    used = {source.name for source in sources}
    return [name for path in nifti_files(raw / "imagesTr") if (name := case_name(path.name)) not in used]


def _counted(raw: Path, cases: Mapping[str, object], counts: Mapping[str, int]) -> list[tuple[str, str]]:
    if sum(counts.values()) > len(cases):
        raise UserError(
            f"{raw / 'imagesTr'}: {len(cases)} volumes, but the split asks for "
            f"{' + '.join(map(str, counts.values()))}; change tasks.{raw.name}.prepare.split in params.yaml"
        )
    names = [name for name, count in counts.items() for _ in range(count)]
    return list(zip(names, cases, strict=False))


def _listed(
    raw: Path, cases: Mapping[str, object], lists: Mapping[str, tuple[str, ...]]
) -> list[tuple[str, str]]:
    raise_problems(
        [
            f"params.yaml: tasks.{raw.name}.prepare.split.{name}: {case!r} is no case of {raw / 'imagesTr'}; "
            f"{suggestion(case, cases)}"
            for name, part in lists.items()
            for case in part
            if case not in cases
        ]
    )
    return [(name, case) for name, part in lists.items() for case in part]


def _pairs(raw: Path, suffix: str) -> dict[str, tuple[Path, Path]]:
    """Return image and label of each case, relative to the folder, in the order of sorted file names."""
    images, labels = (_by_name(raw, f"{kind}{suffix}") for kind in ("images", "labels"))
    raise_problems(
        [
            f"{raw / path}: image without label in labels{suffix}"
            for n, path in images.items()
            if n not in labels
        ]
        + [
            f"{raw / path}: label without image in images{suffix}"
            for n, path in labels.items()
            if n not in images
        ]
    )
    raise_problems(
        [
            f"{raw / images[n]}: is there as {n}.gz too; remove one of them"
            for n in images
            if f"{n}.gz" in images
        ]
    )
    return {case_name(n): (images[n], labels[n]) for n in images}


def _by_name(raw: Path, folder: str) -> dict[str, Path]:
    """Return the volumes of a folder, relative to the data set's, by and sorted by comparable names."""
    paths: dict[str, Path] = {}
    problems: list[str] = []
    for path in nifti_files(raw / folder):
        first = paths.setdefault(comparable(path.name), path.relative_to(raw))
        if (raw / first) != path:
            problems.append(f"{path}: is there as {first.name} too; remove one of them")
    raise_problems(problems)
    return dict(sorted(paths.items()))
