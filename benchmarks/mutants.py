"""Put small mistakes into the modules that compute numbers, one at a time; count those that the tests catch.

python -m benchmarks.mutants [MODULE...] [--list MODULE]    or: make mutants MODULES="metrics/overlap"

mutmut makes the mistakes (another operator, another number, an argument left out ...) and runs the fast tests
of the module against each, in one process that forks after its imports. A module takes minutes to an hour.
Results are kept in .mutants/MODULE: only functions that have changed are tried again, and, where a test has
changed, the mistakes that no test has caught before. Removing the folder begins from nothing.

The table goes to benchmarks/mutants.csv; docs/explanation/mutants.md says why each kind of survivor is left.
"""

import argparse
import datetime
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from benchmarks import table
from benchmarks.table import FOLDER, Table
from context_fbr.config.yaml.complaints import suggestion
from context_fbr.core.errors import UserError
from context_fbr.runtime import git
from context_fbr.runtime.entry import run_command

ROOT = Path(__file__).parents[1]
HOME = ROOT / ".mutants"
COPIED = ("src", "tests", "benchmarks", "docs", "params.yaml", "README.md")
"""What the tests of these modules read."""
TESTS = {
    "training/sampling": "training/test_sampling",
    "training/batches": "training/test_loop core/test_padding",
    "training/loop": "training/test_loop",
    "training/steps": "training/test_loop",
    "metrics/overlap": "metrics/test_overlap metrics/test_surface",
    "metrics/surface": "metrics/test_surface",
    "metrics/surface_search": "metrics/test_overlap metrics/test_surface",
    "core/geometry": "core/test_geometry",
    "preprocessing/transforms": "preprocessing/test_transforms",
    "preprocessing/splits": "preprocessing/test_splits",
    "datasets/spheres": "datasets/test_spheres",
    "baseline": "analysis/test_summary",
    "evaluation/baselines": "analysis/test_summary",
    "analysis/observations": "analysis/test_findings analysis/test_foreground_ranges analysis/test_summary",
    "analysis/foreground_ranges": "analysis/test_foreground_ranges analysis/test_findings",
    "analysis/confidence_intervals": "analysis/test_confidence_intervals",
    "analysis/findings/assembly": "analysis/test_findings",
    "analysis/findings/primary": "analysis/test_findings",
    "analysis/findings/exploratory": "analysis/test_findings",
    "analysis/findings/verdicts/holm": "analysis/test_holm",
    "analysis/findings/detection": "analysis/test_detection",
    "analysis/summary": "analysis/test_summary",
    "analysis/tables/differences": "analysis/test_summary",
    "diff/scores": "tools/diff/test_diff",
    "diff/report": "tools/diff/test_diff tools/diff/test_report",
    "diff/as_json": "tools/diff/test_diff",
    "training/recipe/loss": "training/test_loop",
}
"""Files of tests by module: only what they catch counts."""
LEFT_OUT = (
    "writes_valid or null_not_nan or distributed_as_monai or attention_unet or unetr or on_a_gpu or bf16"
    " or neither_dvc_nor_torch"
)
"""Tests that take seconds for each mistake (whole figures, large samples, the other two networks), or that
start Python where mutmut's settings are missing."""
CAUGHT = {1, 3, 36, 24, -24, 152, 255}  # a test failed, or pytest, or it took too long
SURVIVED, UNTESTED = 0, 33
RESULTS = Table(
    FOLDER / "mutants.csv",
    ("module", "mutants", "caught", "survivors", "caught_percent", "date", "commit"),
    ("module",),
)
SETTINGS = """
[tool.mutmut]
source_paths = ["src"]
only_mutate = ["{source}"]
also_copy = [{copied}]
pytest_add_cli_args = ["-m", "not slow", "-k", "not ({left_out})", "-p", "no:cacheprovider", "-p", "no:xdist"]
pytest_add_cli_args_test_selection = [{tests}]
use_git_change_detection = false
on_dependency_change = "ignore"
"""


@dataclass(frozen=True)
class Tally:
    """What became of the mistakes in one module."""

    caught: int
    survivors: tuple[str, ...]
    """mutmut's names of those that no test caught, or that no test reaches."""

    @property
    def mutants(self) -> int:
        """All that were tried."""
        return self.caught + len(self.survivors)

    @property
    def percent(self) -> float:
        """Caught."""
        return round(100 * self.caught / self.mutants, 1) if self.mutants else 100.0


