"""Libraries that the report embeds, and their licences. Nothing is fetched."""

import base64
import gzip
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from context_fbr.core.errors import UserError

PLOTS_PAGE = Path(".dvc/plots/page.html")
"""The page of DVC's plots, which contains the Vega libraries."""
NIIVUE = "niivue-0.69.0.umd.js.gz"
"""dist/niivue.umd.js of the npm package @niivue/niivue, gzipped."""
NIIVUE_SHA256 = "47b896b77ec4a5be3ef1949c33ad393b6f45629921f326c279000bcf51bdb4af"
"""SHA-256 of the script."""
SCRIPT = re.compile(r"^<script>/\* ([\w@.-]+) \*/\n(.*?)\n</script>$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Assets:
    """Texts that the page is made of."""

    style: str
    script: str
    libraries: tuple[tuple[str, str], ...]
    """Name with version, and script, of the Vega libraries."""
    niivue: str
    """The script of NiiVue, gzipped, in base64."""
    licences: str


def read_assets(root: Path) -> Assets:
    """Read them.

    Raises:
        UserError: if the project's page of plots is missing or lacks the libraries.
    """
    folder = resources.files(__package__) / "assets"
    try:
        libraries = tuple(SCRIPT.findall((root / PLOTS_PAGE).read_text(encoding="utf-8")))
    except OSError as error:
        raise UserError(f"{root / PLOTS_PAGE}: {error.strerror}; take it from git") from error
    if not libraries:
        raise UserError(f"{root / PLOTS_PAGE}: contains no libraries; take it from git")
    return Assets(
        (folder / "page.css").read_text(encoding="utf-8").strip(),
        (folder / "page.js").read_text(encoding="utf-8").strip(),
        libraries,
        base64.b64encode((folder / NIIVUE).read_bytes()).decode(),
        (folder / "LICENSES.txt").read_text(encoding="utf-8"),
    )


def niivue_script() -> str:
    """Return the script of NiiVue."""
    return gzip.decompress((resources.files(__package__) / "assets" / NIIVUE).read_bytes()).decode()
