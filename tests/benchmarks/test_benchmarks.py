"""The original's way gives what ours gives, and the tables say what was measured."""

import contextlib
import csv
import json
import math
import tomllib
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.losses import DiceLoss

from benchmarks import __main__ as bench
from benchmarks import (
    data_parts,
    figure,
    generated,
    mutants,
    network_parts,
    pairs,
    table,
)
from benchmarks.generated import Size
from benchmarks.original import data, evaluation, training, volumes
from benchmarks.request import Request
from context_fbr.config.prepare.preprocessing import Prepare
from context_fbr.config.raw.spheres import SpheresRaw
from context_fbr.core.errors import UserError
from context_fbr.datasets import spheres
from context_fbr.metrics import overlap
from context_fbr.networks import factory
from context_fbr.networks.sliding_window import segment, sliding_window
from context_fbr.prepare import prepare_case
from context_fbr.preprocessing import prepared
from context_fbr.training import batches
from context_fbr.training.batches import Protocol

CPU = torch.device("cpu")
STAMP = {"machine": "m", "date": "2026-01-01", "commit": "0000000"}


def protocol_of(request: Request, epochs: int = 1) -> Protocol:
    return Protocol(request.training, request.window, epochs, patch_size=16, seed=1)


def network_of(request: Request) -> torch.nn.Module:
    return factory.build(request.document, "unet", 16, seed=1)


def test_generated_volumes_have_the_published_distribution(request_: Request) -> None:
    raw = request_.document.section(("tasks", "spheres", "raw"), SpheresRaw)
    generator = np.random.default_rng(1)
    image, label = volumes.generate(raw, generator)
    assert image.shape == label.shape == (20, 20, 20)
    assert image.dtype == label.dtype == np.float64
    sizes = {int(spheres.generate(raw, spheres.TRAINING, index)[1].sum()) for index in range(50)}
    for _ in range(20):
        image, label = volumes.generate(raw, generator)
        assert int(label.sum()) in sizes
        assert (image[label == 1] == raw.foreground).all()
        assert 0 <= image[label == 0].min() < image[label == 0].max() <= 1


def test_the_loss_of_steps_on_the_same_batch_is_ours(request_: Request) -> None:
    learn = network_parts.batch_volumes(request_)
    protocol = protocol_of(request_, epochs=4)
    network = network_of(request_).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=request_.training.learning_rate)
    ours = network_parts.our_step(request_, "unet", 16, steps=3)
    for epoch in (1, 2, 3):
        (batch,) = islice(batches.batches(learn, protocol, epoch), 1)
        for group in optimizer.param_groups:  # our cosine moves with each epoch of one step
            group["lr"] = request_.training.learning_rate * (1 + math.cos(math.pi * (epoch - 1) / 4)) / 2
        loss = training.step(
            network,
            optimizer,
            DiceLoss(to_onehot_y=True, softmax=True),
            batch.images.contiguous(),
            batch.labels.float(),
        )
        assert loss == pytest.approx(ours().loss, abs=1e-4)


def test_windows_and_masks_are_ours(request_: Request) -> None:
    network = network_of(request_).eval()
    image = torch.from_numpy(network_parts.volume(request_, spheres.TRAINING, 0)[0])
    outputs = evaluation.logits(network, image[None, None], 8, request_.window)
    torch.testing.assert_close(outputs[0], sliding_window(network, image, 8, request_.window))
    mask = segment(network, image, 8, request_.window)
    assert torch.equal(evaluation.PREDICTED(outputs[0])[1], mask.float())


def test_what_is_scored_are_nearly_right_masks_of_spheres_and_of_a_scan(
    request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_parts, "SCAN", (40, 40, 30))
    monkeypatch.setattr(network_parts, "SPHERES", 2)
    cases = list(network_parts.score_cases(request_))
    assert [label.shape for _, label in cases] == [(20,) * 3] * 4 + [(40, 40, 30)] * 2
    for outputs, label in cases:
        wrong = int((outputs.argmax(dim=0).numpy() != label).sum())
        assert wrong < 0.6 * label.sum()
    assert (cases[-1][0].argmax(dim=0).numpy() != cases[-1][1]).any()


