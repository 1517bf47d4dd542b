"""Blocks of docs/reference: parameters from their types, commands from their parsers, files from dvc.yaml."""

import ast
import inspect
import math
import re
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from ruamel.yaml import YAML

from context_fbr.analysis.result_files import COLUMNS
from context_fbr.config.analysis import Analysis, Regression
from context_fbr.config.document import Section
from context_fbr.config.evaluation import TaskEvaluation
from context_fbr.config.grid import Grid, Product
from context_fbr.config.prepare.preprocessing import Prepare
from context_fbr.config.prepare.split import Split
from context_fbr.config.raw.source import ArchiveRaw, FolderRaw
from context_fbr.config.raw.spheres import Background, SphereSet, SpheresRaw
from context_fbr.config.raw.twins import Shells, TwinSet, TwinsRaw, Variants
from context_fbr.config.sizes import THREE_EDGES
from context_fbr.config.training import Model, Resume, SlidingWindow, TaskTraining, Training
from context_fbr_tools.study.command_line import CommandLine
from context_fbr_tools.study.text_tables import Row, table

SECTIONS: dict[str, type[Section]] = {
    "grid": Grid,
    "arms.ARM": Product,
    "tasks.TASK.raw of spheres": SpheresRaw,
    "tasks.TASK.raw.training and .test of spheres": SphereSet,
    "tasks.TASK.raw.background": Background,
    "tasks.TASK.raw of twins": TwinsRaw,
    "tasks.TASK.raw.training and .test of twins": TwinSet,
    "tasks.TASK.raw.shells": Shells,
    "tasks.TASK.raw.variants": Variants,
    "tasks.TASK.raw of an archive": ArchiveRaw,
    "tasks.TASK.raw of a folder": FolderRaw,
    "tasks.TASK.prepare": Prepare,
    "tasks.TASK.prepare.split": Split,
    "tasks.TASK.train": TaskTraining,
    "tasks.TASK.evaluate": TaskEvaluation,
    "models.MODEL": Model,
    "train": Training,
    "sliding_window": SlidingWindow,
    "analysis": Analysis,
    "regression": Regression,
    "resume": Resume,
}
"""The sections of params.yaml in the order of the file."""


def parameters() -> str:
    """Return a table of keys for each section: type, default and meaning."""
    return "\n\n".join(f"### {place}\n\n{_section(model)}" for place, model in SECTIONS.items())


def _section(model: type[Section]) -> str:
    rows: list[Row] = [("key", "value", "default", "meaning")]
    texts = docstrings(model)
    for name, field in model.model_fields.items():
        rows.append((f"`{name}`", _type_text(field), _default(field), texts.get(name, "")))
    lead = inspect.cleandoc(model.__doc__ or "").partition("\n")[0]
    return f"{lead}\n\n{table(rows, markdown=True)}"


@cache
def docstrings(model: type) -> dict[str, str]:
    """Return the docstrings of the attributes of a class and of those it inherits from."""
    found: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        if not issubclass(kind, Section) or kind is Section:
            continue
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
        assert isinstance(tree, ast.ClassDef)
        for statement, follower in zip(tree.body, tree.body[1:], strict=False):
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                match follower:
                    case ast.Expr(value=ast.Constant(value=str(text))):
                        found[statement.target.id] = " ".join(inspect.cleandoc(text).split())
    return found


def _type_text(field: FieldInfo) -> str:
    """Return a type as JSON's schema words it: `number, > 0`, `adam or sgd`."""
    schema = _schema(field)
    return _words(schema, schema.get("$defs", {}))


def _schema(field: FieldInfo) -> dict[str, Any]:
    kind: Any = field.annotation
    for limit in field.metadata:
        kind = Annotated[kind, limit]
    return TypeAdapter(kind).json_schema()


