"""The project's folder, in which most commands have to run."""

from pathlib import Path

from context_fbr.errors import UserError

FILES = ("params.yaml", "dvc.yaml")


def require() -> None:
    """Check that the current folder is the project's.

    Raises:
        UserError: with the folder above that is, if there is one.
    """
    missing = [name for name in FILES if not Path(name).exists()]
    if not missing:
        return
    here = Path.cwd()
    above = next((folder for folder in here.parents if all((folder / name).exists() for name in FILES)), None)
    way = f"`cd {above}`, then run it there" if above else f"run this in the folder that holds {FILES[0]}"
    raise UserError(f"{here}: {' and '.join(missing)} not found; {way}")
