"""Push, clone, pull: with a folder, and with a server that speaks S3."""

import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from workspace import ROOT, Workspace

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}


def pushed_and_pulled(workspace: Workspace, clone: Workspace, remote: list[list[str]]) -> None:
    """Push from one, pull in the other, which then has nothing to run.

    Args:
        workspace: with data.
        clone: of it, without.
        remote: DVC's arguments that set the remote.
    """
    for side in (workspace, clone):
        for arguments in remote:
            side.dvc("remote", "modify", "--local", "local", *arguments)
        assert side.run("git", "status", "--porcelain").stdout == ""  # --local: git sees nothing of it
    assert "files pushed" in workspace.dvc("push")
    assert "not in cache" in clone.dvc("status")
    clone.dvc("pull")
    assert "up to date" in clone.dvc("status")
    assert "in sync" in clone.dvc("status", "--cloud")
    for name in ("models", "metrics/test", "data/predictions"):
        files = sorted(path for path in (workspace.path / name).rglob("*") if path.is_file())
        assert files
        for path in files:
            assert (clone.path / path.relative_to(workspace.path)).read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_a_clone_gets_everything_from_a_folder_and_has_nothing_to_run(
    committed: Workspace, tmp_path: Path
) -> None:
    workspace, clone = committed.copy(tmp_path / "study"), committed.clone(tmp_path / "clone")
    missing = clone.run(sys.executable, "-m", "dvc", "pull", expect=None)
    assert missing.returncode != 0  # the default folder is empty here
    pushed_and_pulled(workspace, clone, [["url", str(tmp_path / "remote")]])
    assert clone.repro() == set()


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[str]:
    """The address of moto's S3 server on this machine, with the bucket `bucket`."""
    environment = tmp_path / "moto"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    python = environment / "bin" / "python"
    install = [python, "-m", "pip", "install", "-q", "-r", ROOT / "tests" / "support" / "moto.txt"]
    installed = subprocess.run(install, capture_output=True, text=True, check=False)
    if installed.returncode:
        pytest.skip(f"pip cannot install moto: {installed.stderr.strip().splitlines()[-1]}")
    command = [environment / "bin" / "moto_server", "-H", "127.0.0.1", "-p", "0"]  # any free port
    log = tmp_path / "moto.log"
    with (
        log.open("w") as file,
        subprocess.Popen(command, stderr=file, env={**os.environ, "PYTHONUNBUFFERED": "1"}) as server,
    ):
        try:
            deadline = time.monotonic() + 60
            while not (found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text())):
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            bucket = urllib.request.Request(f"{found[0]}/bucket", method="PUT")
            urllib.request.urlopen(bucket, timeout=10).close()
            yield found[0]
        finally:
            server.terminate()


@pytest.mark.slow
def test_a_clone_gets_everything_from_s3_with_credentials_of_the_environment(
    committed: Workspace, tmp_path: Path, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    workspace, clone = committed.copy(tmp_path / "study"), committed.clone(tmp_path / "clone")
    pushed_and_pulled(workspace, clone, [["url", "s3://bucket/study"], ["endpointurl", s3]])
    workspace.dvc("push", "--run-cache")
    assert clone.repro() == set()

    clone.dvc("remote", "modify", "--local", "local", "url", "s3://no-such-bucket/study")
    failed = clone.run(sys.executable, "-m", "dvc", "push", expect=None)
    assert failed.returncode != 0
    assert "The specified bucket does not exist" in failed.stderr
