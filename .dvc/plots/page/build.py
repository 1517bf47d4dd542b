"""`python .dvc/plots/page/build.py`: writes .dvc/plots/page.html, DVC's page of plots.

The page is one file that needs no network: page.html with page.css, page.js and the Vega libraries in it.
Building fetches the libraries with npm and checks their hashes; showing plots needs neither npm nor building.
"""

import hashlib
import re
import subprocess
import tarfile
import tempfile
from pathlib import Path

SOURCES = Path(__file__).parent
PAGE = SOURCES.parent / "page.html"
# npm package and version (DVC names the same major versions), SHA-256 of its build/NAME.min.js without
# the last comment, which names a source map.
LIBRARIES = {
    "vega@5.33.1": "135831f62920743d4467bec0df2d78eedd16fa3444077419f1dfc9aa0d55e6da",
    "vega-lite@5.23.0": "9525bc3368d62c580e8fcbf5db63c4a95c04052fe32ced063817c677cc98801c",
    "vega-embed@6.29.0": "16512fd17119051ee3f859467e174fe1503ff86c0a4743aaf8b7c10da3dd83e0",
}
# What DVC replaces, and what ends or hides a script: in a library it would break the page.
FORBIDDEN = re.compile(r"\{(?:plot_divs|scripts|refresh_tag)\}|</script|<!--", re.IGNORECASE)


def fetch(library: str) -> str:
    """The library's script from the npm registry.

    Raises:
        SystemExit: if it is not the script of which the hash is known.
    """
    name = library.partition("@")[0]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["npm", "pack", "--silent", "--pack-destination", folder, library],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        (archive,) = Path(folder).iterdir()
        with tarfile.open(archive) as tar:
            member = tar.extractfile(f"package/build/{name}.min.js")
            assert member is not None  # a plain file
            script = member.read().decode()
    script = re.sub(r"\s*//# sourceMappingURL=\S+\s*$", "", script)
    if (found := digest(script)) != LIBRARIES[library]:
        raise SystemExit(
            f"error: {library}: the script's SHA-256 is {found}, expected {LIBRARIES[library]}; "
            "after a change of version look through what is new and write the new hash into LIBRARIES"
        )
    return script


def digest(script: str) -> str:
    """SHA-256 of a script."""
    return hashlib.sha256(script.encode()).hexdigest()


def compose(scripts: dict[str, str]) -> str:
    """The page with style, our script and these libraries in it.

    Raises:
        ValueError: if a part holds what DVC would replace or what would end its script.
    """
    parts = {name: (SOURCES / name).read_text(encoding="utf-8").strip() for name in ("page.css", "page.js")}
    for name, text in (parts | scripts).items():
        if found := FORBIDDEN.search(text):
            raise ValueError(f"{name}: {found.group()!r} at {found.start()} cannot stand in the page")
    parts["scripts"] = "\n".join(
        f"<script>/* {library} */\n{script}\n</script>" for library, script in scripts.items()
    )
    page = (SOURCES / "page.html").read_text(encoding="utf-8")
    return re.sub(r"^\[([\w.]+)\]$", lambda slot: parts[slot[1]], page, flags=re.MULTILINE)


if __name__ == "__main__":
    PAGE.write_text(compose({library: fetch(library) for library in LIBRARIES}), encoding="utf-8")
    print(f"{PAGE}: {PAGE.stat().st_size / 1000:.0f} kB")
