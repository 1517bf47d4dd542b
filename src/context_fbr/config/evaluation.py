"""How predictions are scored: `tasks.<task>.evaluate`."""

from typing import Annotated

from pydantic import Field

from context_fbr.config.document import Section


class TaskEvaluation(Section):
    """What of the scores belongs to the task."""

    surface_tolerance_mm: Annotated[float, Field(gt=0)]
    """Of the surface Dice: a surface that is no further away than this is right."""
