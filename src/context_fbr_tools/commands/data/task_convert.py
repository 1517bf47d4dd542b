"""`context-fbr task convert DIR OUT`: write a data set in nnU-Net's layout in the Decathlon's."""

import shlex
from argparse import Namespace
from pathlib import Path

from context_fbr.core.errors import visible
from context_fbr_tools.study.command_line import CommandLine


def add_parser(line: CommandLine) -> None:
    """Add the command."""
    command = line.add(
        "task convert",
        "write a data set in nnU-Net's layout, one file per channel, in MSD layout",
        "context-fbr task convert nnUNet_raw/Dataset001_Heart ../heart_msd",
        run,
        in_project=False,
    )
    command.add_argument("folder", type=Path, metavar="DIR", help="holds dataset.json, imagesTr, labelsTr")
    command.add_argument("out", type=Path, metavar="OUT", help="a new folder")


def run(options: Namespace) -> None:
    """Convert the data set."""
    from context_fbr_tools.data import nnunet_layout

    count = nnunet_layout.convert(options.folder, options.out)
    out = shlex.quote(str(options.out))
    print(visible(f"{options.out}: {count} cases; next: context-fbr task init {out}"))
