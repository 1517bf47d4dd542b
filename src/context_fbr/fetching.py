"""How results that are not here can be had: from DVC's remote, if there is one, or by computing them."""

from pathlib import Path


def remedy(stage: str) -> str:
    """Return the commands that bring the results of a stage here.

    Reads DVC's configuration, and asks no server. A remote that is a folder has to be there.
    """
    make = f"`dvc repro {stage}`, or `make repro` for the whole study"
    url = _remote_url()
    if url is None:
        return f"DVC has no remote here to pull it from; compute it: {make}"
    if _is_local(url) and not Path(url).is_dir():
        return f"DVC's remote {url} is not there, so it cannot be pulled; compute it: {make}"
    return f"`dvc pull {stage}` or `dvc repro {stage}`"


def _remote_url() -> str | None:
    """Return the address of DVC's default remote; None if there is none, or DVC cannot tell."""
    from dvc.config import Config  # takes half a second
    from dvc.exceptions import DvcException

    try:
        config = Config(dvc_dir=str(Path(".dvc").absolute()))
    except DvcException:
        return None
    name = config["core"].get("remote")
    url = config["remote"].get(name, {}).get("url") if name else None
    return str(url) if url else None


def _is_local(url: str) -> bool:
    return "://" not in url and not url.startswith("remote:")
