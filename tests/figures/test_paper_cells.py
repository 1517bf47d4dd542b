"""Title of the figure that puts the cells of the paper profile next to the published runs."""

import pandas as pd
import pytest

from context_fbr.figures.paper_cells import finding

PUBLISHED = pd.DataFrame(
    [("unet", 32, 0.98), ("unet", 48, 0.99), ("unetr", 32, 0.68)],
    columns=["model", "patch_size", "published_mean"],
)
AS_PUBLISHED = [("unet", 32, 0.981, 0.98, 0.0), ("unet", 48, 0.95, 0.99, 0.03)]
OTHERS = [
    ("unet_instance", 32, 0.588, None, None),
    ("unetr_batch", 32, 0.9955, None, None),
    ("unet_instance", 48, 0.7, None, None),
    ("threshold", "all", 1.0, None, None),
]


def means(rows: list[tuple[object, ...]]) -> pd.DataFrame:
    columns = ["model", "patch_size", "dice_mean", "published_mean", "outside_published_range"]
    return pd.DataFrame(rows, columns=columns)


@pytest.mark.parametrize("norms", [True, False])
def test_the_title_counts_the_means_within_the_published_range_and_names_what_a_norm_changes(
    norms: bool,
) -> None:
    lines = finding(means(AS_PUBLISHED + OTHERS[: 4 if norms else 0]), PUBLISHED).split("\n")

    assert lines[0] == "Run here as published: 1 of 2 means within the range of the published runs"
    assert lines[1:] == (
        [
            "Norm exchanged, patch 32: UNet, instance norm 0.59 instead of 0.98; "
            "UNETR, batch norm 1.00 instead of 0.68"
        ]
        if norms
        else []
    )
