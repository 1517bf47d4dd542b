"""The project's folder, in which most commands have to run."""

from pathlib import Path

from context_fbr.core.errors import UserError

FILE = "params.yaml"


def require() -> None:
    """Check that the current folder is the project's.

    Raises:
        UserError: with the folder above that is, if there is one.
    """
    here = Path.cwd()
    if (here / FILE).exists():
        return
    above = next((folder for folder in here.parents if (folder / FILE).exists()), None)
    known = f", which is {above}" if above else ""
    raise UserError(f"{here}: {FILE}: not found; run this in the folder that holds {FILE}{known}")
