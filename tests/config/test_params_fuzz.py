"""params.yaml with anything in it: a valid study, or problems that each name the file and a line."""

import re
from pathlib import Path

import pytest
from hypothesis import strategies as st
from mutations import efforts, fuzz
from odd_params import ARGUMENTS, ENDLESS, SIZES, texts

from context_fbr.config.document import Document
from context_fbr.config.prepare.preprocessing import Prepare
from context_fbr.config.raw.source import read_raw
from context_fbr.config.study import read_study
from context_fbr.config.training import Training
from context_fbr.core.errors import UserError
from context_fbr.networks import factory


def check_problems(path: Path, content: bytes, error: UserError) -> None:
    """Each problem is one line that names a line of the file."""
    last = content.count(b"\n") + content.count(b"\r") + 1
    for problem in error.problems:
        found = re.match(rf"{re.escape(str(path))}:(\d+): ", problem)
        assert found, problem
        assert 1 <= int(found[1]) <= last, problem
        assert problem.isprintable(), problem
        assert len(problem) < 3000, problem


@efforts(200, 3_000)
def test_a_study_with_anything_in_it_is_valid_or_refused_with_its_lines(
    tmp_path: Path, examples: int
) -> None:
    path = tmp_path / "params.yaml"

    def read(content: bytes) -> object:
        path.write_bytes(content)
        return read_study(Document.read(path))

    tally = fuzz(
        "params.yaml", examples, texts, read, lambda content, error: check_problems(path, content, error)
    )
    assert tally.accepted > 0
    assert tally.refused > tally.examples // 3


@efforts(60, 1_500)
def test_each_stage_s_own_sections_are_valid_or_refused_with_their_lines(
    tmp_path: Path, examples: int
) -> None:
    path = tmp_path / "params.yaml"

    def read(content: bytes) -> None:
        path.write_bytes(content)
        document = Document.read(path)
        problems: list[str] = []
        for section in (
            lambda: document.section(("train",), Training),
            lambda: document.section(("tasks", "spleen", "prepare"), Prepare),
            lambda: read_raw(document, "spheres"),
            lambda: read_raw(document, "spleen"),
        ):
            try:
                section()
            except UserError as error:
                problems += error.problems
        if problems:
            raise UserError(*problems)

    fuzz(
        "sections of params.yaml",
        examples,
        texts,
        read,
        lambda content, error: check_problems(path, content, error),
    )


@pytest.mark.parametrize("what", ENDLESS)
def test_what_would_never_end_is_refused_in_time(tmp_path: Path, what: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(ENDLESS[what])
    with pytest.raises(UserError) as caught:
        Document.read(path)
    check_problems(path, ENDLESS[what].encode(), caught.value)


@efforts(20, 200)
def test_a_network_with_any_argument_is_built_or_refused_in_time(tmp_path: Path, examples: int) -> None:
    path = tmp_path / "params.yaml"

    def check(drawn: tuple[dict[str, str], int]) -> object:
        changes, patch_size = drawn
        arguments = {"channels": "[8, 16, 32, 64]", "strides": "[2, 2, 2]"} | changes
        lines = [f"    {key}: {value}" for key, value in arguments.items()]
        path.write_text("\n".join(["models:", "  net:", "    network: UNet", *lines, ""]))
        return factory.check(Document.read(path), "net", patch_size)

    changes = st.dictionaries(st.sampled_from(ARGUMENTS), st.sampled_from(SIZES), min_size=1, max_size=2)
    fuzz(
        "models",
        examples,
        st.tuples(changes, st.sampled_from([1, 16, 17, 96, 10**6, 10**12])),
        check,
        lambda _, error: check_problems(path, path.read_bytes(), error),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("channels: [8, 16, 32]\n    strides: [2, 2]\n    num_res_units: 1000000000", "too many layers"),
        ("channels: [100000, 200000, 400000]\n    strides: [2, 2]", "weights"),
    ],
)
def test_a_network_larger_than_any_machine_is_refused_and_its_size_said(
    tmp_path: Path, arguments: str, expected: str
) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f"models:\n  net:\n    network: UNet\n    {arguments}\n")
    with pytest.raises(UserError, match=rf"params\.yaml:2: models\.net: UNet is too large .*{expected}"):
        factory.check(Document.read(path), "net", 16)
