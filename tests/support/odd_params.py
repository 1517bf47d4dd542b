"""params.yaml with anything in it, and arguments of networks that make no sense."""

import io
import re

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from mutations import ODD_SCALARS, mutated_bytes
from ruamel.yaml import YAML
from workspace import ROOT

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
    """Replace one of all values, whatever holds it, and write the YAML again."""
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

ARGUMENTS = ("channels", "strides", "num_res_units", "norm", "act", "kernel_size", "dropout", "bias", "adn_ordering", "up_kernel_size")  # fmt: skip

SIZES = ("0", "-1", "1", "7", "1000", "1000000", "1000000000000", "9" * 30, ".nan", "1e300", "[]", "{}", "~", "true", "abc", "[1]", "[-1, 2]", "[1, 1, 1]",
         "[1000000000, 1, 1, 1]", "[100000, 100000, 100000, 100000]", "[[1]]", "{a: 1}", "batch", "[group, {num_groups: 3}]", f"[{', '.join(['8'] * 300)}]")  # fmt: skip
