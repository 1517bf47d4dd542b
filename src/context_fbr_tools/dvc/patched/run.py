"""DVC with this package's replacements; hashes, dvc.lock and messages are those of plain DVC.

python -m context_fbr_tools.dvc.patched.run ARGUMENTS OF DVC
"""

import sys

from context_fbr_tools.dvc.patched import changed_entries, files_in_use, params_once


def main() -> int:
    """Run DVC in this process; its exit status."""
    from dvc.cli import main as dvc

    for module in (changed_entries, files_in_use, params_once):
        module.install()
    status: int = dvc(sys.argv[1:])
    return status


if __name__ == "__main__":
    sys.exit(main())
