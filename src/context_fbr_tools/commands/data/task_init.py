"""`context-fbr task init DIR`: propose the block of a task for a data set."""

from argparse import Namespace
from pathlib import Path

from context_fbr_tools.data.label_values import label_values
from context_fbr_tools.study.command_line import CommandLine


def add_parser(line: CommandLine) -> None:
    """Add the command."""
    command = line.add(
        "task init",
        "look at a data set in MSD layout and propose its block of params.yaml",
        "context-fbr task init /data/clinic_ct --write",
        run,
        epilog="The block goes to standard output, indented as below `tasks:`, for you to paste there.\n"
        "The report of `verify` goes to standard error. With --write the block goes into params.yaml,\n"
        "after the last task; other values and all comments are kept. A data set with errors gets\n"
        "no block.",
    )
    command.add_argument("folder", type=Path, metavar="DIR", help="holds dataset.json, imagesTr and labelsTr")
    command.add_argument(
        "--name", metavar="NAME", help="of the task (default: from dataset.json, else from the folder)"
    )
    command.add_argument(
        "--foreground",
        type=label_values,
        metavar="1,2",
        help="label values, segmented together as one class (default: the first that a case has)",
    )
    command.add_argument("--write", action="store_true", help="into params.yaml")
    command.add_argument(
        "--write-dataset-json",
        action="store_true",
        help="first write DIR/dataset.json, which must not be there, from what the files tell",
    )
    command.add_argument("--modality", metavar="NAME", help="for that dataset.json: CT, MRI, ...")


def run(options: Namespace) -> None:
    """Propose the block of a task."""
    from context_fbr_tools.data import task_init

    task_init.run(
        options.folder,
        options.name,
        options.foreground,
        options.write,
        options.write_dataset_json,
        options.modality,
    )
