"""Print constraints with the lowest version that pyproject.toml allows of each package the program needs.

python .github/scripts/lowest_versions.py > lowest.txt

The tools of development stay at their versions in constraints.txt.
"""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def name_of(requirement: str) -> str:
    """The name of a package in its normal form."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.\-]+", requirement)[0]).lower()


def lowest(requirement: str) -> str:
    """The requirement with `==` its lower bound."""
    bound = re.search(r">=([\w.]+)", requirement)
    return f"{name_of(requirement)}=={bound[1]}"


project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
tools = {name_of(requirement) for requirement in project["optional-dependencies"]["dev"]}
pinned = (ROOT / "constraints.txt").read_text().splitlines()
print(*(lowest(requirement) for requirement in project["dependencies"]), sep="\n")
print(*(line for line in pinned if "==" in line and name_of(line) in tools), sep="\n")
