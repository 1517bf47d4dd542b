"""Bringing and unpacking an archive: sources, broken connections, hostile and damaged archives."""

import copy
import hashlib
import shutil
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from packed import FILES, HOSTILE, member, pack, sound
from web_server import CONTENT, NAME, Server

from context_fbr.config.raw.source import ArchiveRaw
from context_fbr.core import atomic
from context_fbr.core.errors import UserError
from context_fbr.datasets.archive import acquire, download
from context_fbr.datasets.archive.unpack import unpack

VARIABLE = "CONTEXT_FBR_ARCHIVE_ZOO"
PAGE = b"<html>log in first</html>"
RETRY = download.RETRY.new(backoff_factor=0.01)
UNREADABLE = Path("/proc/self/mem")  # a regular file whose first bytes give an input/output error
Find = Callable[..., Path]


def md5_of(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


MD5 = md5_of(CONTENT)


@pytest.fixture
def incoming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    return acquire.INCOMING


@pytest.fixture
def find(incoming: Path, monkeypatch: pytest.MonkeyPatch) -> Find:
    """`find_archive` for a task whose archive is CONTENT."""

    def call(url: str | None, md5: str | None = MD5, retries: int = 2, name: str = NAME) -> Path:
        monkeypatch.setattr(download.download, "__defaults__", (RETRY.new(total=retries),))
        raw = ArchiveRaw(source="archive", archive=name, url=url, md5=md5)
        return acquire.find_archive("zoo", raw, Path("data/raw"))

    return call


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def configure(server: Server, settings: dict[str, Any]) -> None:
    for name, value in copy.deepcopy(settings).items():
        setattr(server, name, value)


def test_the_variable_comes_before_the_folder_and_the_folder_before_the_url(
    find: Find, server: Server, incoming: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in ("from the url", "from the folder"):
        assert find(server.url, MD5.upper()) == incoming / NAME
        assert (incoming / NAME).read_bytes() == CONTENT
        assert (names(incoming), server.served) == ([NAME], [len(CONTENT)])
    elsewhere = shutil.copy(incoming / NAME, "elsewhere.tar")
    monkeypatch.setenv(VARIABLE, elsewhere)
    assert find(server.url) == Path(elsewhere)
    Path(elsewhere).unlink()
    with pytest.raises(UserError, match=f"^{VARIABLE}=elsewhere.tar: not found"):
        find(server.url)


DATE = "Mon, 01 Jan 2018 00:00:00 GMT"
CUT = [100_000, 50_000]
RESUMED = [100_000, 50_000, 150_000]  # no byte twice
RANGES = [None, "bytes=100000-", "bytes=150000-"]


def test_a_folder_takes_the_place_of_its_archive_which_comes_before_it(
    find: Find, incoming: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpacked = incoming / NAME.removesuffix(".tar")
    unpacked.mkdir(parents=True)
    assert find(None) == unpacked
    (incoming / NAME).write_bytes(CONTENT)
    assert find(None) == incoming / NAME
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setenv(VARIABLE, "elsewhere")
    assert find(None) == Path("elsewhere")


@pytest.mark.parametrize(
    ("settings", "served", "ranges", "condition"),
    [
        pytest.param({"cuts": CUT, "validators": {"ETag": '"a"', "Last-Modified": DATE}}, RESUMED, RANGES, '"a"', id="cut"),
        pytest.param({"cuts": CUT, "validators": {"ETag": 'W/"a"', "Last-Modified": DATE}}, RESUMED, RANGES, DATE, id="weak"),
        pytest.param({"cuts": CUT, "validators": {}}, RESUMED, RANGES, None, id="no version"),
        pytest.param({"cuts": CUT, "validators": {"Content-Encoding": "gzip"}}, RESUMED, RANGES, None, id="says gzip"),
        pytest.param({"cuts": [100_000], "ranges": False}, [100_000, 300_000], RANGES[:2], '"first"', id="no ranges"),
        pytest.param({"cuts": [100_000], "wrong_range": 1000}, [100_000, 201_000, 300_000], [*RANGES[:2], None], '"first"', id="another part"),
        pytest.param({"errors": [503, 429]}, [300_000], [None] * 3, None, id="in trouble"),
    ],
)  # fmt: skip
def test_a_download_that_is_cut_or_refused_for_now_is_retried_and_resumed(
    find: Find, server: Server, settings: dict[str, Any], served: list[int], ranges: list[str | None], condition: str | None
) -> None:  # fmt: skip
    configure(server, settings)
    assert find(server.url).read_bytes() == CONTENT
    assert server.served == served
    assert [request.get("Range") for request in server.requests] == ranges
    resumed = [request for request in server.requests if "Range" in request]
    assert {request.get("If-Range") for request in resumed} <= {condition}


@pytest.mark.parametrize(
    ("settings", "retries", "reason", "requests"),
    [
        pytest.param({"cuts": [100_000]}, 0, r"the connection ended after 0\.1 of 0\.3 MB", 1, id="cut"),
        # Received bytes that vary must not count as progress forever.
        pytest.param({"cuts": [200_000, 100_000] * 3, "ranges": False}, 2, "the connection ended", 3, id="no ranges"),
        pytest.param({"errors": [404]}, 2, "the server says 404 Not Found", 1, id="404"),
        pytest.param({"errors": [304]}, 2, "the server says 304", 1, id="304"),
        pytest.param({"errors": [503] * 3}, 2, "the server says 503", 3, id="503"),
    ],
)  # fmt: skip
def test_a_download_that_keeps_failing_is_one_error_and_the_same_command_works_later(
    find: Find, server: Server, incoming: Path, monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any], retries: int, reason: str, requests: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(download, "CHUNK", 10_000)
    configure(server, settings)
    with pytest.raises(UserError, match=f"cannot be downloaded: {reason}") as caught:
        find(server.url, retries=retries)
    assert (len(caught.value.problems), len(server.requests)) == (1, requests)
    assert not (incoming / NAME).exists()
    server.cuts.clear()
    assert find(server.url).read_bytes() == CONTENT
    assert names(incoming) == [NAME]


@pytest.mark.parametrize("url", [None, "http://", "http://[", "http://a..b/"])
def test_an_archive_without_a_usable_url_is_one_error(find: Find, url: str | None) -> None:
    with pytest.raises(UserError, match="cannot be downloaded: "):
        find(url)


def test_a_server_that_stops_sending_is_a_timeout_and_the_download_is_resumed(
    find: Find, server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "TIMEOUT_S", 0.2)
    monkeypatch.setattr(download, "CHUNK", 10_000)
    server.cuts, server.stall_s = [100_000], 1.0
    assert find(server.url).read_bytes() == CONTENT
    assert server.served == [100_000, 200_000]
    assert "timed out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "query", "served"),
    [
        pytest.param({}, "", [100_000, 200_000], id="the same"),
        pytest.param({"content": CONTENT[::-1], "validators": {"ETag": '"b"'}}, "", [100_000, 300_000], id="another file"),
        pytest.param({}, "?version=2", [100_000, 300_000], id="another url"),
    ],
)  # fmt: skip
def test_only_bytes_of_the_same_file_are_resumed_by_the_next_command(
    find: Find, server: Server, incoming: Path, change: dict[str, Any], query: str, served: list[int]
) -> None:
    server.cuts = [100_000]
    with pytest.raises(UserError):
        find(server.url, retries=0)
    assert (incoming / f"{NAME}.partial").read_bytes() == CONTENT[:100_000]
    configure(server, change)
    assert find(server.url + query, md5_of(server.content)).read_bytes() == server.content
    assert server.served == served
    (incoming / NAME).rename(incoming / f"{NAME}.partial")  # bytes without a source
    find(server.url, None if change else MD5)
    assert "Range" not in server.requests[-1]


def test_a_run_that_is_killed_before_the_archive_has_its_name_does_not_download_it_again(
    find: Find, server: Server, incoming: Path, tmp_path: Path
) -> None:
    download.download(server.url, incoming / f"{NAME}.partial", tmp_path, RETRY)  # and then: killed
    assert find(server.url).read_bytes() == CONTENT
    assert server.served == [len(CONTENT)]
    assert server.requests[-1]["Range"] == f"bytes={len(CONTENT)}-"
    assert names(incoming) == [NAME]


@pytest.mark.parametrize(
    ("content", "md5", "text"),
    [
        (PAGE, MD5, f"is a web page (HTML).*its md5 is {md5_of(PAGE)}, expected {MD5}"),
        (PAGE, None, "is a web page (HTML)"),
        (CONTENT[:-1], MD5, f"its md5 is {md5_of(CONTENT[:-1])}, expected {MD5}"),
    ],
    ids=["page", "page without md5", "wrong md5"],
)
@pytest.mark.parametrize("is_download", [True, False])
def test_a_wrong_archive_is_named_and_removed_if_it_was_downloaded(
    find: Find, server: Server, incoming: Path, content: bytes, md5: str | None, text: str, is_download: bool
) -> None:
    server.content = content
    if not is_download:
        incoming.mkdir(parents=True)
        (incoming / NAME).write_bytes(content)
    with pytest.raises(UserError, match=text.replace("(", r"\(").replace(")", r"\)")):
        find(server.url, md5)
    assert names(incoming) == ([] if is_download else [NAME])
    assert len(server.requests) == int(is_download)
    server.content = CONTENT
    (incoming / NAME).unlink(missing_ok=True)
    assert find(server.url, md5).read_bytes() == CONTENT


def test_without_archive_and_network_one_error_says_the_three_ways(
    find: Find, incoming: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as unused:  # a port that is taken and does not listen
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/{NAME}"
        with pytest.raises(UserError) as caught:
            find(url)
    (text,) = caught.value.problems
    ways = (
        "refused",
        VARIABLE,
        str(incoming),
        url,
        "tasks.zoo.raw.url",
        "dvc checkout raw@zoo",
        "dvc repro -k",
    )
    assert [way for way in ways if way not in text] == []
    assert names(incoming) == []


@pytest.mark.skipif(not UNREADABLE.exists(), reason="only Linux has /proc/self/mem")
@pytest.mark.parametrize("md5", [MD5, None])
@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
def test_an_archive_that_the_disk_does_not_give_is_an_error_of_reading(
    find: Find, incoming: Path, tmp_path: Path, suffix: str, md5: str | None
) -> None:
    incoming.mkdir(parents=True)
    path = incoming / f"a.{suffix}"
    path.symlink_to(UNREADABLE)
    with (
        pytest.raises(UserError, match=f"^{path}: cannot be read: "),
        atomic.directory(tmp_path / "raw") as to,
    ):
        unpack(find(None, md5, name=path.name), to)  # as the stage does
    assert not (tmp_path / "raw").exists()


def test_a_path_that_the_system_refuses_or_a_folder_is_an_error_before_a_download(
    find: Find, server: Server, incoming: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (incoming / NAME).mkdir(parents=True)
    with pytest.raises(UserError, match=rf"^{incoming / NAME}: is not a file"):
        find(server.url)
    monkeypatch.setenv(VARIABLE, "x" * 300)
    with pytest.raises(UserError, match=r"^x+: cannot be read: File name too long"):
        find(server.url)
    assert server.requests == []


def test_free_space_for_the_archive_and_its_files_is_checked_before_anything_is_written(
    find: Find, server: Server, incoming: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = 2 * len(CONTENT) - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 10**12 - room, room))
    with pytest.raises(UserError, match=r"needs 0\.00 GB, but 0\.00 GB are free"):
        find(server.url)
    assert names(incoming) == []
    room += 1
    assert find(server.url).read_bytes() == CONTENT
    room = 5000
    with pytest.raises(UserError, match=r"unpacking archive\.tar needs"):
        unpacked(pack(tmp_path / "archive.tar", sound()), tmp_path / "raw")
    assert not (tmp_path / "raw").exists()


# Unpacking.

JUNK = {"._dataset.json": b"x", "imagesTr/._a.nii.gz": b"x", ".DS_Store": b"x", "__MACOSX/a": b"x"}


def unpacked(path: Path, target: Path) -> dict[str, bytes]:
    with atomic.directory(target) as folder:
        unpack(path, folder)
    return {str(p.relative_to(target)): p.read_bytes() for p in target.rglob("*") if p.is_file()}


def refused(path: Path) -> tuple[str, ...]:
    """Unpack; return the problems, which name the archive. Nothing else is written."""
    before = names(path.parent)
    with pytest.raises(UserError) as caught:
        unpacked(path, path.parent / "raw")
    assert all(problem.startswith(f"{path}: ") for problem in caught.value.problems)
    assert names(path.parent) == before
    return caught.value.problems


AROUND = {"README.md": b"beside", "licence/LICENSE": b"beside"}


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tgz", "zip"])
@pytest.mark.parametrize(
    ("top", "others"),
    [
        *(pytest.param(top, {}, id=f"top {top}") for top in ("Task99_Zoo/", "./Task99_Zoo/", "", "./")),
        pytest.param("Task99_Zoo/", AROUND, id="A1 a README beside the folder"),
        pytest.param("download/2024/Task99_Zoo/", {}, id="A1 three folders deep"),
        pytest.param("download/Task99_Zoo/", {"download/README.md": b"beside"}, id="A1 deep, with a README"),
        pytest.param("Task99_Zoo/", {"dataset.json": b"of another kind"}, id="A1 another dataset.json"),
    ],
)
def test_a_data_set_is_found_in_its_archive_and_files_next_to_it_are_left_out_and_named(
    tmp_path: Path, suffix: str, top: str, others: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    members = sound("", others)[2:] + sound(top, FILES | JUNK)
    assert unpacked(pack(tmp_path / f"archive.{suffix}", members), tmp_path / "raw") == FILES
    err = capsys.readouterr().err
    assert all(name in err for name in others)
    assert ("left out" in err) == bool(others)


def test_a_single_folder_of_the_layout_is_not_taken_for_a_top_folder(tmp_path: Path) -> None:
    path = pack(tmp_path / "archive.tar", [member("imagesTr/a.nii.gz", content=b"a")])
    assert unpacked(path, tmp_path / "raw") == {"imagesTr/a.nii.gz": b"a"}


def test_an_archive_of_several_data_sets_or_of_none_is_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "archive.tar", sound("all/Task1/") + sound("all/Task2/"))
    assert "holds 2 data sets (all/Task1, all/Task2)" in refused(path)[0]
    assert "holds no files" in refused(pack(path, sound(files={})))[0]


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.zip", "tar", "is a tar archive; name it a.tar"),
        ("a.zip", "tar.gz", "is a tar archive packed by gzip; name it a.tar.gz"),
        ("a.tar.gz", "zip", "is a zip archive; name it a.zip"),
        ("a.TAR", "zip", "is a zip archive; name it a.zip"),
        ("a.tar", b"<!DOCTYPE html><p>log in", "is a web page (HTML)"),
        ("a.zip", PAGE, "is a web page (HTML)"),
        ("a.tar", b"version https://git-lfs.github.com/spec/v1\n", "`git lfs pull`"),
        ("a.tgz", b"404: not found", "is a text"),
        ("a.zip", b"Rar!\x1a\x07\x01\0" + bytes(99), "`source: folder`"),
    ],
)
def test_a_file_that_is_not_the_archive_that_its_name_says_is_reported_with_the_way(
    tmp_path: Path, name: str, content: str | bytes, text: str
) -> None:
    if isinstance(content, str):
        pack(tmp_path / f"other.{content}", sound()).rename(tmp_path / name)
    else:
        (tmp_path / name).write_bytes(content)
    (problem,) = refused(tmp_path / name)
    assert text in problem


@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"GNU.sparse.map": "", "GNU.sparse.size": "10"}, id="A16 an empty map"),
        pytest.param({"GNU.sparse.map": "a,b"}, id="A16 a map of letters"),
        pytest.param({"GNU.sparse.map": "5,99999"}, id="A16 a map beyond the end"),
        pytest.param({"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}, id="A16 a map that is not there"),
        pytest.param({"GNU.sparse.size": "x"}, id="A16 a size of letters"),
        pytest.param({"size": "-5"}, id="A16 a negative size"),
        pytest.param({"path": ""}, id="A16 no name"),
        pytest.param({"path": "a\0b"}, id="A16 NUL in a name"),
    ],
)
def test_headers_that_make_no_sense_are_one_error_and_nothing_is_unpacked(
    tmp_path: Path, suffix: str, headers: dict[str, str]
) -> None:
    odd, content = member("Task99_Zoo/dataset.json", content=b"x" * 10)
    odd.pax_headers = headers
    assert len(refused(pack(tmp_path / f"a.{suffix}", [*sound(), (odd, content)]))) == 1


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_member_is_named_and_nothing_is_unpacked(tmp_path: Path, case: str) -> None:
    hostile, text = HOSTILE[case]
    path = pack(tmp_path / "archive.tar", [*sound(), hostile])
    (problem,) = refused(path)
    assert text in problem
    assert not list(tmp_path.parent.glob("outside"))
    assert unpacked(pack(path, sound()), tmp_path / "raw") == FILES  # a retry works


