"""Figures: what is drawn, where it is, and the same bytes twice."""

import itertools

import numpy as np
import pandas as pd
import pytest
from made_study import study
from matplotlib.axes import Axes

from context_fbr.analysis.foreground_ranges import training_ranges
from context_fbr.analysis.results import CONFIG_COLUMNS
from context_fbr.figures import dice_by_patch_size, overlays, scores_by_foreground_ratio, style
from context_fbr.figures import training_ranges as ranges_figure
from context_fbr.figures.norms import norms_of
from context_fbr.figures.overlays import Panel
from context_fbr.overlay import choose, slice_of


def means_and_seeds() -> tuple[pd.DataFrame, pd.DataFrame]:
    means = pd.DataFrame(
        [
            ("t", "unet", 16, 0.9, 0.8, 1.0),
            ("t", "unet", 32, 0.95, 0.9, 1.0),
            ("t", "segresnet", 16, 0.5, None, None),  # a network without a name of its own, one seed
            ("t", "threshold", None, 0.999, 0.99, 1.0),
        ],
        columns=["task", "model", "patch_size", "dice", "low", "high"],
    ).astype({"patch_size": "Int64"})
    seeds = pd.DataFrame(
        [
            ("t", "unet", 16, 1, 0.9, True),
            ("t", "unet", 32, 1, 0.95, False),
            ("t", "segresnet", 16, 1, 0.5, None),
        ],
        columns=["task", "model", "patch_size", "seed", "dice", "converged"],
    ).astype({"converged": "boolean"})
    return means, seeds


def drawn(monkeypatch: pytest.MonkeyPatch, module: object) -> list:
    """Keep the figures that a module would turn into bytes."""
    kept: list = []
    monkeypatch.setattr(module, "png", lambda figure: kept.append(figure) or b"")
    return kept


def texts(axis: Axes) -> list[str]:
    """Texts in a panel, from top to bottom."""
    return [text.get_text() for text in sorted(axis.texts, key=lambda text: -text.get_position()[1])]


def test_the_answer_has_a_panel_a_network_with_its_seeds_as_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    means, seeds = means_and_seeds()
    kept = drawn(monkeypatch, dice_by_patch_size)
    dice_by_patch_size.dice_by_patch_size(*with_variant(means, seeds), title="A finding")
    figure = kept[0]
    unet, other = figure.axes
    assert figure.get_suptitle() == "A finding"
    assert (unet.get_title(), other.get_title()) == ("UNet", "segresnet")
    lines = [list(line.get_ydata()) for line in unet.get_lines()]
    assert lines == [[0.999, 0.999], [0.9, 0.95], [0.6, 0.7]]
    marks = [sorted(c.get_offsets()[:, 1]) for c in unet.collections]
    assert marks == [[0.9, 0.95], [0.95], [0.55, 0.65], []]  # each model's seeds, then those not converged
    assert [sorted(set(c.get_offsets()[:, 0])) for c in unet.collections][::2] == [
        [0, 1],
        [0],
    ]  # at their size
    assert [sorted(c.get_offsets()[:, 1]) for c in other.collections] == [[0.5], []]
    assert texts(unet) == ["intensity threshold", "UNet", "instance norm"]
    assert texts(other) == []  # the title names its only network
    assert {text.get_text() for text in figure.texts} == {"A finding", "x: one seed, not converged"}
    bottom, top = unet.get_ylim()
    assert bottom < 0.5
    assert top > 1


