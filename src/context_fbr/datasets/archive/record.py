r"""Record of a task's source, with one digest of all files: metrics/provenance/raw/TASK.json.

An archive and a folder that hold the same data set give the same digest. So does the shell:
`cd data/raw/TASK && find * -type f | LC_ALL=C sort | xargs -d '\n' sha256sum | sha256sum`.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from context_fbr.core import atomic
from context_fbr.datasets.archive import disk

FOLDER = Path("metrics/provenance/raw")


@dataclass(frozen=True)
class Origin:
    """Source of a data set."""

    kind: str
    """`archive` or `folder`."""
    name: str
    """Without the folders above it, which differ between machines."""
    md5: str | None
    """MD5 of the archive, if it was compared with params.yaml."""


def digest(folder: Path) -> tuple[int, int, str]:
    """Return the number of files below a folder, their bytes, and the SHA-256 of their hashes and names.

    Raises:
        UserError: if a file cannot be read.
    """
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    total, size = hashlib.sha256(), 0
    for name in sorted(names, key=str.encode):
        with disk.open_to_read(folder / name) as file:
            total.update(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n".encode())
        size += (folder / name).stat().st_size
    return len(names), size, total.hexdigest()


def write(task: str, origin: Origin, folder: Path) -> None:
    """Write the record of a task whose files are in `folder`, and print the digest."""
    files, size, sha256 = digest(folder)
    content = {"format": 1, "stage": "raw", "task": task, **asdict(origin), "files": files, "bytes": size}
    atomic.write_text(FOLDER / f"{task}.json", json.dumps({**content, "sha256": sha256}, indent=1) + "\n")
    print(f"{task}: {files} files from {origin.kind} {origin.name}, SHA-256 {sha256}", flush=True)
