"""Time the original's way against ours, in turns, in one process -> benchmarks/results.csv and results.png.

python -m benchmarks [PART...] [--repeats N] [--device cpu|cuda] [--precision float32|bf16]
                     [--network NAME...] [--patch-size N...]

Without a part, the first eight: ten minutes on a CPU. CPU times are those of one thread; the original's
loader has two worker processes next to it. `floor` measures ours alone,
into a table of its own. Rows that are not measured again are kept.
"""

import argparse
import os
from collections.abc import Callable, Iterator, Mapping

from benchmarks import data_parts, figure, network_parts, table
from benchmarks.cell import cell
from benchmarks.floor import floor
from benchmarks.request import Measurement, Request
from benchmarks.table import FOLDER, STAMP, Table
from context_fbr.analysis.run_records import paper_document
from context_fbr.config.study import read_study
from context_fbr.config.yaml.complaints import suggestion
from context_fbr.core import atomic
from context_fbr.core.errors import UserError, raise_problems
from context_fbr.networks import factory
from context_fbr.networks.device import DEVICE_VARIABLE, prepare_device
from context_fbr.runtime.entry import run_command

KEY = ("part", "network", "patch_size", "device", "precision")
RESULTS = Table(
    FOLDER / "results.csv",
    (*KEY, "original_median_s", "ours_median_s", "ratio_median", "ratio_min", "ratio_max", "repeats", *STAMP),
    KEY,
)
FIGURE = FOLDER / "results.png"
Stamp = Mapping[str, object]
PAIRED: Mapping[str, Callable[[Request, Stamp], Iterator[Measurement]]] = {
    "generate": lambda request, _: data_parts.generate(request),
    "prepare": lambda request, _: data_parts.prepare(request),
    "patches": lambda request, _: data_parts.cut_patches(request),
    "step": lambda request, _: network_parts.step(request),
    "equal_patches": lambda request, _: network_parts.equal_patches(request),
    "sliding_window": lambda request, _: network_parts.sliding_window(request),
    "scoring": lambda request, _: network_parts.score(request),
    "cell": cell,
}
ALONE: Mapping[str, Callable[[Request, Stamp], Iterator[str]]] = {
    "floor": floor,
}


def parse(arguments: list[str]) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join((*PAIRED, *ALONE)))
    parser.add_argument("--repeats", type=int, metavar="N", help="pairs (default: by part, 3 to 9)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--network", nargs="+", metavar="NAME", help="of profiles/paper.yaml")
    parser.add_argument("--patch-size", nargs="+", type=int, metavar="N", help="edge of the cube, voxels")
    parser.add_argument("--precision", choices=("float32", "bf16"), default="float32", help="of ours")
    parser.add_argument("--epochs", type=int, metavar="N", help="of `cell`, on all volumes; 50: the protocol")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> None:
    """Measure, write each row as it is there, and draw."""
    options = parse(arguments)
    chosen = options.parts or list(PAIRED)
    known = {*PAIRED, *ALONE}
    numbers = {"--repeats": options.repeats, "--epochs": options.epochs}
    raise_problems(
        [
            *(f"{part}: is no part; {suggestion(part, known)}" for part in chosen if part not in known),
            *(f"{o} {n}: expected 1 or more" for o, n in numbers.items() if n is not None and n < 1),
        ]
    )
    document = paper_document()
    for model in options.network or ():
        if model not in read_study(document).models:
            allowed = suggestion(model, read_study(document).models)
            raise UserError(f"--network {model}: is none of profiles/paper.yaml; {allowed}")
        for size in options.patch_size or ():
            factory.check(document, model, size)
    os.environ[DEVICE_VARIABLE] = options.device
    request = Request(
        document,
        "spheres",
        prepare_device(read_study(document).train.threads),
        options.precision,
        options.repeats,
        options.network,
        options.patch_size,
        options.epochs,
    )
    stamp = table.stamp(request.device)
    for part in chosen:
        if part in ALONE:
            for text in ALONE[part](request, stamp):
                print(text, flush=True)
            continue
        for measured in PAIRED[part](request, stamp):
            table.replace(RESULTS, [measured.row(request, stamp)])
            atomic.write_bytes(FIGURE, figure.draw(RESULTS.path))
            _, _, median, least, greatest = measured.pairs.summary
            what = " ".join(map(str, filter(None, (measured.part, measured.network, measured.patch_size))))
            print(f"{what}: {median:.3g} times faster ({least:.3g} to {greatest:.3g})", flush=True)


if __name__ == "__main__":
    run_command(main)
