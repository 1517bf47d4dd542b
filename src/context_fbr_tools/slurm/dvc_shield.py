"""DVC that outlives a scheduler's signals, so that the training below it can save itself and say so.

python -m context_fbr_tools.slurm.dvc_shield ARGUMENTS OF DVC

Slurm sends its warnings to every process of a job. DVC would die of them at once, and the training, which
ends when DVC has ended, would have a second for what may take longer. Handlers, unlike ignored signals, are
not handed on to the training, which hears the signals itself.
"""

import signal
import sys
from types import FrameType

from context_fbr.runtime import orphans


def _outlive(_: int, __: FrameType | None) -> None:
    """Do nothing."""


def main() -> int:
    """Run DVC in this process; its exit status."""
    orphans.exit_with_parent()
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, _outlive)
    from dvc.cli import main as dvc  # after the handlers: it takes a second

    status: int = dvc(sys.argv[1:])
    return status


if __name__ == "__main__":
    sys.exit(main())
