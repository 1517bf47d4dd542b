"""A copy of the project in which tests run DVC for real."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import forks
from ruamel.yaml import YAML

from context_fbr.config import profiles
from context_fbr.runtime import git
from context_fbr_tools.dvc.project_copy import copy_project

ROOT = Path(__file__).parents[2]
TINY = ROOT / "tests" / "support" / "overlays" / "tiny.yaml"
PATIENCE_S = 400
"""Several times what the longest command of a test takes; one that hangs must not take all others with it."""
GIT_IDENTITY = {
    f"GIT_{role}_{field}": value
    for role in ("AUTHOR", "COMMITTER")
    for field, value in (("NAME", "test"), ("EMAIL", "test@localhost"))
}


@dataclass(frozen=True)
class Workspace:
    """The project's files, its own git repository, its own DVC cache."""

    path: Path

    @classmethod
    def make(cls, path: Path, overlay: Path) -> "Workspace":
        """Copy the project without its results' lock and write the overlay into params.yaml."""
        copy_project(path, ROOT)
        shutil.copy(ROOT / "tests" / "support" / "study.yaml", path / "params.yaml")
        profiles.apply_overlay(overlay, path / "params.yaml")
        (path / "dvc.lock").unlink(missing_ok=True)
        # Results of the tasks of params.yaml, which this study may lack.
        for results in {"compare", *(file.parent.name for file in path.glob("metrics/*/cells.csv"))}:
            for folder in ("metrics", "plots"):
                shutil.rmtree(path / folder / results, ignore_errors=True)
            others = [
                f"metrics/headline/{results}.json",
                *(f"plots/overlays/{results}.{e}" for e in ("csv", "png")),
            ]
            for file in others:
                (path / file).unlink(missing_ok=True)
        workspace = cls(path)
        workspace.run("git", "commit", "-qam", "Overlay")
        return workspace

    def copy(self, path: Path) -> "Workspace":
        """A second workspace in the same state."""
        shutil.copytree(self.path, path, symlinks=True)
        return Workspace(path)

    def commit(self, message: str) -> None:
        """Commit everything that git does not ignore."""
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", message)

    def clone(self, path: Path, *options: str) -> "Workspace":
        """A git clone, which has neither data nor DVC cache."""
        self.run("git", "clone", "-q", *options, str(self.path), str(path))
        return Workspace(path)

    def environment(self) -> dict[str, str]:
        """This test's Python first on the path, the copy's own code, DVC's own site cache."""
        return {
            **git.environment(),  # a hook that runs the tests means another repository
            **GIT_IDENTITY,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": "src",
            "DVC_SITE_CACHE_DIR": str(self.path.with_name(f"{self.path.name}-site")),
        }

    def run(self, *command: str, expect: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run a command in it, as a process of its own."""
        done = subprocess.run(
            command, cwd=self.path, env=self.environment(), capture_output=True, text=True, check=False,
            timeout=PATIENCE_S,
        )  # fmt: skip
        assert expect is None or done.returncode == expect, done.stdout + done.stderr
        return done

    def _forked(
        self, kind: str, arguments: tuple[str, ...], expect: int | None
    ) -> subprocess.CompletedProcess[str]:
        """Run DVC or `context-fbr` without the seconds of its imports."""
        done = forks.run(kind, arguments, self.path, self.environment(), PATIENCE_S)
        assert expect is None or done.returncode == expect, done.stdout + done.stderr
        return done

    def dvc(self, *arguments: str) -> str:
        """Run DVC; its output."""
        return self._forked("dvc", arguments, 0).stdout

    def context_fbr(self, *arguments: str, expect: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run the command line of the copy."""
        return self._forked("context_fbr_tools", arguments, expect)

    def stage(self, name: str, *arguments: str, expect: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run a stage of the copy."""
        return self._forked(f"context_fbr.{name}", arguments, expect)

    def repro(self, *arguments: str) -> set[str]:
        """Run `dvc repro`; the names of the stages that were executed."""
        return set(re.findall(r"Running stage '([^']+)'", self.dvc("repro", *arguments)))

    def lock(self) -> dict[str, object]:
        """The stages of dvc.lock."""
        return YAML(typ="safe").load((self.path / "dvc.lock").read_text())["stages"]

    def append(self, name: str, text: str) -> None:
        """Add lines to a file; a definition added to a module replaces that of the same name."""
        with (self.path / name).open("a") as file:
            file.write(f"\n{text}\n")

    def edit(self, name: str, before: str, after: str) -> None:
        """Replace a text that occurs once in a file."""
        path = self.path / name
        text = path.read_text()
        assert text.count(before) == 1, (name, before, text.count(before))
        path.write_text(text.replace(before, after))


def cells(
    workspace: Workspace, stages: tuple[str, ...] = ("train", "evaluate"), **wanted: object
) -> set[str]:
    """Stage names of the cells of a workspace with the given task, model, patch_size or seed."""
    from context_fbr.config.document import Document
    from context_fbr.config.study import read_study

    study = read_study(Document.read(workspace.path / "params.yaml"))
    return {
        cell.stage(stage)
        for stage in stages
        for cell in study.cells
        if all(getattr(cell, name) == value for name, value in wanted.items())
    }
