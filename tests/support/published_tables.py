"""A small folder in the layout of the published results."""

from pathlib import Path

import pytest
from workspace import ROOT

PUBLISHED = ROOT.parent / "shared" / "data" / "published_results"
needs_published = pytest.mark.skipif(not PUBLISHED.is_dir(), reason=f"no published results in {PUBLISHED}")
HEADER = '"filename","dsc","hausdorff","abs_diff","fg_ratio"\n'


def write(folder: Path) -> Path:
    """Write two networks, two patch sizes, three runs of two cases each; return the folder."""
    for number, model in enumerate(("unet", "atunet")):
        place = folder / f"synthetic-{model}"
        place.mkdir(parents=True)
        for patch in (32, 64):
            for run in (1, 2, 3):
                (place / f"synthetic-{model}-{patch}-{run}.csv").write_text(
                    HEADER + f'"img0","0.9{run}","1","0.1","0.1"\n"img1","0.5","Inf","0.1","0.02"\n'
                )
            (place / f"foreground_ratios-{patch}.csv").write_text(f"0.05\n0.3{number}{patch}\n")
    return folder
