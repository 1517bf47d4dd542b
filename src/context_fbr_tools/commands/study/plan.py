"""`context-fbr plan`: what the study will cost on this machine, before it runs."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from context_fbr.config.cell import Cell
from context_fbr.config.document import Document
from context_fbr.config.study import Study, read_study
from context_fbr_tools.study import select_cells
from context_fbr_tools.study.command_line import CommandLine, positive


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
    import os
    from functools import partial

    import torch

    from context_fbr.core import atomic
    from context_fbr.core.errors import UserError
    from context_fbr.core.resources import usable_memory
    from context_fbr.networks.device import describe
    from context_fbr_tools.grid import gpus
    from context_fbr_tools.study.planning.forecast import forecast, report
    from context_fbr_tools.study.planning.forecast.costs import started, wall_time
    from context_fbr_tools.study.text_tables import terminal_width

    if options.on is not None:
        _print_elsewhere(options, study, cells)
        return
    places = gpus.places(study, options.jobs, options.gpus, options.per_gpu)
    report_line = partial(print, flush=True)
    found = forecast.forecast(study, cells, places.jobs, places.environment, options.again, report_line)
    devices = gpus.chosen(options.gpus)
    gpu_memory = min((torch.cuda.get_device_properties(name).total_memory for name in devices), default=0)
    room = report.Room(places.jobs, usable_memory(), len(devices), gpu_memory)
    print(report.as_text(found, study, room, terminal_width()))
    if options.array and found.cells:
        seconds = wall_time(started(found.cells, study.study_cells.tasks), options.array)
        print(f"{options.array} at once on such machines: {report.duration(seconds)}")
    if options.json is not None:
        device = describe(forecast.device({**os.environ, **places.environment}))
        numbers = sorted({1, places.jobs, *([options.array] if options.array else [])})
        tree = report.as_json(found, study, numbers, device)
        atomic.write_text(options.json, json.dumps(tree, indent=1) + "\n")
    if not found.cells:
        raise UserError("no cell could be measured; `dvc repro prepare` makes the data that can be had here")


def _print_elsewhere(options: Namespace, study: Study, cells: Sequence[Cell]) -> None:
    """Print what the cells cost on a device of the table, one on each GPU."""
    from context_fbr_tools.study.planning.forecast import elsewhere, report
    from context_fbr_tools.study.planning.forecast.costs import started, wall_time
    from context_fbr_tools.study.text_tables import terminal_width

    found = elsewhere.forecast(study, cells, options.on)
    print(report.as_text(found, study, report.Room(options.jobs or 1), terminal_width()))
    if options.array and found.cells:
        seconds = wall_time(started(found.cells, study.study_cells.tasks), options.array)
        print(f"{options.array} at once on such GPUs: {report.duration(seconds)}")
