"""DVC with this package's replacements; hashes, dvc.lock and messages are those of plain DVC.

python -m context_fbr_tools.dvc.patched.run ARGUMENTS OF DVC
"""

import sys

from context_fbr_tools.dvc.patched import changed_entries, params_once, patience


def main() -> int:
    """Run DVC in this process; its exit status."""
    from dvc.cli import main as dvc

    changed_entries.install()
    params_once.install()
    patience.install()
    status: int = dvc(sys.argv[1:])
    return status


if __name__ == "__main__":
    sys.exit(main())
