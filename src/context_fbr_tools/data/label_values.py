"""Label values on the command line."""

from argparse import ArgumentTypeError


def label_values(text: str) -> tuple[int, ...]:
    """Return the values of a text such as 1,2; raises ArgumentTypeError if it is something else."""
    try:
        return tuple(int(value) for value in text.split(","))
    except ValueError:
        raise ArgumentTypeError(f"expected whole numbers, such as 1,2, got {text!r}") from None
