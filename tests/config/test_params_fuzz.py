"""params.yaml with anything in it: a valid study, or problems that each name the file and a line."""

import io
import re
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from mutations import ODD_SCALARS, efforts, fuzz, mutated_bytes
from ruamel.yaml import YAML
from workspace import ROOT

from context_fbr.config.document import Document
from context_fbr.config.preprocessing import Prepare
from context_fbr.config.raw import read_raw
from context_fbr.config.study import read_study
from context_fbr.config.training import Training
from context_fbr.core.errors import UserError
from context_fbr.networks import factory

TEXT = (ROOT / "tests" / "support" / "study.yaml").read_text()
LINES = TEXT.splitlines()
KEYED = [number for number, line in enumerate(LINES) if re.match(r" *\w+:", line)]
ODD_KEYS = ("1", "~", "true", "[1, 2]", "{a: 1}", "<<", "&a x", "*a", "''", "é", "'a\\nb'", '"a\\nb"', "? x", "2001-12-14", "1.5", "a" * 300)  # fmt: skip
PLACES = st.sampled_from(KEYED)

plain_values: SearchStrategy[object] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.dates()
    | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


def with_line(number: int, *lines: str) -> str:
    return "\n".join([*LINES[:number], *lines, *LINES[number + 1 :], ""])


def indent_of(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def with_value(number: int, value: str) -> str:
    return with_line(number, f"{LINES[number].partition(':')[0]}: {value}")


def with_key(number: int, key: str) -> str:
    line = LINES[number]
    return with_line(number, f"{indent_of(line)}{key}:{line.partition(':')[2]}")


def moved(number: int, spaces: str) -> str:
    return with_line(number, spaces + LINES[number].lstrip())


def with_tree_value(place: int, value: object) -> str:
    """Replace one of all values, whatever holds it, and write the YAML anew."""
    root = YAML(typ="safe").load(TEXT)
    slots: list[tuple[dict | list, object]] = []

    def walk(node: object) -> None:
        pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, item in pairs:
            slots.append((node, key))  # type: ignore[arg-type]
            walk(item)

    walk(root)
    holder, key = slots[place % len(slots)]
    holder[key] = value  # type: ignore[index, call-overload]
    text = io.StringIO()
    YAML(typ="safe", pure=True).dump(root, text)
    return text.getvalue()


texts: SearchStrategy[bytes] = st.one_of(
    st.builds(with_value, PLACES, st.sampled_from(ODD_SCALARS)),
    st.builds(with_key, PLACES, st.sampled_from(ODD_KEYS)),
    st.builds(with_line, PLACES),
    st.builds(lambda number: with_line(number, LINES[number], LINES[number]), PLACES),
    st.builds(moved, PLACES, st.sampled_from(["", " ", "   ", "\t", "      ", " " * 40])),
    st.builds(with_tree_value, st.integers(0, 10_000), plain_values),
    st.builds(lambda number, other: with_line(number, LINES[other]), PLACES, PLACES),
).map(lambda text: text.encode("utf-8", "surrogatepass")) | mutated_bytes(TEXT.encode())


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


LAUGHS = "\n".join(
    f"  {b}: &{b} [{', '.join([f'*{a}'] * 10)}]" for a, b in zip("abcdefghi", "bcdefghij", strict=True)
)
ENDLESS = {
    "aliases of aliases": f"laughs:\n  a: &a [1, 2]\n{LAUGHS}\n",
    "a mapping merged into itself": "grid: &g\n  <<: *g\n",
    "brackets": "grid: " + "[" * 3000 + "]" * 3000,
    "braces": "grid: " + "{a: " * 300 + "1" + "}" * 300,
    "indents": "\n".join(f"{' ' * depth}a:" for depth in range(400)),
    "a number": f"grid: {'9' * 5000}",
}  # fmt: skip


@pytest.mark.parametrize("what", ENDLESS)
def test_what_would_never_end_is_refused_in_time(tmp_path: Path, what: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(ENDLESS[what])
    with pytest.raises(UserError) as caught:
        Document.read(path)
    check_problems(path, ENDLESS[what].encode(), caught.value)


ARGUMENTS = ("channels", "strides", "num_res_units", "norm", "act", "kernel_size", "dropout", "bias", "adn_ordering", "up_kernel_size")  # fmt: skip
SIZES = ("0", "-1", "1", "7", "1000", "1000000", "1000000000000", "9" * 30, ".nan", "1e300", "[]", "{}", "~", "true", "abc", "[1]", "[-1, 2]", "[1, 1, 1]",
         "[1000000000, 1, 1, 1]", "[100000, 100000, 100000, 100000]", "[[1]]", "{a: 1}", "batch", "[group, {num_groups: 3}]", f"[{', '.join(['8'] * 300)}]")  # fmt: skip


@efforts(20, 200)
def test_a_network_with_any_argument_is_built_or_refused_in_time(tmp_path: Path, examples: int) -> None:
    path = tmp_path / "params.yaml"

    def check(drawn: tuple[dict[str, str], int]) -> object:
        changes, patch_size = drawn
        arguments = {"channels": "[8, 16, 32, 64]", "strides": "[2, 2, 2]"} | changes
        lines = [f"    {key}: {value}" for key, value in arguments.items()]
        path.write_text("\n".join(["networks:", "  net:", "    network: UNet", *lines, ""]))
        return factory.check(Document.read(path), "net", patch_size)

    changes = st.dictionaries(st.sampled_from(ARGUMENTS), st.sampled_from(SIZES), min_size=1, max_size=2)
    fuzz(
        "networks",
        examples,
        st.tuples(changes, st.sampled_from([1, 16, 17, 96, 10**6, 10**12])),
        check,
        lambda _, error: check_problems(path, path.read_bytes(), error),
    )


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
    path.write_text(f"networks:\n  net:\n    network: UNet\n    {arguments}\n")
    with pytest.raises(UserError, match=rf"params\.yaml:2: networks\.net: UNet is too large .*{expected}"):
        factory.check(Document.read(path), "net", 16)
