"""Text about context in README and docs: every number and verdict from the files of metrics."""

from pathlib import Path
from unittest import mock

import pytest
from made_twins import CONTEXT_SETTINGS, CORES, GROUPS, Made, observed, seen, study

from context_fbr.analysis.findings import assembly
from context_fbr.analysis.result_files import write_csv
from context_fbr.analysis.tables.context import context_table
from context_fbr.analysis.tables.core_cells import core_cells
from context_fbr.figures.context import study_report
from context_fbr_tools.study.blocks import context_blocks
from context_fbr_tools.study.text_tables import interval_text


def written(made: Made, folder: Path) -> None:
    with mock.patch.object(assembly, "deciding_case", return_value=""):
        study_report.write(
            made.evidence, made.variants, CONTEXT_SETTINGS, folder / "metrics/compare", folder / "plots"
        )


def test_the_sentences_of_the_readme_are_those_of_the_findings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written(study(), tmp_path)
    text = context_blocks.context()
    found = {(f["task"], f["id"]): f for f in context_blocks._tree()["findings"]}
    first, plain = found["twins", "context_at_equal_core"], found["spheres", "no_context_needed"]
    for finding in (first, *first["parts"], plain):
        assert interval_text(finding["estimate"], finding["low"], finding["high"], "+") in text
    assert "windows of 48 instead of 16 voxels" in text
    assert "not decided" not in text
    assert "contradicted" not in text
    table = context_blocks.context_findings()
    assert len(table.splitlines()) == 2 + len(found)
    assert all(finding["statement"] in table for finding in found.values())
    parts = context_blocks.context_parts().splitlines()
    assert len(parts) == 2 + 5


def test_a_network_without_the_effect_is_named_with_its_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written(study(lambda m, p, c, d: 0.1 if m.startswith("att") else seen(m, p, c, d)), tmp_path)
    text = context_blocks.context()
    first, second = text.partition("Attention-UNet, batch norm ")[::2]
    assert "(not decided; UNet +" in first
    assert second.partition("]")[2].startswith(", not decided")
    assert "not supported for Attention-UNet, batch norm" in context_blocks.context_findings()


def test_the_published_recipe_is_next_to_the_observer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cells = core_cells(study().evidence.cells, CORES).query(
        "task == 'twins' and network.str.startswith('unet')"
    )
    cells = cells[cells["core"] == cells["patch_size"]]
    table = context_table(cells, observed([(16, 16), (32, 32), (48, 48)]), GROUPS[:1], 0.95)
    write_csv(Path("metrics/twins/context.csv"), table)
    rows = [line.split("|")[1:3] for line in context_blocks.published_recipe().splitlines()[2:]]
    assert [(name.strip(), patch.strip()) for name, patch in rows] == [
        (name, patch) for name in ("UNet", "UNet, published recipe") for patch in ("16", "32", "48")
    ]


def test_without_results_every_block_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ("context", "context_findings", "context_parts", "published_recipe")
    assert {getattr(context_blocks, name)() for name in names} == {context_blocks.ABSENT}
