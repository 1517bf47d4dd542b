"""What README and docs/ point to is in the repository."""

import re
import subprocess

import pytest
from pipeline import ROOT

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


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_to_a_file_of_the_repository(page: str) -> None:
    assert [target for target in targets(page) if not is_tracked(target)] == []


def test_the_pages_that_people_read_have_links() -> None:
    assert "benchmarks/results.csv" in targets("docs/speed.md")
    assert len(targets("README.md")) > 5
    assert not is_tracked("benchmarks/no.csv")
