"""Files of the checkout whose line endings git has changed: their hashes differ, and no shell runs them."""

import os

from context_fbr.runtime import git

PARAMS = "params.yaml"
SHOWN = 3


def changed_files() -> list[str]:
    """Return the tracked files that git keeps with LF and that have CRLF here; none outside of git.

    Without params.yaml: its values count and not its bytes, and a profile keeps the ending that it has.
    """
    listed = git.run("ls-files", "-z", "--eol", "--", ".")
    if listed.returncode:
        return []
    found = []
    for line in os.fsdecode(listed.stdout).split("\0"):
        facts, _, name = line.partition("\t")
        words = facts.split()
        if words[:1] == ["i/lf"] and words[1] in ("w/crlf", "w/mixed") and name != PARAMS:
            found.append(name)
    return found


def problem() -> str | None:
    """Return one line on files whose line endings git has changed, with the remedy; None without any."""
    names = changed_files()
    if not names:
        return None
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (
        f"line endings: {', '.join(names[:SHOWN])}{more} have CRLF here and LF in the commit, so their "
        "hashes differ and scripts do not run; `git config core.autocrlf false`, commit or stash your "
        "changes, then `git rm -rq --cached . && git reset --hard`"
    )