@pytest.mark.parametrize("wrong", ["speckles", "rough", "everything", "nothing"])
def test_scores_are_ours(request_: Request, wrong: str) -> None:
    _, label = network_parts.volume(request_, spheres.TEST, 0)
    generator = np.random.default_rng(3)
    predict = network_parts.rough if wrong == "rough" else network_parts.speckled
    outputs = network_parts.logits_of(predict(label, generator), generator)
    if wrong == "speckles":
        outputs[:, 3:6, 2] *= -1
    elif wrong != "rough":
        outputs = outputs.abs() * torch.tensor([-1.0, 1.0])[:, None, None, None]
        outputs = outputs if wrong == "everything" else -outputs
    dice, hausdorff, difference = evaluation.scores(
        outputs[None], torch.from_numpy(label)[None, None].float()
    )
    own = overlap.score(outputs.argmax(dim=0).numpy(), label)
    assert dice == pytest.approx(own.dice, abs=1e-6)
    assert difference == pytest.approx(own.absolute_difference, abs=1e-6)
    assert hausdorff == (math.inf if wrong == "nothing" else pytest.approx(own.hausdorff_voxels, abs=1e-5))


def test_the_original_s_batches_are_patches_of_the_same_volumes(request_: Request, tmp_path: Path) -> None:
    study = generated.write(request_, Size(1, 4, 1, 1), tmp_path / "study", {})
    with contextlib.chdir(study.folder):
        cases = prepared.read_cases("spheres", "train")
        whole = {case.name: prepared.read_volume("spheres", case) for case in cases}
    items = study.items("train")
    assert [item["name"] for item in items] == list(whole)
    for batch, item in zip(data.volume_loader(items, workers=0), items, strict=True):
        for kind, voxels in zip(data.KEYS, whole[item["name"]], strict=True):
            assert np.array_equal(batch[kind][0, 0].numpy(), voxels)
    seen = []
    for batch in data.training_loader(items, protocol_of(request_), workers=0):
        assert batch["image"].shape == batch["label"].shape == (4, 1, 16, 16, 16)
        for patch, name in zip(batch["image"].numpy(), batch["name"], strict=True):
            windows = np.lib.stride_tricks.sliding_window_view(whole[name][0], (16, 16, 16))
            assert (windows == patch[0]).all(axis=(3, 4, 5)).any()
            seen.append(name)
    assert sorted(seen) == sorted(name for name in whole for _ in range(2))


def test_half_of_the_original_s_patches_are_centred_on_foreground(request_: Request, tmp_path: Path) -> None:
    study = generated.write(request_, Size(1, 4, 1, 1), tmp_path / "study", {})
    protocol = replace(protocol_of(request_), patch_size=4)
    loader = data.training_loader(study.items("train"), protocol, workers=0)
    centres = [patch[0, 2, 2, 2] for _ in range(25) for batch in loader for patch in batch["label"].numpy()]
    assert len(centres) == 200
    assert 0.35 < np.mean(centres) < 0.65


def test_the_original_prepares_a_scan_as_we_do(request_: Request, tmp_path: Path) -> None:
    settings = request_.document.section(("tasks", "spleen", "prepare"), Prepare)
    source = data_parts.write_scan(tmp_path, (40, 36, 9), np.random.default_rng(1))
    item = {"image": str(tmp_path / source.image), "label": str(tmp_path / source.label)}
    theirs = data.preparation(settings)(item)
    _, image, label, _ = prepare_case(source, tmp_path, settings, {0, 1})
    np.testing.assert_allclose(theirs["image"][0].numpy(), image, atol=1e-5)
    assert (theirs["label"][0].numpy() != label).mean() < 0.01  # but for ties between two voxels
    assert label.any()


def test_bf16_is_ours_and_the_original_s_stays_in_float32(request_: Request) -> None:
    request = replace(request_, precision="bf16")
    assert request.training.precision == request.window.precision == "bf16"
    assert request_.training.precision == request_.window.precision == "float32"
    (measured,) = network_parts.step(request)
    assert measured.row(request, STAMP)["precision"] == "bf16"


