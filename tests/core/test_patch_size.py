"""Sizes of patches: cubes are whole numbers, other boxes have an order, a text and an edge on average."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from context_fbr.core.patch_size import Edges, PatchSize, edges_of, mean_edge, parse, plain, voxels

THICK = Edges(32, 32, 16)


@pytest.mark.parametrize(
    ("text", "expected"),
    [(32, 32), ("32", 32), ("32x32x16", THICK), ("1x2x3", Edges(1, 2, 3)), ("9x10000x9", Edges(9, 10000, 9))],
)
def test_a_size_is_read_and_written(text: object, expected: PatchSize) -> None:
    assert parse(text) == expected
    assert parse(str(expected)) == expected


@pytest.mark.parametrize(
    "text",
    [0, -1, 1.5, 32.0, True, None, "", "0", "032", "32x32", "32x32x32", "032x32x16", "32x32x0", "32X32X16",
     "32 x 32 x 16", "32x32x16x8", "-1x2x3", "1e1x2x3", "32x32x123456", "x", [32, 32, 16]],
)  # fmt: skip
def test_anything_else_is_no_size(text: object) -> None:
    with pytest.raises(ValueError, match=r"is .*, but should be|is a cube: write 32"):
        parse(text)


def test_sizes_are_in_the_order_of_their_voxels() -> None:
    sizes: list[PatchSize] = [48, Edges(16, 32, 32), 16, THICK, 32, Edges(48, 48, 47), Edges(17, 16, 16)]
    expected = [16, Edges(17, 16, 16), Edges(16, 32, 32), THICK, 32, Edges(48, 48, 47), 48]
    for order in itertools.islice(itertools.permutations(sizes), 0, 5040, 97):
        assert sorted(order) == expected
    assert [voxels(size) for size in expected] == sorted(map(voxels, expected))
    assert np.int64(32) > THICK
    assert np.int64(16) < THICK


def test_a_box_is_equal_to_no_cube_and_to_itself() -> None:
    assert Edges(32, 32, 16) == THICK
    assert hash(THICK) == hash(Edges(32, 32, 16))
    assert THICK not in (16, 32, Edges(32, 16, 32), "32x32x16")


def test_the_mean_edge_is_that_of_the_cube_with_as_many_voxels() -> None:
    assert mean_edge(32) == 32
    assert mean_edge(THICK) == pytest.approx(voxels(THICK) ** (1 / 3))
    assert mean_edge(Edges(16, 32, 64)) == pytest.approx(32)
    assert edges_of(7) == (7, 7, 7)
    assert math.prod(edges_of(THICK)) == voxels(THICK) == 16384


def test_pandas_groups_sorts_compares_and_writes_a_column_of_sizes() -> None:
    frame = pd.DataFrame({"size": pd.Series([32, THICK, 16, THICK], dtype=object), "value": [1, 2, 3, 4]})
    assert (frame["size"] == THICK).tolist() == [False, True, False, True]
    assert frame["size"].max() == 32
    assert [plain(size) for size in sorted(frame["size"].unique())] == [16, THICK, 32]
    assert frame.groupby("size")["value"].sum().to_dict() == {16: 3, THICK: 6, 32: 1}
    assert frame.to_csv(index=False).splitlines()[1:3] == ["32,1", "32x32x16,2"]
