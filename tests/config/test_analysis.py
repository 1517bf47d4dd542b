"""The pairs of models in `analysis`."""

from pathlib import Path

import pytest
from workspace import ROOT

from context_fbr.config.analysis import Analysis
from context_fbr.config.document import Document
from context_fbr.core.errors import UserError

STUDY = ROOT / "tests" / "support" / "study.yaml"
LINE = (
    "exchanged_norms: [[unet, unet_instance], [attention_unet_batch, attention_unet], [unetr_batch, unetr]]"
)


def read(folder: Path, pairs: str | None) -> Analysis:
    text = STUDY.read_text()
    assert LINE in text
    path = folder / "params.yaml"
    path.write_text(text.replace(f"  {LINE}\n", "" if pairs is None else f"  exchanged_norms: {pairs}\n"))
    return Document.read(path).section(("analysis",), Analysis)


def test_pairs_are_read_in_their_order_and_may_be_absent(tmp_path: Path) -> None:
    assert read(tmp_path, "[[b, i], [c, i]]").exchanged_norms == (("b", "i"), ("c", "i"))
    assert read(tmp_path, "[]").exchanged_norms == read(tmp_path, None).exchanged_norms == ()


@pytest.mark.parametrize(
    "pairs", ["[[a]]", "[[a, b, c]]", "[[a, a]]", "[[a, b], [a, b]]", "[a, b]", "[[1, 2]]", "x"]
)
def test_what_is_no_pair_of_two_models_is_an_error_with_its_line(tmp_path: Path, pairs: str) -> None:
    with pytest.raises(UserError) as error:
        read(tmp_path, pairs)
    line = next(n for n, text in enumerate(STUDY.read_text().splitlines(), 1) if LINE in text)
    assert all(problem.startswith(f"{tmp_path / 'params.yaml'}:{line}: ") for problem in error.value.problems)
