"""The range of the training foreground ratio by patch size, over the ratios of the test cases."""

import pandas as pd

from context_fbr.analysis.foreground_ranges import assign_range_group, shown_model
from context_fbr.analysis.observations import Evidence
from context_fbr.figures.style import COLOURS, RATIO_LABEL, axis_start, drawing, log_ratio_axis, png, subplots


def training_ranges(evidence: Evidence, task: str) -> tuple[pd.DataFrame, bytes]:
    """The range and quartiles of the training ratio by patch size over the test cases; table and figure.

    Table: task, patch_size, low, quartile_1, median, quartile_3, high, test cases below, within and above.
    """
    rows = assign_range_group(evidence)
    rows = rows[(rows["task"] == task) & rows["seed"].notna()]
    ratios = evidence.ratios[evidence.ratios["task"] == task]
    model = shown_model(ratios)
    ratios = ratios[ratios["model"] == model]
    table = []
    for size, own in ratios.groupby("patch_size"):
        tests = rows[(rows["model"] == model) & (rows["patch_size"] == size)]
        if task not in evidence.nested:
            tests = tests.drop_duplicates("filename")
        quartiles = own["foreground_ratio"].astype(float).quantile([0.25, 0.5, 0.75])
        counts = tests["group"].value_counts()
        table.append(
            {
                "task": task,
                "patch_size": size,
                "low": own["foreground_ratio"].min(),
                "quartile_1": quartiles[0.25],
                "median": quartiles[0.5],
                "quartile_3": quartiles[0.75],
                "high": own["foreground_ratio"].max(),
                **{group: int(counts.get(group, 0)) for group in ("below", "within", "above")},
            }
        )
    frame = pd.DataFrame(table).round(6)
    return frame, _draw(frame, rows[rows["model"] == model])


def _draw(table: pd.DataFrame, tests: pd.DataFrame) -> bytes:
    first = axis_start(tests["fg_ratio"])
    with drawing():
        figure, axis = subplots(figsize=(8.2, 1.5 + 0.5 * len(table)))
        for place, row in enumerate(table.itertuples(), start=1):
            low, quartile_1, median, quartile_3 = (
                max(value, first) for value in (row.low, row.quartile_1, row.median, row.quartile_3)
            )
            axis.hlines(place, low, row.high, color=COLOURS[0], linewidth=2)
            axis.hlines(place, quartile_1, quartile_3, color=COLOURS[0], linewidth=8)
            axis.plot(median, place, "o", color="white", markeredgecolor="black", markersize=6)
            axis.annotate(
                f"{row.below} below, {row.within} within, {row.above} above",
                (1.02, place),
                xycoords=("axes fraction", "data"),
                va="center",
            )
            own = tests[tests["patch_size"] == row.patch_size]
            for inside, colour in ((True, "black"), (False, COLOURS[1])):
                ratios = own.loc[(own["group"] == "within") == inside, "fg_ratio"].unique()
                axis.plot(ratios, [place - 0.27] * len(ratios), "|", color=colour, markersize=7, alpha=0.8)
        axis.set_yticks(range(1, len(table) + 1), [str(size) for size in table["patch_size"]])
        axis.set_ylim(0.4, len(table) + 0.6)
        axis.set_ylabel("patch size (voxels)")
        axis.set_xlabel(RATIO_LABEL)
        log_ratio_axis(axis, first)
        axis.annotate("test cases", (1.02, len(table) + 0.6), xycoords=("axes fraction", "data"), va="center")
        axis.plot([], [], color=COLOURS[0], linewidth=2, label="training patches: range")
        axis.plot([], [], color=COLOURS[0], linewidth=8, label="quartiles")
        axis.plot([], [], "o", color="white", markeredgecolor="black", label="median")
        axis.plot([], [], "|", color="black", markersize=8, label="test case within")
        axis.plot([], [], "|", color=COLOURS[1], markersize=8, label="test case outside")
        axis.legend(loc="lower left", bbox_to_anchor=(0, 1.01), ncols=5, columnspacing=1.5, handletextpad=0.7)
        axis.set_title(_title(table), fontsize=11, pad=26)
        return png(figure)


def _title(table: pd.DataFrame) -> str:
    """Return what the figure shows: at which patch size most test cases are outside of the range."""
    outside = table["below"] + table["above"]
    if not outside.any():
        return "Every test case is in the range of the training patches"
    row = table.loc[outside.idxmax()]
    cases = row[["below", "within", "above"]].sum()
    return (
        f"At patch {row['patch_size']}, {outside.max()} of {cases} test cases are outside of the range of "
        "the training patches"
    )
