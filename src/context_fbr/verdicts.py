"""When an interval decides: it lies as a whole on one side of a limit."""

from context_fbr.intervals import Interval

SUPPORTED, CONTRADICTED, NOT_DECIDED = "supported", "contradicted", "not decided"


def above(found: Interval, limit: float) -> str:
    """The claim that a statistic with limits is greater than `limit`."""
    assert found.low is not None
    assert found.high is not None
    if found.low > limit:
        return SUPPORTED
    return CONTRADICTED if found.high < limit else NOT_DECIDED


def positive(found: Interval) -> str:
    """The claim that it is greater than 0."""
    return above(found, 0)


def below(found: Interval, limit: float) -> str:
    """The claim that it is less than `limit`."""
    return {SUPPORTED: CONTRADICTED, CONTRADICTED: SUPPORTED}.get(above(found, limit), NOT_DECIDED)
