"""The pairs of models, the cores and the groups of distances in `analysis`."""

from pathlib import Path

import pytest
from workspace import ROOT

from context_fbr.config.analysis import Analysis, core_problems
from context_fbr.config.document import Document
from context_fbr.core.errors import UserError

STUDY = ROOT / "tests" / "support" / "study.yaml"
LINE = (
    "exchanged_norms: [[unet, unet_instance], [attention_unet_batch, attention_unet], [unetr_batch, unetr]]"
)


def read(folder: Path, pairs: str | None) -> Analysis:
    text = STUDY.read_text()
    assert LINE in text
    path = folder / "params.yaml"
    path.write_text(text.replace(f"  {LINE}\n", "" if pairs is None else f"  exchanged_norms: {pairs}\n"))
    return Document.read(path).section(("analysis",), Analysis)


def test_pairs_are_read_in_their_order_and_may_be_absent(tmp_path: Path) -> None:
    assert read(tmp_path, "[[b, i], [c, i]]").exchanged_norms == (("b", "i"), ("c", "i"))
    assert read(tmp_path, "[]").exchanged_norms == read(tmp_path, None).exchanged_norms == ()


@pytest.mark.parametrize(
    "pairs", ["[[a]]", "[[a, b, c]]", "[[a, a]]", "[[a, b], [a, b]]", "[a, b]", "[[1, 2]]", "x"]
)
def test_what_is_no_pair_of_two_models_is_an_error_with_its_line(tmp_path: Path, pairs: str) -> None:
    with pytest.raises(UserError) as error:
        read(tmp_path, pairs)
    line = next(n for n, text in enumerate(STUDY.read_text().splitlines(), 1) if LINE in text)
    assert all(problem.startswith(f"{tmp_path / 'params.yaml'}:{line}: ") for problem in error.value.problems)


CORES = "supervised_cores: [[unet, unet_core16, 16], [unet, unet_core32, 32], [attention_unet_batch, attention_unet_batch_core16, 16]]"
GROUPS = "distance_groups: [[6, 8], [9, 12], [13, 15], [16, 18], [19, 22]]"


def replaced(folder: Path, line: str, key: str, value: str | None) -> Document:
    text = STUDY.read_text()
    assert line in text
    path = folder / "params.yaml"
    path.write_text(text.replace(line, "" if value is None else f"{key}: {value}"))
    return Document.read(path)


def test_cores_and_groups_are_read_in_their_order_and_may_be_absent(tmp_path: Path) -> None:
    read = replaced(tmp_path, CORES, "supervised_cores", "[[a, b, 16], [a, c, 1]]")
    assert read.section(("analysis",), Analysis).supervised_cores == (("a", "b", 16), ("a", "c", 1))
    assert replaced(tmp_path, CORES, "", None).section(("analysis",), Analysis).supervised_cores == ()
    read = replaced(tmp_path, GROUPS, "distance_groups", "[[6, 6], [7, 9]]")
    assert read.section(("analysis",), Analysis).distance_groups == ((6, 6), (7, 9))
    assert replaced(tmp_path, GROUPS, "", None).section(("analysis",), Analysis).distance_groups == ()


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        *((CORES, "supervised_cores", value) for value in ("[[a, b]]", "[[a, a, 16]]", "[[a, b, 0]]", "[[a, b, x]]", "[[a, b, 16], [c, b, 32]]", "[[a, b, 16], [b, c, 32]]", "x")),
        *((GROUPS, "distance_groups", value) for value in ("[[8, 6]]", "[[6, 8], [8, 9]]", "[[9, 12], [6, 8]]", "[[6]]", "[[-1, 2]]", "[6, 8]")),
    ],
)  # fmt: skip
def test_what_is_no_core_or_group_is_an_error_with_its_line(
    tmp_path: Path, line: str, key: str, value: str
) -> None:
    document = replaced(tmp_path, line, key, value)
    with pytest.raises(UserError) as error:
        document.section(("analysis",), Analysis)
    number = next(n for n, text in enumerate(STUDY.read_text().splitlines(), 1) if line in text)
    assert all(problem.startswith(f"{document.path}:{number}: ") for problem in error.value.problems)


@pytest.mark.parametrize(
    ("cores", "models", "expected"),
    [
        ("[[unet, unet_core16, 16]]", "", 0),  # not defined
        ("[[unet, unet_core16, 16]]", "  unet_core16: {network: UNet, train: {core: 16}}\n", 0),
        ("[[unet, unet_core16, 16]]", "  unet_core16: {network: UNet, train: {core: 32}}\n", 1),
        ("[[unet, unet_core16, 16]]", "  unet_core16: {network: UNet}\n", 1),
        ("[[other, unet_core16, 16]]", "  other: {network: UNet, train: {core: 8}}\n  unet_core16: {network: UNet}\n", 2),
    ],
)  # fmt: skip
def test_a_model_whose_core_is_another_one_is_a_problem_at_its_place(
    tmp_path: Path, cores: str, models: str, expected: int
) -> None:
    document = replaced(tmp_path, CORES, "supervised_cores", cores)
    document.path.write_text(document.path.read_text().replace("\nmodels:", "\nmodels:\n" + models + "#", 1))
    document = Document.read(document.path)
    problems = core_problems(document, document.section(("analysis",), Analysis))
    assert len(problems) == expected
    line = next(
        n for n, text in enumerate(document.path.read_text().splitlines(), 1) if "supervised_cores" in text
    )
    assert all(
        problem.startswith(f"{document.path}:{line}: analysis.supervised_cores.0.") for problem in problems
    )
