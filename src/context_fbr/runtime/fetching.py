"""Remedies for missing results: DVC's remote, if there is one, or computing them."""

from pathlib import Path


def remedy(stage: str) -> str:
    """Return the commands that bring the results of a stage here.

    Reads DVC's configuration and connects to no server. A remote that is a folder has to exist.
    """
    make = f"`dvc repro {stage}`, or `make repro` for the whole study"
    url = _remote_url(Path())
    if url is None:
        return f"DVC has no remote here to pull it from; compute it: {make}"
    if not _is_there(url):
        return f"DVC's remote {url} is not there, so it cannot be pulled; compute it: {make}"
    return f"`dvc pull {stage}` or `dvc repro {stage}`"


def has_remote(folder: Path) -> bool:
    """Return true if a folder's DVC has a default remote; one that is a folder has to be there."""
    url = _remote_url(folder)
    return url is not None and _is_there(url)


def _remote_url(folder: Path) -> str | None:
    """Return the address of DVC's default remote; None if there is none or its configuration is invalid."""
    from dvc.config import Config  # takes half a second
    from dvc.exceptions import DvcException

    try:
        config = Config(dvc_dir=str((folder / ".dvc").absolute()))
    except DvcException:
        return None
    name = config["core"].get("remote")
    url = config["remote"].get(name, {}).get("url") if name else None
    return str(url) if url else None


def _is_there(url: str) -> bool:
    """Return true if a remote is a folder that is there, or a server, which is not checked."""
    return "://" in url or Path(url).is_dir()