def with_variant(means: pd.DataFrame, seeds: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Add the network with another norm."""
    variant = means.iloc[:2].assign(model="unet_instance", dice=[0.6, 0.7])
    more = pd.DataFrame(
        [("t", "unet_instance", 16, 1, 0.55, True), ("t", "unet_instance", 16, 2, 0.65, True)],
        columns=seeds.columns,
    ).astype(seeds.dtypes)
    return pd.concat([means, variant]), pd.concat([seeds, more])


def test_norms_decide_marks_and_names_and_leave_other_variants_to_the_tables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    means, seeds = with_variant(*means_and_seeds())
    means = pd.concat([means, means.iloc[:2].assign(model="unet_other", dice=0.2)])
    kept = drawn(monkeypatch, dice_by_patch_size)
    norms = norms_of([("unet", "unet_instance")])
    dice_by_patch_size.dice_by_patch_size(means, seeds, norms)
    unet = kept[0].axes[0]
    assert texts(unet) == ["intensity threshold", "batch norm,\nas published", "instance norm"]
    assert [line.get_linestyle() for line in unet.get_lines()[1:]] == ["-", "--"]
    filled, hollow = (tuple(c.get_facecolors()[0]) for c in unet.collections[::2])
    assert hollow == (1, 1, 1, 1) != filled


@pytest.mark.parametrize(
    ("values", "at_the_bottom"),
    [
        ((0.95, 0.95, 0.94), False), ((0.9, 0.5, 0.1), False), ((0.5, 0.49, 0.48), False),
        ((0.02, 0.01), True), ((0.9, 0.03, 0.02, 0.01), True), ((-0.1,), True),
    ],
)  # fmt: skip
def test_names_at_the_ends_of_lines_do_not_overlap_and_are_above_the_axis(
    values: tuple[float, ...], at_the_bottom: bool
) -> None:
    _, axis = style.subplots(figsize=(4.4, 4.1))
    axis.set_ylim(0, 1)
    style.label_lines(axis, {f"name {n}\nsecond line": (v, "red") for n, v in enumerate(values)}, 1.0)
    axis.get_figure().canvas.draw()
    boxes = [text.get_window_extent() for text in axis.texts]
    assert all(upper.y0 >= lower.y1 - 1 for upper, lower in itertools.pairwise(boxes))
    assert boxes[-1].y0 >= axis.bbox.y0
    order = sorted(range(len(values)), key=lambda n: -values[n])
    assert [text.get_text().split("\n")[0] for text in axis.texts] == [f"name {n}" for n in order]
    for text, n in zip(axis.texts, order, strict=True):
        assert text.get_position()[1] <= values[n] or at_the_bottom


def test_legends_are_outside_of_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    evidence = study()
    for module, draw in (
        (ranges_figure, lambda: ranges_figure.training_ranges(evidence, "t")),
        (
            scores_by_foreground_ratio,
            lambda: scores_by_foreground_ratio.scores_by_foreground_ratio(
                scores_by_foreground_ratio.case_scores(evidence),
                scores_by_foreground_ratio.ratio_histogram(evidence),
                training_ranges(evidence.ratios, CONFIG_COLUMNS),
            ),
        ),
    ):
        kept = drawn(monkeypatch, module)
        draw()
        figure = kept[0]
        figure.canvas.draw()
        legends = [axis.get_legend() for axis in figure.axes if axis.get_legend()]
        assert len(legends) == 1
        box = legends[0].get_window_extent()
        for axis in figure.axes:
            assert not box.overlaps(axis.get_window_extent()), module


def test_figures_have_the_same_bytes_when_drawn_twice() -> None:
    evidence = study()

    def everything() -> list[bytes]:
        return [
            dice_by_patch_size.dice_by_patch_size(*means_and_seeds()),
            ranges_figure.training_ranges(evidence, "t")[1],
            overlays.overlays([panel("a", 0.5)]),
        ]

    assert everything() == everything()


def panel(case: str, dice: float, hausdorff: float = 1.0) -> Panel:
    image = np.random.default_rng(0).random((8, 9))
    label = np.zeros((8, 9), np.uint8)
    label[2:5, 3:6] = 1
    return Panel("unet", 16, "median", case, dice, hausdorff, image, label, np.zeros_like(label))


def test_an_overlay_says_dice_and_distance_or_that_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = drawn(monkeypatch, overlays)
    overlays.overlays([panel("a", 0.5, 3.25)])
    overlays.overlays([panel("b", 0.0, np.nan)])
    titles = [figure.axes[0].get_title() for figure in kept]
    assert titles == ["a\nDice 0.500\nHausdorff 3.2 voxels", "b\nDice 0.000\nHausdorff undefined"]


def test_the_median_and_the_worst_case_of_the_median_seed_are_chosen() -> None:
    rows = [
        ("unet", 16, seed, name, dice + offset, 1.0, 0.1)
        for seed, offset in ((1, 0.0), (2, 0.2), (3, 0.1))
        for name, dice in (("a", 0.5), ("b", 0.3), ("c", 0.4), ("d", 0.7))
    ]
    rows.append(("unet", 16, 3, "without label", None, None, 0.0))
    scores = pd.DataFrame(
        rows, columns=["model", "patch_size", "seed", "filename", "dsc", "hausdorff", "fg_ratio"]
    )
    chosen = choose(scores)
    assert chosen[["seed", "filename", "place"]].to_numpy().tolist() == [
        [3, "c", "median"],
        [3, "b", "worst"],
    ]


def rows(model: str, size: int, dice: list[float]) -> pd.DataFrame:
    """Scores of one seed."""
    names = [f"case_{n}" for n in range(len(dice))]
    return pd.DataFrame({"model": model, "patch_size": size, "seed": 1, "filename": names, "dsc": dice})


def test_networks_with_every_patch_size_are_shown() -> None:
    scores = pd.concat([rows(m, p, [0.1, 0.5, 0.9]) for m, p in (("a", 8), ("a", 16), ("b", 16))])
    assert set(choose(scores)["model"]) == {"a"}
    assert set(choose(scores[scores["patch_size"] == 16])["model"]) == {"a", "b"}


@pytest.mark.parametrize(
    ("dice", "expected"),
    [
        ([0.4], [("case_0", "median")]),
        ([0.4, 0.2], [("case_0", "median"), ("case_1", "worst")]),
        ([0.4, 0.2, 0.9], [("case_0", "median"), ("case_1", "worst")]),
    ],
)
def test_the_median_and_the_worst_case_are_never_the_same(
    dice: list[float], expected: list[tuple[str, str]]
) -> None:
    chosen = choose(rows("a", 8, dice))
    assert list(chosen[["filename", "place"]].itertuples(index=False, name=None)) == expected


def test_the_source_of_the_images_is_written_below_them(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = drawn(monkeypatch, overlays)
    overlays.overlays(
        [panel("a", 0.5)], "Images: Hippocampus, Vanderbilt University Medical Center, CC-BY-SA 4.0"
    )
    assert "Images: Hippocampus" in " ".join(text.get_text() for text in kept[0].texts)


def test_the_slice_goes_through_the_centre_of_the_label() -> None:
    label = np.zeros((6, 7, 8), np.uint8)
    label[1:3, 2:6, 4:7] = 1
    image = np.arange(label.size).reshape(label.shape)
    z, (shown, mask, _) = slice_of(image, label, label)
    assert z == 5
    assert shown.shape == (7, 6)  # (y, x)
    assert shown[3, 2] == image[2, 3, 5]
    assert mask.sum() == 8
    assert slice_of(image, label * 0, label)[0] == 4