def test_all_hostile_members_are_named_at_once(tmp_path: Path) -> None:
    path = pack(tmp_path / "archive.tar", [HOSTILE["../outside"][0], HOSTILE["symbolic link"][0]])
    assert len(refused(path)) == 2
    link = zipfile.ZipInfo("link")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as file:
        file.writestr("../outside", "x")
        file.writestr(link, "/etc/passwd")
    outside, linked = refused(tmp_path / "archive.zip")
    assert "../outside is outside" in outside
    assert "link is a symbolic link" in linked


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "zip"])
def test_an_archive_that_is_cut_anywhere_is_refused_and_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    """At the edges of blocks as well, where a cut tar file looks like a shorter one."""
    path = pack(tmp_path / f"archive.{suffix}", sound())
    content = path.read_bytes()
    # A tar file ends with zeros to fill a record of 10,240 bytes: half of them are enough.
    end = len(content.rstrip(b"\0")) if suffix == "tar" else len(content)
    for length in {*range(0, end, 512), *range(100, end, 512), end - 1}:
        path.write_bytes(content[:length])
        assert ("is no archive, cut or damaged" if length else "is empty") in refused(path)[0]


@pytest.mark.parametrize("place", [0.3, 0.6])
def test_a_flipped_bit_in_a_compressed_archive_is_found(tmp_path: Path, place: float) -> None:
    path = pack(tmp_path / "archive.tar.gz", sound())
    content = bytearray(path.read_bytes())
    content[int(len(content) * place)] ^= 1
    path.write_bytes(content)
    assert "is no archive, cut or damaged" in refused(path)[0]
