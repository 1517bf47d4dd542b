"""What `context-fbr diff` calls a regression: `regression`."""

from typing import Annotated

from pydantic import Field

from context_fbr.study.document import Section


class Regression(Section):
    """Limits; a mean is worse than before only if its interval, where there is one, says so too."""

    dice: Annotated[float, Field(ge=0, le=1)]
    """Mean test Dice may be lower by this."""
    hausdorff_voxels: Annotated[float, Field(ge=0)]
    """Mean Hausdorff distance may be greater by this."""
    unconverged_cells: Annotated[int, Field(ge=0)]
    """So many cells that had converged may no longer do so."""
