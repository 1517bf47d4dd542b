"""What README and docs/ point to is in the repository."""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from workspace import ROOT

from context_fbr.config import profiles

LINK = re.compile(r"\]\(([^)\s]+)\)")
TRACKED = subprocess.run(
    ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
).stdout.splitlines()
PAGES = sorted(name for name in TRACKED if name.endswith(".md"))


def targets(page: str) -> list[str]:
    """What a page links to within the repository, from its root."""
    links = [link.partition("#")[0] for link in LINK.findall((ROOT / page).read_text(encoding="utf-8"))]
    own = [link for link in links if link and ":" not in link]
    return [str((ROOT / page).parent.joinpath(link).resolve().relative_to(ROOT)) for link in own]


def is_tracked(target: str) -> bool:
    return any(name == target or name.startswith(f"{target}/") for name in TRACKED)


def is_result_of_another_study(target: str, folder: Path = ROOT) -> bool:
    """Whether it is a result of the desk study, in a clone whose params.yaml has become another study."""
    if not target.startswith(("metrics/", "plots/")):
        return False
    with tempfile.TemporaryDirectory() as scratch:
        return bool(profiles.apply("desk", Path(shutil.copy(folder / "params.yaml", scratch))))


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_to_a_file_of_the_repository(page: str) -> None:
    missing = [target for target in targets(page) if not is_tracked(target)]
    assert [target for target in missing if not is_result_of_another_study(target)] == []


def test_a_study_of_other_tasks_may_lack_the_results_that_the_readme_shows(tmp_path: Path) -> None:
    """U4."""
    text = (ROOT / "params.yaml").read_text()
    for task, expected in (("spheres", False), ("mine", True)):
        (tmp_path / "params.yaml").write_text(text.replace("tasks: [spheres]", f"tasks: [{task}]"))
        assert is_result_of_another_study("plots/overlays/spheres.png", tmp_path) is expected
        assert not is_result_of_another_study("docs/no.md", tmp_path)


def test_the_pages_that_people_read_have_links() -> None:
    assert "benchmarks/results.csv" in targets("docs/explanation/speed.md")
    assert len(targets("README.md")) > 5
    assert not is_tracked("benchmarks/no.csv")