def module_path(module: str) -> str:
    """Path of a module from the project's folder: of the study, or of the tools."""
    package = (
        "context_fbr" if (ROOT / "src" / "context_fbr" / f"{module}.py").is_file() else "context_fbr_tools"
    )
    return f"src/{package}/{module}.py"


def prepare(module: str) -> Path:
    """Bring the folder of a module up to date; what a changed test may catch is to be tried again."""
    folder = HOME / module.replace("/", "-")
    folder.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        source, target = ROOT / name, folder / name
        if source.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy2(source, target)
    files = [f"tests/{name}.py" for name in TESTS[module].split()]
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    quoted = (", ".join(json.dumps(name) for name in names) for names in (COPIED[1:], files))
    copied, tests = quoted
    settings = SETTINGS.format(source=module_path(module), copied=copied, tests=tests, left_out=LEFT_OUT)
    (folder / "pyproject.toml").write_text(text + settings, encoding="utf-8")
    digest = hashlib.sha256(b"".join((ROOT / file).read_bytes() for file in files)).hexdigest()
    known = folder / "tests.sha256"
    if not known.exists() or known.read_text() != digest:
        _forget_survivors(folder, module)
        known.write_text(digest)
    return folder


def _meta(folder: Path, module: str) -> Path:
    return folder / "mutants" / f"{module_path(module)}.meta"


def _forget_survivors(folder: Path, module: str) -> None:
    (folder / "mutants" / "mutmut-stats.json").unlink(missing_ok=True)
    path = _meta(folder, module)
    if path.exists():
        content = json.loads(path.read_text())
        codes = content["exit_code_by_key"]
        content["exit_code_by_key"] = {k: code if code in CAUGHT else None for k, code in codes.items()}
        path.write_text(json.dumps(content))


def tally(folder: Path, module: str) -> Tally:
    """Count what mutmut has found.

    Raises:
        UserError: if it was interrupted.
    """
    codes: dict[str, int | None] = json.loads(_meta(folder, module).read_text())["exit_code_by_key"]
    unknown = [name for name, code in codes.items() if code not in {*CAUGHT, SURVIVED, UNTESTED}]
    if unknown:
        raise UserError(f"{module}: {len(unknown)} of {len(codes)} mistakes were not tried; run it again")
    return Tally(
        Counter(code in CAUGHT for code in codes.values())[True],
        tuple(name for name, code in codes.items() if code not in CAUGHT),
    )


def mutate(module: str) -> Tally:
    """Try the mistakes in a module that are not decided yet."""
    folder = prepare(module)
    # A fork of a process with threads of OpenMP hangs in its first parallel loop.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": ""}
    command = [str(Path(sys.executable).with_name("mutmut")), "run", "--max-children", "1"]
    done = subprocess.run(command, cwd=folder, env=environment, check=False)
    if done.returncode:
        raise UserError(f"{module}: mutmut failed with status {done.returncode}, see above")
    return tally(folder, module)


def show(module: str) -> None:
    """Print every survivor of a module as a difference."""
    folder = HOME / module.replace("/", "-")
    for name in tally(folder, module).survivors:
        subprocess.run([Path(sys.executable).with_name("mutmut"), "show", name], cwd=folder, check=True)


def main(arguments: list[str]) -> None:
    """Run the modules, all without arguments, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=", ".join(TESTS))
    parser.add_argument("--list", metavar="MODULE", help="print the survivors of a module")
    options = parser.parse_args(arguments)
    for name in [*options.modules, *([options.list] if options.list else [])]:
        if name not in TESTS:
            raise UserError(f"{name}: is not one of the modules; {suggestion(name, TESTS)}")
    if options.list:
        show(options.list)
        return
    rows = []
    for module in options.modules or TESTS:
        found = mutate(module)
        numbers = (module, found.mutants, found.caught, len(found.survivors), found.percent)
        date, commit = datetime.date.today().isoformat(), git.revision()
        rows.append(dict(zip(RESULTS.columns, (*numbers, date, commit and commit[:7]), strict=True)))
        table.replace(RESULTS, rows)
    for row in (dict(zip(RESULTS.columns, RESULTS.columns, strict=True)), *rows):
        print("{module:30} {mutants:>8} {caught:>8} {survivors:>10} {caught_percent:>15}".format(**row))


if __name__ == "__main__":
    run_command(main)
