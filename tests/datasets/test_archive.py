"""Bringing and unpacking an archive: sources, broken lines, hostile and damaged archives."""

import hashlib
import io
import re
import shutil
import socket
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from msd_dataset import Dataset
from web_server import CONTENT, NAME, Server

from context_fbr.config.raw import ArchiveRaw
from context_fbr.core import atomic
from context_fbr.core.errors import UserError
from context_fbr.datasets.archive import acquire, download
from context_fbr.datasets.archive.acquire import find_archive
from context_fbr.datasets.archive.unpack import unpack
from context_fbr.datasets.verify import verify

MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
RETRY = download.RETRY.new(backoff_factor=0.01)
UNREADABLE = Path("/proc/self/mem")  # a regular file whose first bytes give an input/output error
needs_proc = pytest.mark.skipif(not UNREADABLE.exists(), reason="only Linux has /proc/self/mem")


@pytest.fixture
def incoming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CONTEXT_FBR_ARCHIVE_ZOO", raising=False)
    return acquire.INCOMING


@pytest.fixture
def find(incoming: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """`find_archive` for a task whose archive is CONTENT."""

    def call(url: str | None, md5: str | None = MD5, retries: int = 2, name: str = NAME) -> Path:
        monkeypatch.setattr(download.download, "__defaults__", (RETRY.new(total=retries),))
        raw = ArchiveRaw(source="archive", archive=name, url=url, md5=md5)
        return find_archive("zoo", raw, Path("data/raw"))

    return call


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_the_variable_comes_before_the_folder_and_the_folder_before_the_url(
    find: Callable[..., Path], server: Server, incoming: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find(server.url) == incoming / NAME  # from the url
    assert (incoming / NAME).read_bytes() == CONTENT
    assert server.served == [len(CONTENT)]
    assert names(incoming) == [NAME]
    assert find(server.url) == incoming / NAME  # from the folder
    assert server.served == [len(CONTENT)]
    elsewhere = tmp_path / "elsewhere.tar"
    elsewhere.write_bytes(CONTENT)
    monkeypatch.setenv("CONTEXT_FBR_ARCHIVE_ZOO", str(elsewhere))
    assert find(server.url) == elsewhere
    elsewhere.unlink()
    with pytest.raises(UserError, match=rf"CONTEXT_FBR_ARCHIVE_ZOO={re.escape(str(elsewhere))}: is no file"):
        find(server.url)


@pytest.mark.parametrize(
    ("validators", "condition"),
    [
        ({"ETag": '"first"', "Last-Modified": "Mon, 01 Jan 2018 00:00:00 GMT"}, '"first"'),
        ({"ETag": 'W/"weak"', "Last-Modified": "Mon, 01 Jan 2018 00:00:00 GMT"}, "Mon, 01 Jan 2018 00:00:00 GMT"),
        ({}, None),
    ],
)  # fmt: skip
def test_a_download_that_is_cut_goes_on_where_it_ended(
    find: Callable[..., Path], server: Server, capfd: pytest.CaptureFixture[str], validators: dict[str, str], condition: str | None
) -> None:  # fmt: skip
    server.validators = validators
    server.cuts = [100_000, 50_000]
    assert find(server.url).read_bytes() == CONTENT
    assert server.served == [100_000, 50_000, 150_000]  # no byte twice
    assert [request.get("Range") for request in server.requests] == [None, "bytes=100000-", "bytes=150000-"]
    assert [request.get("If-Range") for request in server.requests[1:]] == [condition] * 2
    said = capfd.readouterr().err
    assert "the connection ended after 0.1 of 0.3 MB; next attempt in 0 s" in said
    assert "the connection ended after 0.1 of 0.3 MB; next attempt in 0.02 s" in said  # pauses grow
    assert "download Task99_Zoo.tar: 1/1 megabytes" in said


def test_a_download_that_was_given_up_goes_on_with_the_next_command(
    find: Callable[..., Path], server: Server, incoming: Path
) -> None:
    server.cuts = [100_000]
    with pytest.raises(UserError, match=r"cannot be downloaded: the connection ended after 0\.1 of 0\.3 MB"):
        find(server.url, retries=0)
    assert (incoming / f"{NAME}.partial").read_bytes() == CONTENT[:100_000]
    assert not (incoming / NAME).exists()
    assert find(server.url, retries=0).read_bytes() == CONTENT
    assert server.served == [100_000, 200_000]
    assert names(incoming) == [NAME]


def test_a_server_without_ranges_sends_it_again_from_the_start(
    find: Callable[..., Path], server: Server
) -> None:
    server.ranges = False
    server.cuts = [100_000]
    assert find(server.url).read_bytes() == CONTENT
    assert server.served == [100_000, len(CONTENT)]


def test_a_server_without_ranges_whose_line_always_breaks_is_given_up(
    find: Callable[..., Path], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came by turns more and less than before must not count as progress for ever."""
    monkeypatch.setattr(download, "CHUNK", 10_000)
    server.ranges = False
    server.cuts = [200_000, 100_000, 200_000, 100_000, 200_000, 100_000]
    with pytest.raises(UserError, match="cannot be downloaded"):
        find(server.url)
    assert len(server.served) == 3


def test_a_server_that_sends_another_part_than_asked_for_is_asked_for_the_whole(
    find: Callable[..., Path], server: Server
) -> None:
    server.wrong_range = 1000
    server.cuts = [100_000]
    assert find(server.url).read_bytes() == CONTENT
    assert [request.get("Range") for request in server.requests] == [None, "bytes=100000-", None]


def test_a_file_that_changed_on_the_server_is_not_appended_to_the_old_one(
    find: Callable[..., Path], server: Server
) -> None:
    server.cuts = [100_000]
    with pytest.raises(UserError):
        find(server.url, retries=0)
    server.content, server.validators = CONTENT[::-1], {"ETag": '"second"'}
    md5 = hashlib.md5(server.content, usedforsecurity=False).hexdigest()
    assert find(server.url, md5).read_bytes() == server.content
    assert server.served == [100_000, len(CONTENT)]


def test_what_came_from_another_url_or_from_nobody_knows_where_is_not_gone_on_with(
    find: Callable[..., Path], server: Server, incoming: Path
) -> None:
    server.cuts = [100_000]
    with pytest.raises(UserError):
        find(server.url, retries=0)
    assert find(f"{server.url}?version=2").read_bytes() == CONTENT
    assert server.served == [100_000, len(CONTENT)]
    (incoming / NAME).rename(incoming / f"{NAME}.partial")
    find(server.url)
    assert "Range" not in server.requests[-1]


def test_a_download_that_ended_just_before_it_got_its_name_is_taken(
    find: Callable[..., Path], server: Server, incoming: Path
) -> None:
    server.cuts = [299_999]
    with pytest.raises(UserError):
        find(server.url, retries=0)
    with (incoming / f"{NAME}.partial").open("ab") as file:
        file.write(CONTENT[-1:])
    assert find(server.url).read_bytes() == CONTENT
    assert server.served == [299_999]


def test_a_wrong_md5_of_a_download_is_told_with_both_and_a_retry_works(
    find: Callable[..., Path], server: Server, incoming: Path
) -> None:
    server.content = b"<html>log in first</html>"
    found = hashlib.md5(server.content, usedforsecurity=False).hexdigest()
    with pytest.raises(UserError, match=f"its md5 is {found}, expected {MD5}; it is removed: run the same"):
        find(server.url)
    assert names(incoming) == []
    server.content = CONTENT
    assert find(server.url, MD5.upper()).read_bytes() == CONTENT


def test_a_wrong_md5_of_the_user_s_own_file_is_told_and_the_file_stays(
    find: Callable[..., Path], server: Server, incoming: Path
) -> None:
    incoming.mkdir(parents=True)
    (incoming / NAME).write_bytes(CONTENT[:-1])
    with pytest.raises(UserError, match=f"expected {MD5}; replace it"):
        find(server.url)
    assert names(incoming) == [NAME]
    assert server.requests == []


def test_without_archive_and_network_one_error_says_the_three_ways(
    find: Callable[..., Path], incoming: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as nobody:  # a port that is taken, and that nobody listens to
        nobody.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{nobody.getsockname()[1]}/{NAME}"
        with pytest.raises(UserError) as caught:
            find(closed)
    (text,) = caught.value.problems
    assert text.startswith(f"task zoo: its archive {NAME} is not here and cannot be downloaded: ")
    assert "refused" in text
    assert "set the variable CONTEXT_FBR_ARCHIVE_ZOO to its path; " in text
    assert f"put it into {incoming}; " in text
    assert f"make {closed} work (tasks.zoo.raw.url in params.yaml)" in text
    assert "only code was edited: `dvc checkout raw@zoo && dvc commit -f raw@zoo`" in text
    assert "The cells of other tasks run without it: `make repro` or `dvc repro -k`" in text
    assert text.endswith("or take zoo out of grid.tasks")
    assert names(incoming) == []


def test_a_run_that_is_killed_while_it_hashes_what_came_does_not_download_it_again(
    find: Callable[..., Path], server: Server, incoming: Path, tmp_path: Path
) -> None:
    download.download(server.url, incoming / f"{NAME}.partial", tmp_path, RETRY)  # and then: killed
    assert find(server.url).read_bytes() == CONTENT
    assert server.served == [len(CONTENT)]
    assert server.requests[-1]["Range"] == f"bytes={len(CONTENT)}-"
    assert names(incoming) == [NAME]


@needs_proc
@pytest.mark.parametrize("md5", [MD5, None])
@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
def test_an_archive_that_the_disk_does_not_give_is_told_as_such_and_not_as_a_write_error(
    find: Callable[..., Path], incoming: Path, tmp_path: Path, suffix: str, md5: str | None
) -> None:
    incoming.mkdir(parents=True)
    path = incoming / f"a.{suffix}"
    path.symlink_to(UNREADABLE)
    target = tmp_path / "raw"
    with pytest.raises(UserError) as caught, atomic.directory(target) as folder:  # as the stage does
        unpack(find(None, md5, name=path.name), folder)
    (text,) = caught.value.problems
    assert text.startswith(f"{path}: cannot be read: Input/output error; correct its permission or its disk")
    assert not target.exists()


def test_a_path_that_the_system_refuses_is_told_as_one_that_cannot_be_read(
    find: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTEXT_FBR_ARCHIVE_ZOO", "x" * 300)
    with pytest.raises(UserError, match=r"^x+: cannot be read: File name too long"):
        find(None)


def test_a_folder_in_place_of_the_archive_is_told_before_a_download(
    find: Callable[..., Path], server: Server, incoming: Path
) -> None:
    (incoming / NAME).mkdir(parents=True)
    with pytest.raises(UserError, match=r"Task99_Zoo\.tar: is no file, expected the archive; move it away"):
        find(server.url)
    assert server.requests == []


@pytest.mark.parametrize(
    ("url", "reason"), [(None, "params.yaml gives no url"), ("http://", ".*No host"), ("http://[", "")]
)
def test_no_url_is_said(find: Callable[..., Path], url: str | None, reason: str) -> None:
    with pytest.raises(UserError, match=f"cannot be downloaded: {reason}"):
        find(url)


def test_a_file_that_the_server_does_not_have_is_asked_for_once(
    find: Callable[..., Path], server: Server
) -> None:
    server.errors = [404]
    with pytest.raises(UserError, match="cannot be downloaded: the server says 404 Not Found"):
        find(server.url)
    assert len(server.requests) == 1


def test_a_server_in_trouble_is_asked_again(find: Callable[..., Path], server: Server) -> None:
    server.errors = [503, 429]
    path = find(server.url)
    assert path.read_bytes() == CONTENT
    path.unlink()
    server.errors = [503, 503, 503]
    with pytest.raises(UserError, match="the server says 503"):
        find(server.url)


def test_a_disk_without_room_for_archive_and_files_is_told_before_anything_is_written(
    find: Callable[..., Path], server: Server, incoming: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = 2 * len(CONTENT) - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 10**12 - room, room))
    with pytest.raises(UserError, match=r"needs 0\.00 GB, but 0\.00 GB are free; make room"):
        find(server.url)
    assert names(incoming) == []
    room += 1
    assert find(server.url).read_bytes() == CONTENT


# Unpacking.

FILES = {
    "dataset.json": b"{}",
    "imagesTr/a.nii.gz": CONTENT[:5000],
    "imagesTr/b.nii.gz": CONTENT[5000:5512],  # a whole block of a tar file
    "labelsTr/a.nii.gz": CONTENT[:1],
}
JUNK = {"._dataset.json": b"x", "imagesTr/._a.nii.gz": b"x", ".DS_Store": b"x"}


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", content: bytes = b"") -> tuple[tarfile.TarInfo, bytes]:  # fmt: skip
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(content)
    return info, content


def write_tar(path: Path, members: list[tuple[tarfile.TarInfo, bytes]], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as file:
        for info, content in members:
            file.addfile(info, io.BytesIO(content))
    return path


def sound(top: str = "Task99_Zoo/", files: dict[str, bytes] = FILES) -> list[tuple[tarfile.TarInfo, bytes]]:
    folders = [member(f"{top}{name}", tarfile.DIRTYPE) for name in ("", "imagesTr", "labelsTr") if top + name]
    return folders + [member(f"{top}{name}", content=content) for name, content in files.items()]


def unpacked(path: Path, target: Path) -> dict[str, bytes]:
    with atomic.directory(target) as folder:
        unpack(path, folder)
    return {str(p.relative_to(target)): p.read_bytes() for p in target.rglob("*") if p.is_file()}


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tgz", "zip"])
@pytest.mark.parametrize("top", ["Task99_Zoo/", "./Task99_Zoo/", "", "./"])
def test_an_archive_is_unpacked_without_its_top_folder_and_the_files_of_macos(
    tmp_path: Path, suffix: str, top: str
) -> None:
    path = tmp_path / f"archive.{suffix}"
    if suffix == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, content in (FILES | JUNK).items():
                file.writestr(f"{top}{name}", content)
            file.writestr("__MACOSX/Task99_Zoo/._dataset.json", b"x")
    else:
        write_tar(path, sound(top, FILES | JUNK), "w" if suffix == "tar" else "w:gz")
    assert unpacked(path, tmp_path / "raw") == FILES


def test_a_single_folder_of_the_layout_is_not_taken_for_a_top_folder(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "archive.tar", [member("imagesTr/a.nii.gz", content=b"a")])
    assert unpacked(path, tmp_path / "raw") == {"imagesTr/a.nii.gz": b"a"}


AROUND = {"README.md": b"beside", "licence/LICENSE": b"beside"}


@pytest.mark.parametrize("suffix", ["tar", "zip"])
@pytest.mark.parametrize(
    ("top", "others"),
    [
        pytest.param("Task99_Zoo/", AROUND, id="A1 a README beside the folder"),
        pytest.param("download/2024/Task99_Zoo/", {}, id="A1 three folders deep"),
        pytest.param("download/Task99_Zoo/", {"download/README.md": b"beside"}, id="A1 deep, with a README"),
        pytest.param("Task99_Zoo/", {"dataset.json": b"of another kind"}, id="A1 another dataset.json"),
    ],
)
def test_a_data_set_is_found_in_its_archive_and_what_is_beside_it_is_left_out_and_named(
    tmp_path: Path, suffix: str, top: str, others: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"archive.{suffix}"
    files = others | {f"{top}{name}": content for name, content in FILES.items()}
    if suffix == "zip":
        with zipfile.ZipFile(path, "w") as file:
            for name, content in files.items():
                file.writestr(name, content)
    else:
        write_tar(path, [member(name, content=content) for name, content in files.items()])
    assert unpacked(path, tmp_path / "raw") == FILES
    err = capsys.readouterr().err
    assert all(name in err for name in others)
    assert ("left out" in err) == bool(others)


def test_an_archive_of_several_data_sets_is_refused_with_their_names(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "archive.tar", sound("all/Task1/") + sound("all/Task2/"))
    with pytest.raises(UserError, match=r"holds 2 data sets \(all/Task1, all/Task2\)"):
        unpacked(path, tmp_path / "raw")


def a_tar(path: Path) -> None:
    write_tar(path, sound())


def a_packed_tar(path: Path) -> None:
    write_tar(path, sound(), "w:gz")


def a_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("dataset.json", "{}")


KINDS = [
    ("A3 a tar named .zip", "a.zip", a_tar, "is a tar archive; name it a.tar"),
    ("A3 a packed tar named .zip", "a.zip", a_packed_tar, "is a tar archive packed by gzip; name it a.tar.gz"),
    ("A3 a zip named .tar.gz", "a.tar.gz", a_zip, "is a zip archive; name it a.zip"),
    ("A3 a zip named .TAR", "a.TAR", a_zip, "is a zip archive; name it a.zip"),
    ("A3 a page", "a.tar", lambda path: path.write_text("<!DOCTYPE html><p>log in"), "is a web page (HTML)"),
    ("A3 a page named .zip", "a.zip", lambda path: path.write_text("<html>"), "is a web page (HTML)"),
    ("A3 a Git LFS pointer", "a.tar", lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"), "`git lfs pull`"),
    ("A3 a text", "a.tgz", lambda path: path.write_text("404: not found"), "is a text"),
    ("A3 RAR", "a.zip", lambda path: path.write_bytes(b"Rar!\x1a\x07\x01\0" + bytes(99)), "`source: folder`"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "make", "text"), [case[1:] for case in KINDS], ids=[case[0] for case in KINDS]
)
def test_a_file_that_is_not_the_archive_that_its_name_says_is_told_with_the_way(
    tmp_path: Path, name: str, make: Callable[[Path], object], text: str
) -> None:
    make(tmp_path / name)
    with pytest.raises(UserError) as refused:
        unpacked(tmp_path / name, tmp_path / "raw")
    (problem,) = refused.value.problems
    assert problem.startswith(f"{tmp_path / name}: ")
    assert text in problem
    assert names(tmp_path) == [name]


def test_a_page_that_a_server_sends_for_an_archive_is_removed_and_named(
    find: Callable[..., Path], server: Server, incoming: Path
) -> None:
    server.content = b"<html>log in first</html>"
    with pytest.raises(UserError, match=r"is a web page \(HTML\).*; it is removed: run the same"):
        find(server.url, None)
    assert names(incoming) == []


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
    path = write_tar(tmp_path / f"a.{suffix}", [*sound(), (odd, content)], "w" if suffix == "tar" else "w:gz")
    with pytest.raises(UserError) as refused:
        unpacked(path, tmp_path / "raw")
    (problem,) = refused.value.problems
    assert problem.startswith(f"{path}: ")
    assert names(tmp_path) == [path.name]


HOSTILE = {
    "../outside": (member("../outside", content=b"x"), "../outside lies outside"),
    "deep ..": (member("Task99_Zoo/a/../../../outside", content=b"x"), "outside lies outside"),
    "absolute": (member("/tmp/outside", content=b"x"), "/tmp/outside lies outside"),
    "backslash": (member("..\\outside", content=b"x"), "outside lies outside"),
    "symbolic link": (member("Task99_Zoo/link", tarfile.SYMTYPE, "/etc/passwd"), "Task99_Zoo/link is a symbolic link"),
    "link inside": (member("Task99_Zoo/link", tarfile.SYMTYPE, "dataset.json"), "Task99_Zoo/link is a symbolic link"),
    "hard link": (member("Task99_Zoo/link", tarfile.LNKTYPE, "/etc/passwd"), "Task99_Zoo/link is a hard link"),
    "character device": (member("Task99_Zoo/null", tarfile.CHRTYPE), "Task99_Zoo/null is a device"),
    "block device": (member("Task99_Zoo/disk", tarfile.BLKTYPE), "Task99_Zoo/disk is a device"),
    "fifo": (member("Task99_Zoo/pipe", tarfile.FIFOTYPE), "Task99_Zoo/pipe is a device"),
    "twice": (member("Task99_Zoo/dataset.json", content=b"x"), "Task99_Zoo/dataset.json stands 2 times"),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_member_is_named_and_nothing_is_unpacked(tmp_path: Path, what: str) -> None:
    hostile, text = HOSTILE[what]
    path = write_tar(tmp_path / "archive.tar", [*sound(), hostile])
    with pytest.raises(UserError, match=re.escape(text)):
        unpacked(path, tmp_path / "data" / "raw")
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [path]
    assert unpacked(write_tar(path, sound()), tmp_path / "data" / "raw") == FILES  # a retry works


def test_all_hostile_members_are_named_at_once(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "archive.tar", [HOSTILE["../outside"][0], HOSTILE["symbolic link"][0]])
    with pytest.raises(UserError) as caught:
        unpacked(path, tmp_path / "raw")
    assert len(caught.value.problems) == 2


def test_hostile_members_of_a_zip_are_refused_too(tmp_path: Path) -> None:
    path = tmp_path / "archive.zip"
    link = zipfile.ZipInfo("link")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("../outside", "x")
        file.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match=r"\.\./outside lies outside") as caught:
        unpacked(path, tmp_path / "raw")
    assert "link is a symbolic link" in caught.value.problems[1]


def test_a_data_set_that_is_packed_and_brought_and_unpacked_has_no_problems(
    find: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = Dataset.make(tmp_path / "Task99_Zoo")
    path = tmp_path / NAME
    with tarfile.open(path, "w") as file:
        file.add(dataset.path, arcname="Task99_Zoo")
    monkeypatch.setenv("CONTEXT_FBR_ARCHIVE_ZOO", str(path))
    target = tmp_path / "raw"
    with atomic.directory(target) as folder:
        unpack(find(None, None), folder)
        report = verify(folder, workers=1)
    assert (report.files, report.problems) == (7, ())
    assert (target / "dataset.json").is_file()


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "zip"])
def test_an_archive_that_is_cut_anywhere_is_refused_and_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    """At the edges of blocks as well, where a cut tar file looks like a shorter one."""
    path = tmp_path / f"archive.{suffix}"
    if suffix == "zip":
        with zipfile.ZipFile(path, "w") as file:
            for name, content in FILES.items():
                file.writestr(name, content)
    else:
        write_tar(path, sound(), "w" if suffix == "tar" else "w:gz")
    content = path.read_bytes()
    # A tar file ends with zeros to fill a record of 10,240 bytes: half of them are enough.
    end = len(content.rstrip(b"\0")) if suffix == "tar" else len(content)
    for length in {*range(0, end, 512), *range(100, end, 512), end - 1}:
        path.write_bytes(content[:length])
        with pytest.raises(UserError, match="is no archive, cut or damaged" if length else "is empty"):
            unpacked(path, tmp_path / "raw")
        assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("place", [0.3, 0.6])
def test_a_flipped_bit_in_a_compressed_archive_is_found(tmp_path: Path, place: float) -> None:
    path = write_tar(tmp_path / "archive.tar.gz", sound(), "w:gz")
    content = bytearray(path.read_bytes())
    content[int(len(content) * place)] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="is no archive, cut or damaged"):
        unpacked(path, tmp_path / "raw")


def test_an_archive_without_files_is_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "archive.tar", [member("Task99_Zoo", tarfile.DIRTYPE)])
    with pytest.raises(UserError, match="holds no files"):
        unpacked(path, tmp_path / "raw")


def test_a_disk_without_room_for_the_files_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_tar(tmp_path / "archive.tar", sound())
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9 - 5000, 5000))
    with pytest.raises(UserError, match=r"unpacking archive\.tar needs"):
        unpacked(path, tmp_path / "raw")
    assert names(tmp_path) == ["archive.tar"]
