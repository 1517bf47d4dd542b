"""The original's way gives what ours gives, and the tables say what was measured."""

import csv
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.losses import DiceLoss

from benchmarks import __main__ as bench
from benchmarks import cell, cell_ways, data_parts, figure, floor, network_parts, overhead, pairs, table
from benchmarks.cell_ways import Size
from benchmarks.original import data, evaluation, training, volumes
from benchmarks.request import Request
from context_fbr import networks, patches, prepared, scoring, spheres
from context_fbr.errors import UserError
from context_fbr.inference import segment, sliding_window
from context_fbr.paper_cells import paper_document
from context_fbr.patches import Protocol
from context_fbr.prepare import prepare_case
from context_fbr.study.document import Document
from context_fbr.study.preparation import Prepare
from context_fbr.study.raw import SpheresRaw

CPU = torch.device("cpu")
SMALL = (
    ("edge: 48", "edge: 20"),
    ("{volumes: 20, radius: [12, 17]}", "{volumes: 6, radius: [4, 7]}"),
    ("{volumes: 24, radius: [2, 23]}", "{volumes: 5, radius: [4, 9]}"),
    ("{train: 16, validation: 4, test: imagesTs}", "{train: 4, validation: 2, test: imagesTs}"),
    ("patch_sizes: [16, 32, 48]", "patch_sizes: [16]"),
    ("epochs: 24", "epochs: 3"),
    ("validate_every_epochs: 4", "validate_every_epochs: 2"),
)
STAMP = {"machine": "m", "date": "2026-01-01", "commit": "0000000"}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """As the benchmarks compute, and not one that waits for another on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def request_(
    params: Path, change: Callable[[str, str], Document], monkeypatch: pytest.MonkeyPatch
) -> Request:
    """Of a tiny study, in a folder of its own."""
    for before, after in SMALL:
        document = change(before, after)
    monkeypatch.chdir(params.parent)
    return Request(document, "spheres", CPU, "float32", repeats=2, patch_sizes=(16,), networks=("unet",))


def protocol_of(request: Request, epochs: int = 1) -> Protocol:
    return Protocol(request.training, request.window, epochs, patch_size=16, seed=1)


def network_of(request: Request) -> torch.nn.Module:
    return networks.build(request.document, "unet", 16, seed=1)


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
        (batch,) = islice(patches.batches(learn, protocol, epoch), 1)
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
    own = scoring.score(outputs.argmax(dim=0).numpy(), label)
    assert dice == pytest.approx(own.dice, abs=1e-6)
    assert difference == pytest.approx(own.absolute_difference, abs=1e-6)
    assert hausdorff == (math.inf if wrong == "nothing" else pytest.approx(own.hausdorff_voxels, abs=1e-5))


def test_the_original_s_batches_are_patches_of_the_same_volumes(request_: Request, tmp_path: Path) -> None:
    folder = tmp_path / "volumes"
    folder.mkdir()
    files = cell_ways.write_volumes(request_, Size(1, 4, 0, 0), folder)
    whole = {file.name: file.read() for file in files}
    for batch, file in zip(data.volume_loader([f.original for f in files], workers=0), files, strict=True):
        for kind, voxels in zip(data.KEYS, whole[file.name], strict=True):
            assert np.array_equal(batch[kind][0, 0].numpy(), voxels)
    loader = data.training_loader([file.original for file in files], protocol_of(request_), workers=0)
    seen = []
    for batch in loader:
        assert batch["image"].shape == batch["label"].shape == (4, 1, 16, 16, 16)
        for patch, name in zip(batch["image"].numpy(), batch["name"], strict=True):
            windows = np.lib.stride_tricks.sliding_window_view(whole[name][0], (16, 16, 16))
            assert (windows == patch[0]).all(axis=(3, 4, 5)).any()
            seen.append(name)
    assert sorted(seen) == sorted(name for name in whole for _ in range(2))


def test_half_of_the_original_s_patches_are_centred_on_foreground(request_: Request, tmp_path: Path) -> None:
    folder = tmp_path / "volumes"
    folder.mkdir()
    files = cell_ways.write_volumes(request_, Size(1, 4, 0, 0), folder)
    protocol = replace(protocol_of(request_), patch_size=4)
    loader = data.training_loader([file.original for file in files], protocol, workers=0)
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


def test_a_cell_is_scored_both_ways_on_the_same_cases(request_: Request) -> None:
    request = replace(request_, epochs=3)
    (measured,) = cell.cell(request, STAMP, workers=0)
    assert measured.part == "cell"
    assert len(measured.pairs.ratios) == 2
    rows = table.read(cell.SCORES)
    assert {(row["seed"], row["filename"]) for row in rows} == {
        (seed, f"spheres_{number:03d}") for seed in "12" for number in range(6, 11)
    }
    (line,) = table.read(cell.DIFFERENCES)
    assert (line["seeds"], line["cases"], line["epochs"]) == ("2", "5", "3")
    dice = {way: sum(float(row[f"{way}_dsc"]) for row in rows) / len(rows) for way in ("original", "ours")}
    assert float(line["difference"]) == pytest.approx(dice["ours"] - dice["original"], abs=1e-5)
    assert float(line["low"]) <= float(line["difference"]) <= float(line["high"])


def test_each_pair_of_cells_has_a_seed_of_its_own_and_both_ways_have_the_same(
    request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: dict[str, list[int]] = {"original": [], "ours": []}
    for way, own in seeds.items():

        def run(*arguments: object, own: list[int] = own) -> dict[str, float]:
            (protocol,) = (a for a in arguments if isinstance(a, Protocol))
            own.append(protocol.seed)
            return {"a": 0.5, "b": 0.5}

        monkeypatch.setattr(cell_ways, way, run)
    list(cell.cell(replace(request_, repeats=3, epochs=1), STAMP, workers=0))
    assert seeds == {"original": [1, 1, 2, 3], "ours": [1, 1, 2, 3]}  # the first is the warm-up


def test_bf16_is_ours_and_the_original_s_stays_in_float32(request_: Request) -> None:
    request = replace(request_, precision="bf16")
    assert request.training.precision == request.window.precision == "bf16"
    assert request_.training.precision == request_.window.precision == "float32"
    (measured,) = network_parts.step(request)
    assert measured.row(request, STAMP)["precision"] == "bf16"


def test_the_difference_of_two_equal_trainings_is_nothing() -> None:
    scores = [{"a": 0.5, "b": 0.75, "c": 1.0}]
    found = cell.difference({"original": scores, "ours": scores}, 0.95)
    assert (found.estimate, found.low, found.high) == (0, 0, 0)


def test_the_shares_of_a_cell_s_time_add_up_to_one(
    request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overhead, "start_seconds", lambda *_: 2.0)
    (text,) = overhead.overhead(replace(request_, epochs=1), STAMP)
    rows = table.read(overhead.TABLE)
    assert sum(float(row["share"]) for row in rows) == pytest.approx(1, abs=1e-4)
    assert all(float(row["seconds"]) >= 0 for row in rows)
    by_part = {row["part"]: float(row["seconds"]) for row in rows}
    assert by_part["overhead: processes"] == 2
    assert min(s for part, s in by_part.items() if part.startswith("network")) > 0
    assert "are not the network's own" in text


def test_a_measured_cell_s_time_is_the_sum_of_its_parts(
    request_: Request, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing is counted twice and little is lost: measured in full, the parts are the clock's seconds."""
    protocol, size = protocol_of(request_, epochs=3), Size(3, 4, 2, 5)
    (tmp_path / "volumes").mkdir()
    files = cell_ways.write_volumes(request_, size, tmp_path / "volumes", for_both=False)
    network = network_of(request_)
    monkeypatch.setattr(overhead.cell_ways, "write_volumes", lambda *_, **__: files)
    monkeypatch.setattr(overhead.networks, "build", lambda *_: network)
    monkeypatch.setattr(overhead.training_state, "save", lambda *_: None)
    found: list[float] = []
    whole = pairs.seconds(
        lambda: found.extend(overhead.parts(request_, "unet", protocol, size, 0.0).values()), CPU
    )
    assert 0.9 * whole < sum(found) < whole


def test_the_work_of_a_step_is_what_was_counted_before() -> None:
    request = Request(paper_document(), "spheres", CPU, "float32")
    assert floor.step_gflop(request, "unet", 32, 8) == pytest.approx(9, rel=0.06)
    assert floor.step_gflop(request, "unet", 64, 8) == pytest.approx(72, rel=0.06)


def test_a_step_is_held_against_the_fastest_convolution(
    request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(floor, "SHAPES", ((1, 4, 8), (2, 8, 8)))
    (text,) = floor.floor(request_, STAMP)
    (line,) = table.read(floor.TABLE)
    assert float(line["step_over_floor"]) == pytest.approx(
        float(line["step_median_s"]) * float(line["best_gflop_per_s"]) / float(line["gflop"]), rel=0.01
    )
    assert line["batch"] == "4"
    assert "times the floor" in text


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
    root = Path(__file__).parents[1]
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
    assert "".join(calls) == "ab" + "ab" + "ba" + "ab"
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
    assert all(float(row["ratio_min"]) > 0 and row["repeats"] == "1" for row in rows)
    assert bench.FIGURE.read_bytes().startswith(b"\x89PNG")
    assert "step unet 16: " in capsys.readouterr().out
    assert prepared.folder("spheres").exists() is False
