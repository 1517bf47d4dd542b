"""Archives for tests: sound, and with members that must not be unpacked."""

import io
import tarfile
import zipfile
from pathlib import Path

from web_server import CONTENT

Member = tuple[tarfile.TarInfo, bytes]
FILES = {
    "dataset.json": b"{}",
    "imagesTr/a.nii.gz": CONTENT[:5000],
    "imagesTr/b.nii.gz": CONTENT[5000:5512],  # a whole block of a tar file
    "labelsTr/a.nii.gz": CONTENT[:1],
}


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", content: bytes = b"") -> Member:
    """Return a member of a tar file."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(content)
    return info, content


def sound(top: str = "Task99_Zoo/", files: dict[str, bytes] = FILES) -> list[Member]:
    """Return folders and files of a data set."""
    folders = [member(f"{top}{name}", tarfile.DIRTYPE) for name in ("", "imagesTr", "labelsTr") if top + name]
    return folders + [member(f"{top}{name}", content=content) for name, content in files.items()]


def pack(path: Path, members: list[Member]) -> Path:
    """Write a .tar, .tar.gz, .tgz or .zip, as its name says; only a tar file has links and devices."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for info, content in members:
                if not info.isdir():
                    file.writestr(info.name, content)
        return path
    with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return path


HOSTILE = {
    "../outside": (member("../outside", content=b"x"), "../outside is outside"),
    "deep ..": (member("Task99_Zoo/a/../../../outside", content=b"x"), "outside is outside"),
    "absolute": (member("/tmp/outside", content=b"x"), "/tmp/outside is outside"),
    "backslash": (member("..\\outside", content=b"x"), "outside is outside"),
    "symbolic link": (member("Task99_Zoo/link", tarfile.SYMTYPE, "/etc/passwd"), "link is a symbolic link"),
    "link inside": (member("Task99_Zoo/link", tarfile.SYMTYPE, "dataset.json"), "link is a symbolic link"),
    "hard link": (member("Task99_Zoo/link", tarfile.LNKTYPE, "/etc/passwd"), "link is a hard link"),
    "character device": (member("Task99_Zoo/null", tarfile.CHRTYPE), "null is a device"),
    "block device": (member("Task99_Zoo/disk", tarfile.BLKTYPE), "disk is a device"),
    "fifo": (member("Task99_Zoo/pipe", tarfile.FIFOTYPE), "pipe is a device"),
    "twice": (member("Task99_Zoo/dataset.json", content=b"x"), "Task99_Zoo/dataset.json occurs 2 times"),
}
