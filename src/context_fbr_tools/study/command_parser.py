"""The parser of the command line: no abbreviations, suggestions, help in groups with examples."""

import argparse
import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

GROUPS: Mapping[str, Mapping[str, str]] = {
    "study": {
        "check": "context-fbr check",
        "profile": "context-fbr profile smoke",
        "grid run": "context-fbr grid run --jobs 2 'spheres-unet-*'",
        "check-lock": "context-fbr check-lock",
        "prune": "context-fbr prune --dry-run",
        "copy": "context-fbr copy ../try",
    },
    "data": {
        "verify": "context-fbr verify /data/clinic_ct",
        "task init": "context-fbr task init /data/clinic_ct --write",
        "predict": "context-fbr predict spheres-unet-32-1 scan.nii.gz --out masks",
    },
    "results": {
        "show": "context-fbr show",
        "experiments": "context-fbr experiments",
        "diff": "context-fbr diff HEAD~1 --fail-on-regression",
        "published": "context-fbr published DIR --out published",
        "wandb push": "context-fbr wandb push 'spheres-unet-*'",
    },
    "grid on a Slurm cluster": {
        "grid submit": "context-fbr grid submit --watch",
        "grid status": "context-fbr grid status",
        "grid logs": "context-fbr grid logs spheres-unet-32-1 --follow",
        "grid cancel": "context-fbr grid cancel 'spheres-unetr-*'",
        "grid collect": "context-fbr grid collect",
    },
    "tools": {"doctor": "context-fbr doctor"},
}
"""Example of each command, by group, in the order of the help."""


class Parser(argparse.ArgumentParser):
    """A parser that takes no abbreviation of an option, and suggests what was meant."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        fixed = {"allow_abbrev": False, "formatter_class": argparse.RawDescriptionHelpFormatter}
        super().__init__(*arguments, **{**options, **fixed})

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does, and note the parser of the innermost command as `parser`."""
        options, others = super().parse_known_args(args, namespace)
        if "parser" not in options:
            options.parser = self
        return options, others

    def refuse(self, others: Sequence[str]) -> NoReturn:
        """End with the arguments that no option takes, and the options that may have been meant."""
        known = [name for action in self._actions for name in action.option_strings]
        hints = [_suggestion(other.partition("=")[0], known) for other in others if other.startswith("-")]
        self.error(f"unrecognized arguments: {' '.join(others)}{''.join(hints)}")

    def error(self, message: str) -> NoReturn:
        """Print the problem without the usage of everything, and exit with 2."""
        wrong = re.match(r"argument COMMAND: invalid choice: '(.*)' \(choose from (.*)\)", message, re.DOTALL)
        if wrong:
            names = re.findall(r"[\w-]+", wrong[2])
            hint = _suggestion(wrong[1], names) or f"; the commands are {', '.join(names)}"
            message = f"{wrong[1]!r} is not a command{hint}"
        self.exit(2, f"error: {message}\n{self.format_usage()}see {self.prog} --help\n")


def _suggestion(word: str, allowed: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, allowed, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


def leaves(parser: argparse.ArgumentParser, name: str = "") -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of all commands by name, `grid run`."""
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, child in action.choices.items():
                found |= leaves(child, f"{name} {word}".strip())
    return found or {name: parser}


def add_examples(root: argparse.ArgumentParser) -> None:
    """Give each command its example, and the help of the whole its groups."""
    commands = leaves(root)
    lines: list[str] = []
    width = max(map(len, commands)) + 2
    for group, examples in GROUPS.items():
        lines += ["", f"{group}:"]
        for name, example in examples.items():
            command = commands[name]
            lines.append(f"  {name:{width}}{command.description}")
            command.epilog = "\n\n".join(filter(None, (command.epilog, f"example:\n  {example}")))
    lines += ["", "examples:"]
    lines += [f"  {next(iter(examples.values()))}" for examples in GROUPS.values()]
    root.epilog = "\n".join([*lines, "", "context-fbr COMMAND --help says more of a command."]).strip("\n")
