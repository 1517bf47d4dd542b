"""Predicted power against simulated studies: benchmarks/power.csv.

python -m benchmarks.power [STUDIES]

Scores are drawn from normal distributions with known components, and judged by the interval of the analysis.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from context_fbr.analysis.confidence_intervals import Term, interval
from context_fbr.core import atomic
from context_fbr_tools.study.planning.components import Components
from context_fbr_tools.study.planning.power import power

PATH = Path(__file__).with_suffix(".csv")
CONFIDENCE = 0.95
STUDIES = 2000
# seeds, cases, standard deviations of training, case and rest of one configuration, difference
SETTINGS = (
    (3, 110, 0.02, 0.04, 0.03, 0.05),
    (3, 20, 0.01, 0.10, 0.05, 0.08),
    (5, 50, 0.03, 0.05, 0.02, 0.05),
    (10, 30, 0.05, 0.02, 0.01, 0.05),
    (3, 60, 0.005, 0.03, 0.05, 0.02),
    (8, 15, 0.02, 0.08, 0.08, 0.0),
)


def simulated(setting: tuple[int, int, float, float, float, float], studies: int, seed: int) -> float:
    """Return the share of simulated studies whose interval excludes 0."""
    seeds, cases, training, case, rest, difference = setting
    generator = np.random.default_rng(seed)
    excluded = 0
    names = [f"case_{number}" for number in range(cases)]
    for _ in range(studies):
        shared = generator.normal(0, 0.1, cases)
        terms = []
        for sign, model in ((1, "a"), (-1, "b")):
            scores = 0.5 + shared + (difference if sign > 0 else 0) + generator.normal(0, case, cases)
            scores = (
                scores + generator.normal(0, training, (seeds, 1)) + generator.normal(0, rest, (seeds, cases))
            )
            rows = pd.DataFrame(
                {
                    "task": "t",
                    "model": model,
                    "patch_size": 16,
                    "seed": np.repeat(np.arange(seeds), cases),
                    "filename": names * seeds,
                    "dsc": scores.ravel(),
                }
            )
            terms.append(Term(sign, rows))
        found = interval(terms, "dsc", CONFIDENCE)
        assert found.low is not None
        assert found.high is not None
        excluded += found.low > 0 or found.high < 0
    return excluded / studies


def predicted(setting: tuple[int, int, float, float, float, float]) -> float:
    """Return the power by `context-fbr power`."""
    seeds, cases, training, case, rest, difference = setting
    own = Components(
        seeds, cases, (training**2,) * 2, 2 * case**2, (rest**2,) * 2, cases - 1.0, is_designed=False
    )
    return power(own, difference, CONFIDENCE)


def main() -> None:
    """Write the table."""
    studies = int(sys.argv[1]) if len(sys.argv) > 1 else STUDIES
    names = ("seeds", "cases", "training_sd", "case_sd", "rest_sd", "difference")
    rows = []
    for number, setting in enumerate(SETTINGS):
        row = dict(zip(names, setting, strict=True)) | {
            "studies": studies,
            "predicted": round(predicted(setting), 4),
            "simulated": round(simulated(setting, studies, number), 4),
        }
        print(row, flush=True)
        rows.append(row)
    atomic.write_text(PATH, pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))


if __name__ == "__main__":
    main()
