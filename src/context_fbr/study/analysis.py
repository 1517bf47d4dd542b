"""The parameters of the analysis: `analysis`."""

from typing import Annotated

from pydantic import Field

from context_fbr.study.document import Section


class Analysis(Section):
    """How results are judged."""

    convergence_tolerance: Annotated[float, Field(gt=0)]
    """A cell has converged only if its last two validations differ by less than this in Dice ..."""
    minimum_validation_dice: Annotated[float, Field(ge=0, le=1)]
    """... and its best validation Dice is no less than this."""
    confidence: Annotated[float, Field(gt=0, lt=1)]
    """Of every interval."""
    small_loss: Annotated[float, Field(gt=0)]
    """Dice: a loss, or a difference, that is called small."""
