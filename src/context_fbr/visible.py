"""Names and values from outside, such as a file's name, made fit to print on one line."""

LONGEST = 200


def visible(text: str) -> str:
    r"""Return the text with control characters, line breaks and undecodable bytes as Python's escapes.

    The escape character becomes `\x1b`, the Latin-1 byte of an `é` in a file's name `\udce9`. What can be
    printed stays as it is.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def on_one_line(text: str, longest: int = LONGEST) -> str:
    """Return the text as `visible` does, cut to a length."""
    return visible(text) if len(text) <= longest else f"{visible(text[:longest])}..."
