"""params.yaml of a new study: the project's, with one task and a grid that a laptop runs in minutes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from context_fbr.config import profiles
from context_fbr.config.document import Document, parse
from context_fbr.config.study import read_study
from context_fbr.core.patch_size import PatchSize, written

MODELS = ("unet", "attention_unet_batch")
"""Both with batch norm: with different norms, their difference would not be that of the architectures."""
SEEDS = (1, 2, 3)
EMPTY = ("modern_recipe", "supervised_cores", "distance_groups")
"""Keys of `analysis` that name models or distances of the project's own arms and tasks."""
TEXTS = {
    " `context-fbr profile smoke|desk|paper` rewrites it,\n# `context-fbr check`": " `context-fbr check`",
    "# that have cells, in the grid or in an arm; spleen too, once its archive is there": "# that have cells",
    ", or bf16: docs/explanation/speed.md": ", or bf16",
    "\n# further products": "\n\n# further products",
    "\narms: {}\n": "\narms: {}\n\n",
    "\nmodels: ": "\n\nmodels: ",
}
"""Comments about what a new study does not have, and blank lines that leave with what was above them."""


def params(document: Document, task: str, block: str | None, patch_sizes: Sequence[PatchSize]) -> str:
    """Return the text of params.yaml, comments kept.

    Args:
        document: the project's params.yaml.
        task: of the study.
        block: of the task, indented as below `tasks:`; None: the project's own task of this name.
        patch_sizes: of the grid.

    Raises:
        UserError: if the result is not a valid study.
    """
    root = parse(profiles.dump(document.root).encode(), str(document.path))
    tasks = parse(f"tasks:\n{block}".encode(), f"tasks.{task}")["tasks"] if block else None
    _set(root["study"], "tasks", [task])
    for key, values in (
        ("tasks", [task]),
        ("models", MODELS),
        ("patch_sizes", [*map(written, patch_sizes)]),
        ("seeds", SEEDS),
    ):
        _set(root["grid"], key, values)
    root["arms"] = CommentedMap()
    root.ca.items.pop("arms", None)
    root.yaml_set_comment_before_after_key("arms", before="further products of cells, as the grid", indent=0)
    if tasks is None:
        _keep(root["tasks"], [task])
    else:
        root["tasks"] = tasks
    _keep(root["models"], document.root["grid"]["models"])
    for key in EMPTY:
        root["analysis"][key] = CommentedSeq()
        root["analysis"][key].fa.set_flow_style()
    text = profiles.dump(root)
    for before, after in TEXTS.items():
        text = text.replace(before, after)
    read_study(Document(Path("params.yaml"), YAML().load(text)))
    return text


def _set(mapping: Any, key: str, values: Sequence[object]) -> None:
    """Replace a list, which keeps its style and its comment."""
    mapping[key][:] = values


def _keep(mapping: Any, names: Sequence[str]) -> None:
    for name in [name for name in mapping if name not in names]:
        del mapping[name]
