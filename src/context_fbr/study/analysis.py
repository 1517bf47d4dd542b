"""The parameters of the analysis: `analysis`."""

from typing import Annotated

from pydantic import Field

from context_fbr.study.document import Section


class Analysis(Section):
    """How results are judged."""

    convergence_tolerance: Annotated[float, Field(gt=0)]
    """A cell has converged if its last two validations differ by less than this in Dice."""
