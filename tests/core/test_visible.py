"""Names from outside in all that is printed: on one line, without control characters, in any encoding."""

import io
import json
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from msd_dataset import Dataset
from ruamel.yaml import YAML

from context_fbr.config.document import Document
from context_fbr.config.raw.source import FolderRaw, read_raw
from context_fbr.core.errors import UserError, visible
from context_fbr.datasets.archive.unpack import unpack
from context_fbr.datasets.verify import verify
from context_fbr.runtime import entry, orphans
from context_fbr_tools.cli import run as run_cli
from context_fbr_tools.data import verify as command
from context_fbr_tools.study.text_tables import table

HOSTILE = "a\x1b[2J\nerror: b\u202ec\x7f"
"""Clears a terminal, begins a line of its own, turns the direction of text."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("spleen ü 日本 😀 \\n", "spleen ü 日本 😀 \\n", id="printable text stays"),
        pytest.param("a\x1b[31mb", "a\\x1b[31mb", id="A16 escape"),
        pytest.param("a\r\nb\tc\0", "a\\r\\nb\\tc\\x00", id="A16 line breaks"),
        pytest.param("a\u2028b\x85c", "a\\u2028b\\x85c", id="A16 line breaks of Unicode"),
        pytest.param("a\u202egpj", "a\\u202egpj", id="A16 direction of text"),
        pytest.param(b"r\xe9sum".decode("utf-8", "surrogateescape"), "r\\udce9sum", id="N27 Latin-1"),
    ],
)
def test_what_cannot_be_printed_is_escaped(text: str, expected: str) -> None:
    assert visible(text) == expected
    assert visible(text).encode().decode().splitlines() == [expected]


@pytest.mark.parametrize("markdown", [True, False])
def test_a_cell_of_a_table_is_one_line_of_printable_text(markdown: bool) -> None:
    lines = table([("name", "value"), (HOSTILE, "1")], markdown).splitlines()
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)


def run(
    main: Callable[[list[str]], int | None], encoding: str, patch: pytest.MonkeyPatch
) -> tuple[object, str, str]:
    """Run a command on streams of an encoding that replace nothing; its status and what it printed."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding, "strict", write_through=True) for _ in range(2)]
    patch.setattr(orphans, "exit_with_parent", lambda: None)
    with patch.context() as streams_only:
        streams_only.setattr(sys, "stdout", streams[0])
        streams_only.setattr(sys, "stderr", streams[1])
        with pytest.raises(SystemExit) as ended:
            entry.run_command(main, [])
    out, err = (stream.buffer.getvalue().decode(encoding) for stream in streams)
    return ended.value.code, out, err


@pytest.mark.parametrize(
    ("encoding", "name", "shown"),
    [
        pytest.param("ascii", "ü", "\\xfc", id="E8 ascii"),
        pytest.param("latin-1", "日本", "\\u65e5\\u672c", id="E8 latin-1"),
        pytest.param("utf-8", "r\udce9sum", "r\\udce9sum", id="N27 undecodable name"),
    ],
)
def test_a_name_that_the_terminal_cannot_show_is_escaped(
    encoding: str, name: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def main(_: list[str]) -> None:
        print(name)
        print(name, file=sys.stderr)
        raise UserError(f"{name}: is no folder")

    status, out, err = run(main, encoding, monkeypatch)
    assert (status, out, err) == (1, f"{shown}\n", f"{shown}\nerror: {shown}: is no folder\n")


def test_each_error_is_one_line_whatever_names_are_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def main(_: list[str]) -> None:
        raise UserError(f"{HOSTILE}: is no folder", "params.yaml: is missing")

    _, _, err = run(main, "utf-8", monkeypatch)
    assert len(err.splitlines()) == 2
    assert "\x1b" not in err
    assert "\u202e" not in err


def test_what_task_init_prints_is_printable_and_its_block_names_the_folder(
    params: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A16."""
    monkeypatch.chdir(params.parent)
    dataset = Dataset.make(params.parent / HOSTILE)
    for folder in ("imagesTr", "labelsTr"):
        dataset.file(folder, "b").rename(dataset.file(folder, HOSTILE))
    text = json.dumps(dataset.description()).replace("/b.nii.gz", json.dumps(f"/{HOSTILE}.nii.gz")[1:-1])
    content = json.loads(text) | {
        "labels": {"0": "background", "1": HOSTILE},
        "modality": {"0": f"MRI{HOSTILE}"},
        "name": HOSTILE,
    }
    dataset.describe(content)
    run_cli(["task", "init", HOSTILE, "--name", "zoo"])
    printed = capsys.readouterr()
    lines = [*printed.out.split("\n"), *printed.err.split("\n")]
    assert [line for line in lines if not line.isprintable()] == []
    block = YAML(typ="safe").load(printed.out)
    assert block["zoo"]["raw"] == {"source": "folder", "folder": HOSTILE}
    run_cli(["task", "init", HOSTILE, "--name", "zoo", "--write"])
    assert read_raw(Document.read(), "zoo") == FolderRaw(source="folder", folder=HOSTILE)


@pytest.mark.parametrize("suffix", ["tar", "zip"])
def test_names_in_an_archive_are_printed_escaped(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A16: what is left out, and what is refused."""
    path = tmp_path / f"a.{suffix}"
    for other, status in ((HOSTILE, 0), (f"../{HOSTILE}", 1)):
        with tarfile.open(path, "w") if suffix == "tar" else zipfile.ZipFile(path, "w") as file:
            for name in ("zoo/dataset.json", "zoo/imagesTr/a.nii.gz", other):
                if isinstance(file, zipfile.ZipFile):
                    file.writestr(name, "x")
                else:
                    file.addfile(tarfile.TarInfo(name))
        target = tmp_path / f"{suffix}{status}"
        target.mkdir()
        ended, _, err = run(lambda _, to=target: unpack(path, to), "utf-8", monkeypatch)
        assert ended == status
        assert "a\\x1b[2J\\nerror: b\\u202ec\\x7f" in err
        assert all(line.isprintable() for line in err.split("\n"))


def test_the_report_of_a_data_set_is_printable_whatever_its_files_are_called(tmp_path: Path) -> None:
    dataset = Dataset.make(tmp_path / HOSTILE.replace("/", ""))
    (dataset.path / "imagesTr" / f"{HOSTILE}.nii.gz").write_bytes(b"no image")
    text = command.render(verify(dataset.path, workers=1))
    assert all(line.isprintable() for line in text.split("\n"))
    assert text.count("\\x1b[2J\\nerror: b") >= 2  # the folder and the file
