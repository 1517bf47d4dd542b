"""DVC that parses a file of parameters once, and not once for each stage that depends on it.

`dvc status` of some 380 stages spent 7 of its 12 seconds with the same params.yaml.
"""

import pickle
from pathlib import Path
from typing import Any

REPLACED = "load_path"
"""Name in dvc.dependency.param."""


def install() -> None:
    """Let this process remember parsed files, unless this DVC has no such function."""
    from dvc.dependency import param

    original = getattr(param, REPLACED, None)
    if original is None:
        return
    parsed: dict[tuple[object, ...], bytes] = {}

    def load(path: str, fs: Any, **options: Any) -> Any:
        if getattr(fs, "protocol", None) != "local" or options:  # such as a commit of git
            return original(path, fs, **options)
        try:
            status = Path(path).stat()
        except OSError:
            return original(path, fs)  # with DVC's own message
        state = (path, status.st_ino, status.st_mtime_ns, status.st_size)
        if state not in parsed:
            parsed[state] = pickle.dumps(original(path, fs))
        return pickle.loads(parsed[state])  # a copy: YAML would write what two stages share as a reference

    setattr(param, REPLACED, load)
