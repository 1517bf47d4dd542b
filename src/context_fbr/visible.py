"""Names and values that others wrote, made fit to print: they move no cursor and break no line."""

LONGEST = 200


def visible(text: str) -> str:
    """Text with line breaks, control characters and all else without a glyph as escapes, as in Python."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def on_one_line(text: str, longest: int = LONGEST) -> str:
    """As `visible`, cut to a length."""
    return visible(text) if len(text) <= longest else f"{visible(text[:longest])}..."
