"""What fuzzing feeds to the readers, and how its tests count what came of it.

Seeds are fixed (0, 1, ... for each `CHUNK` of examples), so a failure comes back. A property ends after its number of
examples, one for `make test` (if it is not slow at any) and one for `make test-long`, or after `BUDGET_S`. For a longer search,
`FUZZ_TIMES=10 FUZZ_SECONDS=600 make test-long` tries ten times as many, for ten minutes a property at most.
"""

import copy
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, configuration, given, seed, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from context_fbr.core.errors import UserError

# What hypothesis keeps between runs: nothing that counts, and not in the project's folder.
configuration.set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "context-fbr-hypothesis")

Example = TypeVar("Example")
CHUNK = 50  # examples of one seed
BUDGET_S = float(os.environ.get("FUZZ_SECONDS", "5"))  # of a property; the first chunk is run to its end
TIMES = int(os.environ.get("FUZZ_TIMES", "1"))  # multiplies the examples of `make test-long`
QUICK, QUICK_S = 200, 0.7  # at most so many examples are those of `make test`, which has less time
SLOWEST_S = 20.0  # of one example: what takes longer hangs, for the one who waits

ODD_SCALARS = (
    "", "~", "null", "true", "no", "-1", "0", "1", "2", "0.0", "-0.0", "1e999", "-1e999", "1e-999", ".nan", ".inf",
    "-.inf", "nan", "99999999999999999999", "4294967296", "9" * 400, "0x10", "0o17", "0b1", "1_000", "1:30:00",
    "2001-12-14", "2001-99-99", "2001-12-14t21:59:43.10-05:00", "'16'", '"\\x00"', '"\\ud800"', "'", '"', "é", "名前",
    "\U0001f600", "[]", "{}", "[[]]", "[1]", "[1, 2]", "[1, two]", "[1, 1]", "[2, 1]", "[~]", "{a: 1}", "{1: 2}", "{~: 1}",
    "[1, [2, {a: [3]}]]", "{a: {b: {c: {}}}}", "? [1, 2]", "{[1, 2]: 3}", "{{a: 1}: 2}", "|", ">", "%", "@", "`", "&a 1",
    "*a", "&a [*a]", "&a {b: *a}", "<<", "{<<: 1}", "{<<: {a: 1}}", "!!python/object:os.system ls",
    "!!python/object/apply:os.system [ls]", "!!int x", "!!float x", "!!bool x", "!!null x", "!!binary x", "!!set {1, 2}",
    "!!omap [a: 1]", "!!timestamp x", "!!str 3", "!!seq 1", "!!map 1", "!mine {a: 1}", "!mine [1]", "!mine 1", "--- 1", "...",
    "a" * 10_000, "/", "..", "../../etc", "~nobody/x", "unet", "spheres", "imagesTs", "folder", "archive", "UNet", "Linear",
)  # fmt: skip
"""As they stand in YAML; most are wrong anywhere, some only where they are put."""


@dataclass
class Tally:
    """How many examples were tried, and what came of them."""

    accepted: int = 0
    refused: int = 0
    slowest_s: float = 0.0

    @property
    def examples(self) -> int:
        """That were tried."""
        return self.accepted + self.refused

    def __str__(self) -> str:
        return (
            f"{self.examples} examples, {self.refused} refused, {self.accepted} accepted, "
            f"slowest {self.slowest_s:.2f} s"
        )


def efforts(quick: int | None, thorough: int) -> pytest.MarkDecorator:
    """Parametrise a test by `examples`; the thorough number is for `make test-long`."""
    long = pytest.param(thorough * TIMES, marks=pytest.mark.long)
    return pytest.mark.parametrize("examples", [long] if quick is None else [quick, long])


