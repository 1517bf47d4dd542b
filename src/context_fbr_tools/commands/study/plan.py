"""`context-fbr plan`: what the study will cost on this machine, before it runs."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.config.study import Study, read_study
from context_fbr_tools.study import select_cells
from context_fbr_tools.study.command_line import CommandLine, positive

if TYPE_CHECKING:
    from context_fbr_tools.study.planning.forecast.forecast import Forecast
    from context_fbr_tools.study.planning.forecast.report import Room


def add_parser(line: CommandLine) -> None:
    """Add the command."""
    text = "measure steps of the study's cells here, and print the time, memory and disk that it will take"
    command = line.add("plan", text, "context-fbr plan --jobs 2 'spheres-*'", run)
    command.add_argument(
        "cells", nargs="*", metavar="CELLS", help="only these: keys, or patterns (default: the whole study)"
    )
    command.add_argument("--jobs", type=positive, metavar="N", help="cells at once (default: as `grid run`)")
    command.add_argument(
        "--gpus", metavar="0,1", help="only these CUDA devices (default: all that are there)"
    )
    command.add_argument("--per-gpu", type=positive, metavar="K", help="cells at once on each (default: 1)")
    command.add_argument(
        "--array", type=positive, metavar="N", help="also the time of N cells at once, as on a cluster"
    )
    command.add_argument(
        "--on",
        metavar="DEVICE",
        help="measure nothing, but take a GPU that benchmarks/gpu.csv has, such as 'NVIDIA H200', for the "
        "cells of the paper profile",
    )
    command.add_argument("--again", action="store_true", help="measure also what was measured before")
    command.add_argument("--json", type=Path, metavar="FILE", help="also write the forecast here")


def run(options: Namespace) -> None:
    """Measure and print; raises UserError if no cell could be measured."""
    study = read_study(Document.read())
    cells = select_cells.chosen(options.cells, study.cells) if options.cells else study.cells
    import json

    from context_fbr.core import atomic
    from context_fbr.core.errors import UserError
    from context_fbr_tools.study.planning.forecast import report
    from context_fbr_tools.study.planning.forecast.costs import started, wall_time
    from context_fbr_tools.study.text_tables import terminal_width

    found, room, device = (_here if options.on is None else _elsewhere)(options, study, cells)
    print(report.as_text(found, study, room, terminal_width()))
    if options.array and found.cells:
        seconds = wall_time(started(found.cells, study.study_cells.tasks), options.array)
        where = "such machines" if options.on is None else "such GPUs"
        print(f"{options.array} at once on {where}: {report.duration(seconds)}")
    if options.json is not None:
        numbers = sorted({1, room.places, *([options.array] if options.array else [])})
        tree = report.as_json(found, study, numbers, device)
        atomic.write_text(options.json, json.dumps(tree, indent=1) + "\n")
    if not found.cells and options.on is None:
        raise UserError("no cell could be measured; `dvc repro prepare` makes the data that can be had here")


def _here(options: Namespace, study: Study, cells: Sequence[Cell]) -> "tuple[Forecast, Room, str]":
    """Measure on this machine; the forecast, room for its cells, and the device."""
    import os
    from functools import partial

    import torch

    from context_fbr.core.resources import usable_memory
    from context_fbr.networks.device import describe
    from context_fbr_tools.grid import gpus
    from context_fbr_tools.study.planning.forecast import forecast, report

    places = gpus.places(study, options.jobs, options.gpus, options.per_gpu)
    report_line = partial(print, flush=True)
    found = forecast.forecast(study, cells, places.jobs, places.environment, options.again, report_line)
    free = [torch.cuda.mem_get_info(name)[0] for name in places.devices]
    room = report.Room(places.jobs, usable_memory(), len(free), min(free, default=0))
    return found, room, describe(forecast.device({**os.environ, **places.environment}))


def _elsewhere(options: Namespace, study: Study, cells: Sequence[Cell]) -> "tuple[Forecast, Room, str]":
    """Take the costs of cells on a device of the table, one on each GPU.

    Raises:
        UserError: if an option is about this machine's devices.
    """
    from context_fbr.core.errors import UserError
    from context_fbr_tools.study.planning.forecast import elsewhere, report

    own = {"--gpus": options.gpus, "--per-gpu": options.per_gpu, "--again": options.again}
    given = [name for name, value in own.items() if value]
    if given:
        raise UserError(f"--on {options.on}: nothing is measured here; leave {given[0]} out")
    return elsewhere.forecast(study, cells, options.on), report.Room(options.jobs or 1), options.on
