"""The parser of the command line: no abbreviations, suggestions, help in groups with examples."""

import argparse
import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

Run = Callable[[argparse.Namespace], int | None]


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


class CommandLine:
    """All commands, added one by one, with their help in groups."""

    def __init__(self, description: str, version: str, above: Mapping[str, str]) -> None:
        """Begin without commands; `above` has the help of first words, `grid` of `grid run`."""
        self.root = Parser(prog="context-fbr", description=description, usage="context-fbr COMMAND ...")
        self.root.add_argument("--version", action="version", version=f"context-fbr {version}")
        first = self.root.add_subparsers(prog="context-fbr", metavar="COMMAND", help=argparse.SUPPRESS)
        self._above, self._levels = above, {"": first}
        self._help: list[str] = []
        self.examples: list[str] = []
        self.commands: dict[str, argparse.ArgumentParser] = {}
        """Parsers by name, `grid run`."""

    def group(self, name: str) -> None:
        """Begin a group of the help; the next commands belong to it."""
        self._help += ["", f"{name}:"]

    def add(
        self,
        name: str,
        text: str,
        example: str,
        run: Run,
        *,
        in_project: bool = True,
        passes_on: bool = False,
        epilog: str | None = None,
    ) -> argparse.ArgumentParser:
        """Add a command.

        Args:
            name: one word, or two as in `grid run`.
            text: its line in the help.
            example: a whole command line.
            run: gets the options; returns the exit status, None for 0.
            in_project: whether it runs in the folder of params.yaml only.
            passes_on: whether it takes options that it does not know, as `others`.
            epilog: more help.

        Returns:
            The parser, for its arguments.
        """
        above, _, word = name.rpartition(" ")
        if above not in self._levels:
            first = self._levels[""].add_parser(
                above, help=self._above[above], description=self._above[above]
            )
            self._levels[above] = first.add_subparsers(metavar="COMMAND")
        more = "\n\n".join(filter(None, (epilog, f"example:\n  {example}")))
        command = self._levels[above].add_parser(word, help=text, description=text, epilog=more)
        command.set_defaults(run=run, in_project=in_project, passes_on=passes_on)
        self.commands[name] = command
        self.examples.append(example)
        self._help.append(f"  {name:16}{text}")
        return command

    def finished(self) -> Parser:
        """Return the parser of the whole, whose help lists every command in its group."""
        last = ["", "context-fbr COMMAND --help says more of a command, with an example."]
        self.root.epilog = "\n".join([*self._help, *last]).strip("\n")
        return self.root


def positive(text: str) -> int:
    """Parse a whole number of at least 1.

    Raises:
        ArgumentTypeError, ValueError: if it is something else.
    """
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {value}")
    return value


def _suggestion(word: str, allowed: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, allowed, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""
