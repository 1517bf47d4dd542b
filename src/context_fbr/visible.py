"""Text from outside, such as a file's name, printed on one line and without control characters."""


def visible(text: str) -> str:
    r"""Return the text with control characters, line breaks and undecodable bytes as Python's escapes.

    The escape character becomes `\x1b`, the Latin-1 byte of an `é` in a file's name `\udce9`. What can be
    printed stays as it is.
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
