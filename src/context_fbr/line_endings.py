"""Line endings of a text that is rewritten."""

CRLF = "\r\n"


def of(content: bytes) -> str:
    """Return the line ending of most lines of a text."""
    windows = content.count(b"\r\n")
    return CRLF if 2 * windows > content.count(b"\n") else "\n"


def joined(text: str, ending: str) -> str:
    """Return a text with the given line ending throughout."""
    return text.replace(CRLF, "\n").replace("\n", ending)
