"""`context-fbr new DIR`: a study of your own."""

from argparse import Namespace
from pathlib import Path

from context_fbr.core.errors import visible
from context_fbr_tools.data.label_values import label_values
from context_fbr_tools.study.command_line import CommandLine


def add_parser(line: CommandLine) -> None:
    """Add the command."""
    command = line.add(
        "new",
        "create a study of your own: pipeline, code, one task, and a git repository",
        "context-fbr new ../heart --data ../Task02_Heart",
        run,
        epilog="The folder holds the code that it runs, so later changes here do not reach it, and no\n"
        "results. Without --data its task is spheres.",
    )
    command.add_argument("folder", type=Path, metavar="DIR")
    command.add_argument("--data", type=Path, metavar="DATASET", help="in MSD layout, as for `task init`")
    command.add_argument("--name", metavar="NAME", help="of the task (default: from dataset.json)")
    command.add_argument(
        "--foreground",
        type=label_values,
        metavar="1,2",
        help="label values, segmented together as one class (default: the first that a case has)",
    )


def run(options: Namespace) -> None:
    """Create the study."""
    from context_fbr_tools.data.new_study.create import create

    task = create(options.folder, options.data, options.name, options.foreground)
    shown = visible(str(options.folder))
    print(f"{shown}: a study of the task {task}; read its params.yaml, then:")
    print(f"cd {shown} && make repro    # then look at plots/{task}/dice_by_patch_size.png")
