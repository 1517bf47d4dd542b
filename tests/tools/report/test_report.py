"""The report of the committed results: its numbers, tables and origins, and what the check finds."""

import gzip
import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from workspace import ROOT

from context_fbr.core.errors import UserError
from context_fbr_tools.dvc import lockfile
from context_fbr_tools.exchange.report import assets, page
from context_fbr_tools.exchange.report.numbers import Number, Source, lookup
from context_fbr_tools.exchange.report.verify import verify
from context_fbr_tools.exchange.report.volumes import pack

KEPT = ("metrics", "plots", "params.yaml", "dvc.lock", ".dvc/plots/page.html")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This project's results in a folder of their own, without any volume."""
    folder = tmp_path_factory.mktemp("report") / "project"
    for name in KEPT:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name)
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def lock(project: Path) -> dict[str, dict[str, Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        return lockfile.entries()


@pytest.fixture(scope="module")
def text(project: Path, lock: dict[str, dict[str, Any]]) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        return page.read_page(Path(), "abc123", lock)


@pytest.fixture
def checked(
    project: Path, lock: dict[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], tuple[str, ...]]:
    """Check a text as a report of the project."""
    monkeypatch.chdir(project)

    def run(content: str) -> tuple[str, ...]:
        (tmp_path / "report.html").write_text(content)
        return verify(tmp_path / "report.html", Path(), lock).problems

    return run


@pytest.mark.slow
def test_every_finding_and_mean_is_in_the_page_and_every_number_has_an_origin(
    project: Path, text: str
) -> None:
    content = json.loads(re.search(r'id="content">(.*?)</script>', text, re.DOTALL)[1])
    for path in sorted(project.glob("metrics/*/findings.json")):
        if path.parent.name == "published":
            continue
        for finding in json.loads(path.read_text())["findings"]:
            assert finding["statement"].replace("'", "&#39;") in text
    keys = set(re.findall(r'data-origin="([^"]+)"', text))
    assert keys == set(content["origins"])
    for origin in content["origins"].values():
        assert origin["statistic"]
        assert origin["command"].startswith("dvc repro ")
        for name, digest in origin["files"]:
            assert hashlib.sha256((project / name).read_bytes()).hexdigest() == digest
        assert origin["inputs"]


def test_the_tables_have_every_training_and_every_test_case(project: Path, text: str) -> None:
    copies = json.loads(re.search(r'id="content">(.*?)</script>', text, re.DOTALL)[1])["copies"]
    for kind, name in (("cells", "cells.csv"), ("cases", "cases.csv")):
        for path in project.glob(f"metrics/*/{name}"):
            if path.parent.name in ("published", "compare"):
                continue
            lines = path.read_text().splitlines()
            seed = lines[0].split(",").index("seed")
            trained = [line for line in lines[1:] if line.split(",")[seed]]
            assert len(copies[f"{path.parent.name}/{kind}"]["rows"]) == len(trained)


def test_a_page_without_volumes_says_so_and_is_small(text: str) -> None:
    assert len(text.encode()) < page.MAX_BYTES
    assert "spheres: no volumes: " in text
    assert re.search(r'id="volumes">(.*?)</script>', text)[1] == "{}"


def test_the_page_loads_nothing(text: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1]
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    page_itself = text.partition('<script type="application/json"')[0]  # the libraries hold such texts
    assert not re.search(r"<(?:link|script|img|iframe)[^>]+(?:src|href)=\"(?!data:)", page_itself)


def test_an_unchanged_report_is_accepted_and_its_counts_are_not_zero(
    project: Path, text: str, lock: dict[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    (tmp_path / "r.html").write_text(text)
    found = verify(tmp_path / "r.html", Path(), lock)
    assert found.problems == ()
    assert found.numbers == text.count("<data ")
    assert found.means > 20
    assert found.rows > 1000


@pytest.mark.parametrize(
    ("pattern", "replacement", "named"),
    [
        (r'(<data value="[\d.]+" data-file="metrics/spheres/summary.json"[^>]*>\d\.\d\d)(\d)', "digit", "metrics/spheres/summary.json"),
        (r'(<data value="[\d.]*)(\d)(?=" data-file="metrics/spheres/findings.json")', "digit", "metrics/spheres/findings.json"),
        (r'("rows":\[\["unet",16,1,"[^"]+",0\.\d*)(\d)', "digit", "cases.csv: row 1 "),
        (r"(patch )16(; raises|, mean of UNet; Attention)", r"\g<1>17\g<2>", "line "),
        (r"()a mark is one test case", "", "line "),
        (r"(<li>UNet: <button.*</button> )supported", r"\g<1>contradicted", "line "),
    ],
)  # fmt: skip
def test_one_changed_digit_or_word_is_named(
    checked: Callable[[str], tuple[str, ...]], text: str, pattern: str, replacement: str, named: str
) -> None:
    def other(match: re.Match[str]) -> str:
        return match[1] + str((int(match[2]) + 1) % 10)

    changed, count = re.subn(
        pattern, other if replacement == "digit" else replacement, text, count=1, flags=re.IGNORECASE
    )
    assert count == 1
    problems = checked(changed)
    assert len(problems) == 1
    assert named in problems[0]


def test_a_report_of_other_results_is_refused_with_the_numbers_that_differ(
    project: Path, text: str, lock: dict[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Path(shutil.copytree(project, tmp_path / "other"))
    path = other / "metrics/spheres/summary.json"
    tree = json.loads(path.read_text())
    tree["spheres"]["unet"]["16"]["dice_mean"] = 0.5
    path.write_text(json.dumps(tree))
    (tmp_path / "r.html").write_text(text)
    monkeypatch.chdir(other)
    problems = verify(tmp_path / "r.html", Path(), lock).problems
    assert "spheres/unet/16/dice_mean is 0.5, 0.500, but the report has" in problems[0]
    assert any("mean Dice of the cases is" in problem for problem in problems)  # summary.json is wrong itself


@pytest.mark.parametrize("content", ["", "<html></html>", '<script id="content">{}</script>'])
def test_another_file_is_not_a_report(checked: Callable[[str], tuple[str, ...]], content: str) -> None:
    with pytest.raises(UserError, match="is not a report of this version"):
        checked(content)


def test_a_project_without_results_is_an_error(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = Path(shutil.copytree(project, tmp_path / "bare", ignore=shutil.ignore_patterns("metrics")))
    monkeypatch.chdir(bare)
    with pytest.raises(UserError, match="no results; run `make repro`"):
        page.read_page(Path(), "abc123", {})


def test_a_number_is_found_by_keys_and_by_names_of_entries() -> None:
    tree = {"findings": [{"id": "a", "estimate": 0.25, "parts": [{"name": "x/y", "low": None}]}], "text": "b"}
    assert lookup(tree, ("findings", "a", "estimate")) == 0.25
    assert lookup(tree, ("findings", "a", "parts", "x/y", "low")) is None
    assert Source("f.json", tree).number("findings", "a", "estimate", style="+.1f").text == "+0.2"
    assert Number("f.json", (), ".3f", None).text == "-"
    with pytest.raises(KeyError):
        lookup(tree, ("findings", "b"))
    with pytest.raises(ValueError, match="expected a number"):
        lookup(tree, ("text",))


def test_a_packed_volume_is_the_same_nifti_every_time() -> None:
    import base64

    import nibabel

    values, affine = np.arange(24, dtype=np.uint8).reshape(2, 3, 4), np.diag([1.0, 2, 3, 1])
    packed = pack(values, affine)
    assert pack(values, affine) == packed
    image = nibabel.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(packed)))
    np.testing.assert_array_equal(np.asarray(image.dataobj), values)
    np.testing.assert_array_equal(image.affine, affine)


def test_the_library_is_the_published_one() -> None:
    script = assets.niivue_script()
    assert hashlib.sha256(script.encode()).hexdigest() == assets.NIIVUE_SHA256
    assert "</script" not in script


def test_the_licence_of_each_library_is_in_the_page(text: str) -> None:
    for name in ("NiiVue 0.69.0", "fflate", "gl-matrix", "nifti-reader-js", "Vega-Lite", "D3", "zarrita"):
        assert name in text
