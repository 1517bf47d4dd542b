"""The parameters `resume`: how often a run saves itself. They decide no result; no stage depends on them."""

from typing import Annotated

from pydantic import Field

from context_fbr.study.document import Section


class Resume(Section):
    """How a training saves itself."""

    save_every_minutes: Annotated[float, Field(ge=0)]
    """0: after every step."""
