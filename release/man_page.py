"""`python -m release.man_page`, which `make man` runs: writes the man page skypostal(1).

It says what `--help` says. The page is kept in the repository, so that `make install` needs no
Python; a test fails while it differs from the parsers.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from release.source import ROOT
from skypostal import __version__
from skypostal._cli.main import parsers
from skypostal._cli.parser import Parser

FILE = ROOT / "skypostal.1"
# A line of an epilog such as "  130  ended by Ctrl-C", whose text goes on in deeper lines.
_ITEM = re.compile(r" {2}(\S+) {2,}(\S.*)")
# `make install` installs the page, not the command.
_ORIGIN = "The command is part of the Python package: pip install skypostal."


def page() -> str:
    """Returns the man page, as roff."""
    parser, commands = parsers()
    return "\n".join([*_lines(parser, list(commands.choices.values())), ""])


def _lines(parser: Parser, commands: list[Parser]) -> Iterator[str]:
    summary = (parser.description or "").rstrip(".")
    yield r".\" Written by `make man` from the parsers of python/skypostal/_cli."
    yield f'.TH SKYPOSTAL 1 "" "skypostal {__version__}"'
    # Names of variables and options are copied from here.
    yield from [".nh", ".ad l"]
    yield ".SH NAME"
    yield _plain(f"skypostal - {summary[0].lower()}{summary[1:]}")
    yield ".SH SYNOPSIS"
    for number, command in enumerate(commands):
        if number:
            yield ".br"
        yield rf"\fB{_escaped(command.prog)}\fR{_escaped(_usage(command))}"
    yield ".SH DESCRIPTION"
    yield from _text(_blocks(f"{parser.description}\n{_ORIGIN}\n\n{parser.epilog}"))
    for command in commands:
        # The beginning of an epilog belongs to no group of options.
        blocks = _blocks(command.epilog or "")
        sections = [block for block in blocks if block.is_section()]
        yield f".SH {_quoted(command.prog.upper())}"
        yield from _text(_blocks(command.description or ""))
        yield from _text(block for block in blocks if block not in sections)
        yield from _options(command)
        yield from _text(sections)


def _usage(parser: Parser) -> str:
    """Returns the arguments of a command in short."""
    if parser.usage:
        return parser.usage.replace("%(prog)s", "")
    positionals = [_metavar(action) for action in parser._actions if not action.option_strings]
    options = ["[option ...]"] if len(parser._optionals._group_actions) > 1 else []
    return "".join(f" {argument}" for argument in positionals + options)


def _options(parser: Parser) -> Iterator[str]:
    # Python 3.9 has other names for these two.
    titles = {parser._positionals: "arguments", parser._optionals: "options"}
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if action.help != argparse.SUPPRESS]
        actions = [action for action in actions if "--help" not in action.option_strings]
        if actions:
            yield f".SS {_quoted(titles.get(group, group.title or '').capitalize())}"
        for action in actions:
            names = ", ".join(rf"\fB{_escaped(name)}\fR" for name in action.option_strings)
            value = "" if action.nargs == 0 else rf"\fI{_escaped(_metavar(action))}\fR"
            yield from [".TP", f"{names} {value}".strip()]
            yield _plain((action.help or "").replace("%%", "%"))


def _metavar(action: argparse.Action) -> str:
    if isinstance(action.metavar, str):
        return action.metavar
    if action.choices is not None:
        return "{" + ",".join(map(str, action.choices)) + "}"
    return action.dest.upper()


class _Block(NamedTuple):
    """The lines between two empty ones: a heading or a paragraph, and the deeper lines below."""

    head: str
    indented: list[str]

    def is_section(self) -> bool:
        return self.head.endswith(":") and bool(self.indented)


def _blocks(text: str) -> list[_Block]:
    blocks = []
    for part in re.split(r"\n\s*\n", text.strip("\n")):
        lines = part.splitlines()
        indented = [line for line in lines if line.startswith(" ")]
        blocks.append(_Block(" ".join(line for line in lines if line not in indented), indented))
    return blocks


def _text(blocks: Iterable[_Block]) -> Iterator[str]:
    for block in blocks:
        if block.is_section():
            yield f".SS {_quoted(block.head[:-1].capitalize())}"
        elif block.head:
            yield from [".PP", _plain(block.head)]
        if any(map(_ITEM.fullmatch, block.indented)):
            for line in block.indented:
                if item := _ITEM.fullmatch(line):
                    yield from [".TP", rf"\fB{_escaped(item[1])}\fR", _plain(item[2])]
                else:
                    yield _plain(line.strip())
        elif block.indented:
            yield from [".PP", ".nf", *(_plain(line.strip()) for line in block.indented), ".fi"]


def _quoted(text: str) -> str:
    """Returns an argument of a request."""
    return '"' + _escaped(text).replace('"', r"\(dq") + '"'


def _plain(text: str) -> str:
    """Returns a line of text that no request begins."""
    text = _escaped(" ".join(text.split()))
    return rf"\&{text}" if text.startswith((".", "'", r"\(aq")) else text


def _escaped(text: str) -> str:
    """Returns text in which roff sees nothing of its own, and which is copied as it was written."""
    names = {"\\": "rs", "'": "aq", "`": "ga", "^": "ha", "~": "ti"}
    escapes: dict[int, str] = {ord(letter): rf"\({name}" for letter, name in names.items()}
    return text.translate({**escapes, ord("-"): r"\-"})


if __name__ == "__main__":
    FILE.write_bytes(page().encode())