def fuzz(
    what: str,
    examples: int,
    strategy: SearchStrategy[Example],
    use: Callable[[Example], object],
    inspect: Callable[[Example, UserError], None],
) -> Tally:
    """Use many examples; each must work or be refused with a UserError, and in time.

    Args:
        what: name for the line of counts that is printed.
        examples: how many.
        strategy: that draws them.
        use: what is tested.
        inspect: looks at the error of an example that is refused.
    """
    tally = Tally()

    def holds(example: Example) -> None:
        start = time.monotonic()
        refusal: UserError | None = None
        try:
            use(example)
            tally.accepted += 1
        except UserError as error:
            refusal = error
            tally.refused += 1
        if refusal:
            assert refusal.problems
            assert all(refusal.problems), refusal.problems
            inspect(example, refusal)
        took = time.monotonic() - start
        tally.slowest_s = max(tally.slowest_s, took)
        assert took < SLOWEST_S, f"{took:.0f} s"

    end = time.monotonic() + (BUDGET_S if examples > QUICK else QUICK_S)
    for number, first in enumerate(range(0, examples, CHUNK)):
        if number and time.monotonic() > end:
            break
        chunk = settings(
            max_examples=min(CHUNK, examples - first),
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        seed(number)(chunk(given(strategy)(holds)))()
    print(f"{what}: {tally}")
    return tally


def mutated_bytes(content: bytes, most: int = 4) -> SearchStrategy[bytes]:
    """Content that is cut, continued, or has some bytes overwritten."""
    place = st.integers(0, max(len(content) - 1, 0))
    rubbish = st.binary(min_size=1, max_size=8)

    def overwritten(changes: list[tuple[int, bytes]]) -> bytes:
        changed = bytearray(content)
        for start, new in changes:
            changed[start : start + len(new)] = new[: len(content) - start]
        return bytes(changed)

    return st.one_of(
        place.map(lambda end: content[:end]),
        st.binary(min_size=1, max_size=64).map(lambda tail: content + tail),
        st.lists(st.tuples(place, rubbish), min_size=1, max_size=most).map(overwritten),
        st.tuples(place, place).map(lambda ends: content[: min(ends)] + content[max(ends) :]),
        st.binary(max_size=200),
    )


ODD_FIELDS = (
    "", " ", "-1", "0", "1", "1.7", "-0.0", "1e400", "nan", "NaN", "inf", "-inf", "NA", "None", "text", "1,2", '"', '"a', "1.5",
    "9" * 30, "0x10", "1_0", "True", "1;0", "\x00", "é", "\ufeff", "a" * 140_000, "1e5", "2001-01-01", "'1'", " 1", "1 ", "+1",
)  # fmt: skip


@st.composite
def mutated_table(draw: st.DrawFn, text: str) -> bytes:
    """A CSV table with fields, rows or columns changed, or its bytes."""
    rows = [line.split(",") for line in text.splitlines()]
    for _ in range(draw(st.integers(1, 2))):
        row = draw(st.integers(0, len(rows) - 1))
        column = draw(st.integers(0, len(rows[0]) - 1))
        match draw(
            st.sampled_from(["field"] * 6 + ["drop", "repeat", "narrow", "widen", "names", "column", "swap"])
        ):
            case "field":
                rows[row] = [*rows[row][:column], draw(st.sampled_from(ODD_FIELDS)), *rows[row][column + 1 :]]
            case "drop" if len(rows) > 1:
                del rows[row]
            case "repeat":
                rows.insert(row, rows[row])
            case "narrow":
                rows[row] = rows[row][:column]
            case "widen":
                rows[row] = [*rows[row], draw(st.sampled_from(ODD_FIELDS))]
            case "names":
                rows[0] = [
                    *rows[0][:column],
                    draw(st.sampled_from([rows[0][0], "x", "", "DSC"])),
                    *rows[0][column + 1 :],
                ]
            case "column":
                rows = [[*row[:column], *row[column + 1 :]] for row in rows]
            case "swap":
                rows = [row[::-1] for row in rows]
        rows = [row or [""] for row in rows]
        if min(map(len, rows)) == 0 or not rows[0]:
            break
    changed = ("\n".join(",".join(row) for row in rows) + "\n").encode()
    return draw(
        st.just(changed)
        | st.just(changed)
        | st.just(changed)
        | mutated_bytes(text.encode())
        | st.sampled_from(
            [
                text.encode("utf-16"),
                text.replace("\n", "\r\n").encode(),
                b"\xef\xbb\xbf" + text.encode(),
                b"",
                b"\n",
            ]
        )
    )


ODD_JSON = (
    None, True, False, 0, 1, -1, 2, 1.5, -0.5, float("nan"), float("inf"), 1e308, 10**400, "", "x", "1", "../x", "/etc", "a\nb", "\ud800", [], {},
    [None], [1, "a"], {"a": 1}, [[1]], [[0, 1], [0, 1], [0, 1]], [0, 0, 0], [10**9] * 3, [-1, 2, 3], "a" * 10_000,
)  # fmt: skip


@st.composite
def mutated_json(draw: st.DrawFn, text: str) -> bytes:
    """A JSON file with a value or a key changed, or its bytes."""
    root = copy.deepcopy(json.loads(text))
    slots: list[tuple[object, object]] = []

    def walk(node: object) -> None:
        pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, item in pairs:
            slots.append((node, key))
            walk(item)

    walk(root)
    holder, key = draw(st.sampled_from(slots))
    match draw(st.sampled_from(["value", "value", "value", "drop", "rename", "add"])):
        case "drop":
            del holder[key]  # type: ignore[attr-defined]
        case "rename" if isinstance(holder, dict):
            holder["renamed"] = holder.pop(key)
        case "add" if isinstance(holder, dict):
            holder["added"] = draw(st.sampled_from(ODD_JSON))
        case _:
            holder[key] = draw(st.sampled_from(ODD_JSON))  # type: ignore[index]
    changed = json.dumps(root).encode("utf-8", "surrogatepass")
    odd_files = [
        b"",
        b"null",
        b"[]",
        b"3",
        b'"a"',
        b"{}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        text.encode("utf-16"),
        b"9" * 5000,
    ]
    return draw(
        st.just(changed) | st.just(changed) | mutated_bytes(text.encode()) | st.sampled_from(odd_files)
    )
