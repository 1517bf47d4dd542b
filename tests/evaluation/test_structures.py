"""Several structures: classes, scores against other programs, and one structure as it was before."""

import numpy as np
import pytest
import torch
from monai.losses import DiceCELoss, DiceLoss
from monai.metrics import DiceMetric, HausdorffDistanceMetric
from pydantic import ValidationError
from surface_distance import compute_surface_dice_at_tolerance, compute_surface_distances

from context_fbr.config.document import plain as plain_tree_of
from context_fbr.config.prepare.preprocessing import Preparation
from context_fbr.core.geometry import classes_to_original, geometry, to_original
from context_fbr.evaluation.case_scores import score_case, score_structures
from context_fbr.metrics import columns
from context_fbr.networks.sliding_window import mask
from context_fbr.preprocessing.originals import Original
from context_fbr.preprocessing.prepared import Case
from context_fbr.preprocessing.transforms import class_map, label_values
from context_fbr.training.recipe.loss import loss

NAMES = (("near", (4, 2)), ("far", (7,)))
SPACING = (1.0, 1.5, 2.0)


def volumes(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two overlapping balls of each class, prediction and label (x, y, z)."""
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(2):
        classes = np.zeros((20, 22, 18), np.uint8)
        for number, centre in ((1, (7, 9, 8)), (2, (12, 12, 9))):
            place = np.array(centre) + generator.integers(-1, 2, 3)
            squares = sum((axis - p) ** 2 for axis, p in zip(np.indices(classes.shape), place, strict=True))
            classes[squares <= generator.integers(9, 26)] = number
        found.append(classes)
    return found[0], found[1]


def case(shape: tuple[int, int, int], structures: object = NAMES) -> Case:
    where = geometry(shape, np.diag([*SPACING, 1.0]))
    return Case("a", "test", "i", "l", (4, 2, 7), where, 0.0, 10, 0.1, 0.0, structures=structures)


def test_label_values_become_the_numbers_of_their_structures_and_the_first_of_each_comes_back() -> None:
    values = np.array([[0, 4, 7], [2, 3, 255]], np.float32)
    groups = tuple(own for _, own in NAMES)

    assert class_map(values, groups).tolist() == [[0, 1, 2], [1, 0, 0]]
    assert label_values(class_map(values, groups), groups).tolist() == [[0, 4, 7], [4, 0, 0]]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # surface-distance takes scipy's old names
@pytest.mark.parametrize("seed", range(3))
def test_each_structure_has_the_scores_of_monai_and_of_surface_distance(seed: int) -> None:
    prediction, label = volumes(seed)
    rows, _ = score_structures(prediction, label, case(label.shape), Original(label), 1.0)
    table = [dict(zip(columns.of_cases(rows), row, strict=True)) for row in rows]
    one_hot = [
        torch.stack([torch.from_numpy(classes == number) for number in range(3)])[None].float()
        for classes in (prediction, label)
    ]
    dice = DiceMetric(include_background=False)(*one_hot)[0]
    hausdorff = HausdorffDistanceMetric(include_background=False)(*one_hot)[0]
    for number, row in enumerate(table[1:], start=1):
        own = compute_surface_distances(label == number, prediction == number, SPACING)
        assert row["dsc"] == pytest.approx(float(dice[number - 1]))
        assert row["hausdorff"] == pytest.approx(float(hausdorff[number - 1]))
        assert row["surface_dice"] == pytest.approx(compute_surface_dice_at_tolerance(own, 1.0))
        assert row["fg_ratio"] == (label == number).mean()
    assert [row["structure"] for row in table] == ["whole", "near", "far"]


def test_the_whole_has_the_row_of_a_mask_of_one_class() -> None:
    prediction, label = volumes(5)
    rows, _ = score_structures(prediction, label, case(label.shape), Original(label), 1.0)
    masks = [(classes > 0).astype(np.uint8) for classes in (prediction, label)]
    alone, _ = score_structures(*masks, case(label.shape, ()), Original(masks[1]), 1.0)

    assert rows[0] == (*alone[0], "whole")
    assert alone[0] == score_case(*masks, case(label.shape, ()), Original(masks[1]), 1.0)[0]
    assert columns.of_cases(alone) == columns.CASE_SCORES
    assert columns.of_cells([columns.with_window(rows[0], 0, 16)])[-3:] == ("padded", "window", "structure")


def test_a_baseline_that_knows_no_structure_predicts_each() -> None:
    _, label = volumes(1)
    everything = np.ones(label.shape, np.uint8)
    rows, _ = score_structures(everything, label, case(label.shape), Original(label), 1.0, shared=True)

    for number, row in enumerate(rows[1:], start=1):
        count = int((label == number).sum())
        assert row[1] == pytest.approx(2 * count / (label.size + count))


@pytest.mark.parametrize("spacing", [(1.0, 1.5, 2.0), (1.7, 1.0, 3.1)])
def test_classes_on_the_original_grid_are_those_of_their_masks(spacing: tuple[float, float, float]) -> None:
    _, label = volumes(2)
    affine = np.diag([-2.0, 1.5, 2.5, 1.0])
    where = geometry((11, 22, 14), affine, ((1, 10), (0, 20), (2, 14)), spacing)
    classes = label[: where.shape[0], : where.shape[1], : where.shape[2]]
    classes = np.pad(classes, [(0, n - m) for n, m in zip(where.shape, classes.shape, strict=True)])

    found = classes_to_original(classes, where, 2)

    union = to_original((classes > 0).astype(np.uint8), where)
    np.testing.assert_array_equal(found > 0, union > 0)
    for number in (1, 2):  # a class that has more than half of a voxel has it
        own = to_original((classes == number).astype(np.uint8), where)
        disputed = own & to_original((classes == 3 - number).astype(np.uint8), where)
        assert (found[(own > 0) & (disputed == 0)] == number).all()
    single = classes_to_original((classes == 1).astype(np.uint8), where, 1)
    np.testing.assert_array_equal(single, to_original((classes == 1).astype(np.uint8), where))


@pytest.mark.parametrize("over", ["patch", "batch"])
@pytest.mark.parametrize("kind", ["dice", "dice_ce"])
def test_the_loss_of_three_classes_is_that_of_monai(kind: str, over: str) -> None:
    generator = torch.Generator().manual_seed(1)
    outputs = torch.randn((2, 3, 6, 5, 4), generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 3, (2, 1, 6, 5, 4), generator=generator, dtype=torch.uint8)
    of_monai = {"dice": DiceLoss, "dice_ce": DiceCELoss}[kind](
        to_onehot_y=True, softmax=True, batch=over == "batch"
    )

    assert float(loss(kind, over)(outputs, labels)) == pytest.approx(
        float(of_monai(outputs, labels.long())), abs=1e-7
    )


def test_the_class_with_the_greatest_logit_wins_and_the_first_of_a_tie() -> None:
    logits = torch.tensor([[1.0, 0.0, 2.0, 0.0], [1.0, 3.0, 2.0, 5.0], [0.0, 3.0, 1.0, 6.0]])[
        :, :, None, None
    ]

    assert mask(logits).flatten().tolist() == [0, 1, 0, 2]
    random = torch.randn((4, 5, 6, 7), generator=torch.Generator().manual_seed(3))
    assert (mask(random) == random.argmax(dim=0)).all()


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"structures": {"a": (1,)}, "foreground": (1,)}, "structures"),
        ({"structures": {"a": (1, 2), "b": (2,)}}, "structures"),
        ({"structures": {"whole": (1,)}}, "structures"),
        ({"structures": {}}, "structures"),
        ({"structures": {"A b": (1,)}}, "structures"),
        ({"structures": {"a": (0,)}}, "structures"),
        ({"structures": {"a": (1,)}, "distractor": (1,)}, "distractor"),
    ],
)
def test_structures_that_contradict_one_another_are_refused(settings: dict[str, object], where: str) -> None:
    with pytest.raises((ValidationError, ValueError), match=where):
        Preparation.model_validate(settings)


def test_one_structure_is_a_foreground_and_is_written_as_one() -> None:
    named, plain = Preparation(structures={"a": (3, 1)}), Preparation(foreground=(3, 1))

    assert (named.groups, named.names) == (plain.groups, plain.names) == (((3, 1),), ())
    assert "structures" not in plain.model_dump(mode="json")
    several = Preparation(structures={"a": (3,), "b": (1,)})
    assert Preparation.model_validate(plain_tree_of(several.model_dump(mode="json"))) == several
    assert Preparation(structures={"a": (3,), "b": (1,)}).names == ("a", "b")
