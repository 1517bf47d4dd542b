"""Devices shared by processes that know nothing of one another: workers of a queue, cells side by side.

Each process takes a lease, a lock on a file, which the system gives back when the process ends, however it
ends. Nobody has to be asked, and nothing has to be cleaned up.
"""

import fcntl
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from urllib.parse import quote


@dataclass(frozen=True)
class Lease:
    """A share of one device, held until this process ends or `release` is called."""

    index: int
    """Place of the device in the list that was asked for."""
    file: int
    """Descriptor of the locked file."""

    def release(self) -> None:
        """Give the share back."""
        os.close(self.file)


def take(devices: Sequence[str], folder: Path) -> Lease:
    """Take the lowest free share, of the first device that has it.

    That is the device that fewest processes hold, unless shares were given back out of turn.

    Args:
        devices: at least one name; the same device must have the same name in every process.
        folder: where the locks lie, the same for all processes; made if it is missing.

    Raises:
        OSError: if the folder cannot be used.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Nobody gets a second share of a device while another device has none: shares are tried in turns.
    for share, (index, name) in ((s, d) for s in count() for d in enumerate(devices)):
        file = os.open(folder / f"{quote(name, safe='')}.{share}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
        except BaseException:
            os.close(file)
            raise
        else:
            return Lease(index, file)
    raise AssertionError("an endless count has ended")
