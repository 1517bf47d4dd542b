"""Metadata of the committed results: questions that Calkit reads, and a research object."""

import hashlib
import json
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from rocrate.rocrate import ROCrate
from ruamel.yaml import YAML
from workspace import ROOT

QUESTIONS = YAML(typ="safe").load(ROOT / "calkit.yaml")["questions"]
FINDINGS = {
    f"{finding['task']}-{finding['id']}".replace("_", "-"): finding
    for path in [*ROOT.glob("metrics/*/findings.json"), ROOT / "metrics/compare/context.json"]
    if path.parent.name != "published"
    for finding in json.loads(path.read_text())["findings"]
}


def value(evidence: dict[str, str]) -> Any:
    """Resolve a value as Calkit does: a key of names and numbers between dots."""
    tree = json.loads((ROOT / evidence["path"]).read_text())
    return reduce(
        lambda own, key: own[int(key)] if isinstance(own, list) else own[key],
        evidence["key"].split("."),
        tree,
    )


def test_every_finding_is_a_question_once() -> None:
    assert sorted(question["name"] for question in QUESTIONS) == sorted(FINDINGS)


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question["name"])
def test_an_answer_says_the_verdict_and_its_numbers_are_read_from_the_results(
    question: dict[str, Any],
) -> None:
    finding = FINDINGS[question["name"]]
    assert finding["statement"] in question["question"]
    assert finding["statement"] in question["hypothesis"]
    values = {own["name"]: value(own) for own in question["evidence"] if own["kind"] == "value"}
    assert values == {
        name: finding[name] for name in ("estimate", "low", "high") if finding[name] is not None
    }
    answer = question["answer"].format(**values)
    assert answer.startswith(finding["verdict"])
    if finding["low"] is not None:
        assert f"[{finding['low']:+.3f}, {finding['high']:+.3f}]" in answer
    for own in question["evidence"]:
        assert (ROOT / own["path"]).is_file()


def test_the_research_object_is_read_by_its_library_and_names_every_result_with_its_hash() -> None:
    crate = ROCrate(str(ROOT))
    assert crate.root_dataset["license"].id == "https://spdx.org/licenses/MIT"
    described = {own.id: own for own in crate.data_entities}
    results = {
        path.relative_to(ROOT).as_posix()
        for folder in ("metrics", "plots")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.name != "README.md"
    }
    results = {
        name
        for name in results
        if name.split("/")[1] not in ("provenance", "baselines", "train", "test", "foreground_ratios")
    }
    assert results | {"params.yaml", "dvc.yaml", "dvc.lock"} == set(described)
    for name in results:
        assert described[name]["sha256"] == hashlib.sha256((ROOT / name).read_bytes()).hexdigest()
        assert int(described[name]["contentSize"]) == Path(ROOT / name).stat().st_size