def test_each_way_computes_with_its_own_memory_and_is_warm_when_it_is_timed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []
    for name in ("keep", "give_back"):
        monkeypatch.setattr(pairs.allocator, name, lambda name=name: told.append(name))

    def take(work: Callable[[], object], _: torch.device) -> float:
        told.append("clock")
        work()
        return 1.0

    monkeypatch.setattr(pairs, "seconds", take)
    pairs.measure(lambda: told.append("original"), lambda: told.append("ours"), 2, CPU, "it")
    original = ["give_back", "original", "clock", "original"]
    ours = ["keep", "ours", "clock", "ours"]
    assert told == [*original, *ours, "clock", "ours", *original]
    assert sum(word == "ours" for word in told) <= pairs.units(2)


def test_scoring_measures_every_case_as_often_as_the_others(
    request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_parts, "SCAN", (20, 20, 16))
    monkeypatch.setattr(network_parts, "SPHERES", 1)
    (measured,) = network_parts.score(replace(request_, repeats=5))
    assert len(measured.pairs.ratios) == 2 * 4  # two a case: 5 are not enough for all


def row(part: str, ratio: str, commit: str = "1111111") -> dict[str, str]:
    """Of results.csv."""
    numbers = dict.fromkeys(bench.RESULTS.columns, ratio)
    place = {"part": part, "network": "unet", "patch_size": "32", "device": "cpu", "precision": "float32"}
    return {**numbers, **place, "commit": commit}


def test_a_run_replaces_its_own_rows_and_keeps_the_others(tmp_path: Path) -> None:
    results = replace(bench.RESULTS, path=tmp_path / "results.csv")
    table.replace(results, [row("step", "2"), row("cell", "3"), {**row("step", "4"), "device": "cuda"}])
    table.replace(results, [row("step", "5", commit="2222222")])
    rows = {(r["part"], r["device"]): (r["ratio_median"], r["commit"]) for r in table.read(results)}
    assert rows == {
        ("cell", "cpu"): ("3", "1111111"),
        ("step", "cpu"): ("5", "2222222"),
        ("step", "cuda"): ("4", "1111111"),
    }


def test_a_table_with_other_columns_is_not_written_over(tmp_path: Path) -> None:
    results = replace(bench.RESULTS, path=tmp_path / "results.csv")
    results.path.write_text("part,seconds\nstep,1\n")
    with pytest.raises(UserError, match=r"results\.csv: expected the columns part, network"):
        table.replace(results, [row("step", "1")])
    assert results.path.read_text() == "part,seconds\nstep,1\n"


def test_the_table_of_this_repository_has_its_columns() -> None:
    root = Path(__file__).parents[2]
    assert table.read(replace(bench.RESULTS, path=root / bench.RESULTS.path))


def test_the_figure_is_drawn_from_the_table_alone(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    results = replace(bench.RESULTS, path=path)
    table.replace(results, [row("step", "2"), {**row("generate", "0.5"), "network": "", "patch_size": ""}])
    drawn = figure.draw(path)
    assert drawn.startswith(b"\x89PNG")
    assert drawn == figure.draw(path)
    table.replace(results, [row("step", "3")])
    assert drawn != figure.draw(path)


def test_pairs_take_turns_and_each_way_goes_first() -> None:
    calls: list[str] = []
    found = pairs.measure(lambda: calls.append("a"), lambda: calls.append("b"), 3, CPU, "test")
    assert "".join(calls) == "aabb" + "baa" + "abb"  # who takes over does so once untimed
    calls.clear()
    pairs.measure(lambda: calls.append("a"), lambda: calls.append("b"), 3, CPU, "test", settle=False)
    assert "".join(calls) == "ab" + "ba" + "ab"
    assert len(found.original_s) == len(found.ours_s) == len(found.ratios) == 3
    known = pairs.Pairs((2.0, 4.0, 9.0), (1.0, 4.0, 3.0))
    assert known.summary == (4.0, 3.0, 2.0, 1.0, 3.0)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["stp"], "stp: is no part; did you mean step"),
        (["step", "--repeats", "0"], "--repeats 0: expected 1 or more"),
        (
            ["step", "--network", "unets"],
            "--network unets: is none of profiles/paper.yaml; did you mean unet",
        ),
        (["step", "--network", "unetr", "--patch-size", "20"], "cannot take a patch of 20 voxels"),
    ],
)
def test_a_wrong_argument_is_one_clear_error(arguments: list[str], text: str) -> None:
    with pytest.raises(UserError) as error:
        bench.main(arguments)
    assert len(error.value.problems) == 1
    assert text in str(error.value)


