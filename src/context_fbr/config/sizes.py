"""Types of numbers and sizes in params.yaml."""

from typing import Annotated

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema

from context_fbr.core.patch_size import THREE, Edges, parse


def _three_edges(value: object) -> Edges:
    if not (isinstance(value, str) and THREE.fullmatch(value)):
        raise ValueError(f"is {value!r}, but should be three edges, not all equal, such as 32x32x16")
    size = parse(value)
    assert isinstance(size, Edges)  # a cube is an error of `parse`
    return size


Count = Annotated[int, Field(ge=1)]
THREE_EDGES = "three edges"
"""Name of the format in JSON's schema, from which the reference is made."""
Size = (
    Count
    | Annotated[
        Edges,
        PlainValidator(_three_edges),
        PlainSerializer(str, return_type=str),
        WithJsonSchema({"type": "string", "format": THREE_EDGES}),
    ]
)
"""Size of a patch, core or window: the edge of a cube in voxels, or three edges as text."""