def _words(schema: dict[str, Any], known: dict[str, Any]) -> str:
    """Put a JSON schema into words."""
    if "$ref" in schema:
        return "section, see below" if schema["$ref"].rpartition("/")[2] in known else "section"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_words(part, known) for part in schema["anyOf"]))
    if "const" in schema or "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("format") == THREE_EDGES:
        return "three edges as `32x32x16`"
    kind = schema.get("type", "any value")
    if kind == "array":
        parts = schema.get("prefixItems")
        if parts:
            return f"list of {len(parts)}: {_words(parts[0], known)}"
        return f"list of {_words(schema.get('items', {}), known)}"
    if kind == "object":
        inner = schema.get("additionalProperties")
        return f"mapping of names to {_words(inner, known)}" if isinstance(inner, dict) else "mapping"
    names = {
        "integer": "whole number",
        "number": "number",
        "string": "text",
        "boolean": "true or false",
        "null": "null",
    }
    limits = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    spans = [f"{sign} {_number(schema[key])}" for key, sign in limits.items() if key in schema]
    return ", ".join([names.get(kind, kind), *spans])


def _number(value: float) -> str:
    return "2^32" if value == 2**32 else f"{value:g}"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = (
        field.get_default(call_default_factory=True) if field.default is PydanticUndefined else field.default
    )
    if value is None or value == {} or value == ():
        return "none"
    if isinstance(value, Section):
        return "see below"
    text = str(list(value) if isinstance(value, tuple) else value)
    return f"`{text.lower() if isinstance(value, bool) else text}`"


def commands(line: CommandLine) -> str:
    """Return each command with its usage, options and an example, as `--help` prints them."""
    parts: list[str] = []
    for name, parser in line.commands.items():
        rows: list[Row] = [("argument", "meaning")]
        for action in parser._actions:
            if action.dest == "help":
                continue
            names = ", ".join(action.option_strings) or str(action.metavar or action.dest)
            value = (
                f" {action.metavar or action.dest.upper()}"
                if action.option_strings and action.nargs != 0
                else ""
            )
            rows.append((f"`{names}{value}`", (action.help or "").replace("%%", "%")))
        lead = (parser.description or "").strip()
        example = (parser.epilog or "").rpartition("example:\n")[2].strip()
        own = [f"### `context-fbr {name}`", lead[:1].upper() + lead[1:] + "."]
        own += [table(rows, markdown=True)] if len(rows) > 1 else []
        parts += [*own, f"```\n{example}\n```"]
    return "\n\n".join(parts)


def stage_files() -> str:
    """Return what each stage of dvc.yaml reads and writes."""
    stages = YAML(typ="safe").load(Path("dvc.yaml"))["stages"]
    rows: list[Row] = [("stage", "parameters", "reads", "writes")]
    for name, stage in stages.items():
        if re.search(r"^(train|evaluate)_", name):
            continue  # an arm's: as the grid's
        outs = [*_paths(stage.get("outs", [])), *_paths(stage.get("metrics", []))]
        columns = (_paths(stage.get("params", [])), _paths(stage.get("deps", [])), outs)
        rows.append((f"`{name}`", *(_listed(paths) for paths in columns)))
    return table(rows, markdown=True)


def _paths(entries: list[Any]) -> Iterator[str]:
    for entry in entries:
        text = entry if isinstance(entry, str) else next(iter(entry))
        yield re.sub(r"\$\{(?:item\.)?(\w+)\}", lambda match: match[1].upper(), text)


def _listed(paths: Any) -> str:
    return ", ".join(f"`{path}`" for path in paths)


def table_columns() -> str:
    """Return every column that tables of single cells and cases have."""
    rows: list[Row] = [("column", "type", "range", "meaning")]
    kinds = {"str": "text", "int64": "whole number", "float64": "number", "size": "size"}
    for column in COLUMNS.values():
        ends = (column.low, column.high)
        span = f"{ends[0]:g} to {ends[1]:g}" if any(map(math.isfinite, ends)) else ""
        undefined = "; empty if undefined" if column.nullable else ""
        rows.append(
            (f"`{column.name}`", kinds[column.kind], span.replace("inf", "∞"), column.meaning + undefined)
        )
    return table(rows, markdown=True)