@pytest.mark.slow
def test_a_run_writes_rows_and_figure(
    request_: Request, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "paper_document", lambda: request_.document)
    monkeypatch.setattr(network_parts, "SCAN", (30, 30, 12))
    monkeypatch.setenv("CONTEXT_FBR_DEVICE", "cpu")
    options = ["--repeats", "1", "--network", "unet", "--patch-size", "16"]
    bench.main(["generate", "step", "sliding_window", "scoring", *options])
    with bench.RESULTS.path.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["part"] for row in rows] == ["generate", "scoring", "sliding_window", "step"]
    assert all(float(row["ratio_min"]) > 0 for row in rows)
    assert [row["repeats"] for row in rows] == ["1", "12", "1", "1"]  # of scoring, one a case
    assert bench.FIGURE.read_bytes().startswith(b"\x89PNG")
    assert "step unet 16: " in capsys.readouterr().out
    assert prepared.folder("spheres").exists() is False


def test_every_module_of_the_mistakes_and_every_file_of_its_tests_is_there() -> None:
    root = mutants.ROOT
    for module, tests in mutants.TESTS.items():
        assert (root / mutants.module_path(module)).is_file()
        assert all((root / "tests" / f"{name}.py").is_file() for name in tests.split())
    assert all((root / name).exists() for name in mutants.COPIED)


def test_mistakes_that_tests_do_not_notice_are_survivors_and_untried_ones_are_an_error(
    tmp_path: Path,
) -> None:
    meta = tmp_path / "mutants/src/context_fbr_tools/diff/scores.py.meta"
    meta.parent.mkdir(parents=True)
    codes: dict[str, int | None] = {"failed": 1, "too long": 36, "passed": 0, "no test": 33}
    meta.write_text(json.dumps({"exit_code_by_key": codes}))
    found = mutants.tally(tmp_path, "diff/scores")
    assert (found.mutants, found.caught, found.percent) == (4, 2, 50.0)
    assert found.survivors == ("passed", "no test")
    meta.write_text(json.dumps({"exit_code_by_key": {**codes, "not tried": None}}))
    with pytest.raises(UserError, match="diff/scores: 1 of 5 mistakes were not tried; run it again"):
        mutants.tally(tmp_path, "diff/scores")
    with pytest.raises(UserError, match="diff/scors: is not one of the modules; did you mean diff/scores"):
        mutants.main(["diff/scors"])


def test_a_changed_test_makes_the_survivors_of_its_module_undecided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "project"
    for name in mutants.COPIED:
        (root / name).write_text(name) if "." in name else (root / name).mkdir(parents=True)
    files = {
        "pyproject.toml": "[project]\n",
        "tests/training/test_sampling.py": "1",
        "src/context_fbr/training/sampling.py": "",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    monkeypatch.setattr(mutants, "ROOT", root)
    monkeypatch.setattr(mutants, "HOME", root / ".mutants")
    folder = mutants.prepare("training/sampling")
    settings = tomllib.loads((folder / "pyproject.toml").read_text())["tool"]["mutmut"]
    assert settings["only_mutate"] == ["src/context_fbr/training/sampling.py"]
    assert settings["pytest_add_cli_args_test_selection"] == ["tests/training/test_sampling.py"]
    meta = mutants._meta(folder, "training/sampling")
    meta.parent.mkdir(parents=True)
    before = {"caught": 1, "passed": 0, "no test": 33}
    meta.write_text(json.dumps({"exit_code_by_key": before}))
    mutants.prepare("training/sampling")
    assert json.loads(meta.read_text())["exit_code_by_key"] == before
    (root / "tests/training/test_sampling.py").write_text("2")
    mutants.prepare("training/sampling")
    assert (folder / "tests/training/test_sampling.py").read_text() == "2"
    assert json.loads(meta.read_text())["exit_code_by_key"] == {"caught": 1, "passed": None, "no test": None}
