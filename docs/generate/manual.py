"""`docs/commands.md` and `docs/provision.1`, made from the command line's own help: a test compares them.

It takes the commands as typer's click knows them, by their public attributes, and knows neither itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from provision import __version__

ENVIRONMENT = (
    ("PROVISION_HOME", "the install folder (default: ~/provision)"),
    ("PROVISION_PLAIN", "like --plain, for every command"),
    ("PROVISION_PATIENCE", "seconds to wait for a failing network or server (300)"),
    ("HF_ENDPOINT, HF_TOKEN, HF_HOME", "the hub, its token (sent to the hub only) and the Hugging Face cache"),
    ("HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE", "proxies and certificates"),
    ("UV_*, PIP_INDEX_URL, PIP_EXTRA_INDEX_URL", "package indexes"),
    ("NO_COLOR", "no colours"),
)
EXIT_CODES = (
    ("0", "success: everything is up to date"),
    ("1", "something is missing, broken or failed"),
    ("2", "usage error, or an invalid manifest or lock"),
    ("3", "a bug in provision; the log has its traceback"),
    ("130", "interrupted; finished work is kept"),
)
FILES = (
    ("~/provision", "the install folder: ComfyUI/, venv/, logs/, first-image.png, state/, moved-aside/"),
    ("~/provision/logs/provision.log", "provision's own log"),
    ("~/provision/logs/comfyui.log", "ComfyUI's log"),
)
MAKE = "PROVISION_WRITE_DOCS=1 bin/test tests/unit/architecture/test_manual.py"


@dataclass(frozen=True, slots=True)
class Entry:
    """A command: its words, its usage, what it does, its arguments and flags, each with its help."""

    name: str
    usage: str
    about: str
    parameters: tuple[tuple[str, str], ...]


def entries(command: Any, name: str = "provision") -> Iterator[Entry]:
    """The command, then all below it, in the order of the help."""
    context = command.context_class(command, info_name=name)
    usage = " ".join([name, *(_piece(piece) for piece in command.collect_usage_pieces(context))])
    records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    about = " ".join(str(command.help or "").split())
    yield Entry(name, usage, about, tuple((_flags(record[0]), record[1]) for record in records if record))
    for inner, below in getattr(command, "commands", {}).items():
        yield from entries(below, f"{name} {inner}")


def _piece(text: str) -> str:
    """A part of a usage; some typers put what need not be given into two brackets."""
    return text[1:-1] if text.startswith("[[") else text


def _flags(text: str) -> str:
    """A parameter's words without its type, which some typers tell and others do not."""
    return re.sub(r" <\w+>$", "", text)


# -- Markdown ---------------------------------------------------------------------------------------------------


def commands_page(command: Any) -> str:
    """`docs/commands.md`."""
    root, *below = entries(command)
    parts = [f"# The commands\n\n<!-- Made from the command line's own help: {MAKE} -->\n\n{root.about}\n"]
    links = (f"[`{entry.name}`](#{entry.name.replace(' ', '-')})" for entry in below)
    listed = (f"| {link} | {_cell(entry.about)} |\n" for link, entry in zip(links, below, strict=True))
    parts.append(f"| | |\n|---|---|\n{''.join(listed)}")
    parts += [_markdown(entry) for entry in below]
    for title, pairs in (("Exit codes", EXIT_CODES), ("Environment", ENVIRONMENT)):
        parts.append(f"## {title}\n\n| | |\n|---|---|\n" + "".join(f"| `{name}` | {says} |\n" for name, says in pairs))
    return "\n".join(parts)


def _markdown(entry: Entry) -> str:
    rows = "".join(f"| `{_cell(flags)}` | {_cell(says)} |\n" for flags, says in entry.parameters)
    return f"## {entry.name}\n\n{entry.about}\n\n```\n{entry.usage}\n```\n\n| | |\n|---|---|\n{rows}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


# -- the man page -----------------------------------------------------------------------------------------------


def man_page(command: Any) -> str:
    """`docs/provision.1`, in man(7); without a date, so that the same command line gives the same page."""
    root, *below = entries(command)
    lines = [
        f".\\\" Made from the command line's own help: {MAKE}",
        f'.TH PROVISION 1 "" "provision {__version__}" "User Commands"',
        ".SH NAME",
        f"provision \\- {_roff(root.about)}",
        ".SH SYNOPSIS",
        f".B {_roff(root.usage)}",
        ".SH DESCRIPTION",
        _roff(DESCRIPTION),
        ".SH COMMANDS",
    ]
    for entry in below:
        lines += [f".SS {_roff(entry.usage)}", _roff(entry.about)]
        lines += [line for flags, says in entry.parameters for line in (".TP", f".B {_roff(flags)}", _roff(says))]
    sections = (("EXIT STATUS", EXIT_CODES), ("ENVIRONMENT", ENVIRONMENT), ("FILES", FILES))
    for title, pairs in sections:
        lines.append(f".SH {title}")
        lines += [line for name, says in pairs for line in (".TP", f".B {_roff(name)}", _roff(says))]
    return "\n".join([*lines, ".SH SEE ALSO", ".BR git (1),", ".BR curl (1)", ""])


DESCRIPTION = (
    "One command takes a new Apple-silicon Mac to its first SDXL-Turbo image in ComfyUI. Run it again any time: it "
    "fixes what broke, or tells you that everything is up to date. `provision plan` shows what would happen; "
    "`provision doctor` finds problems and fixes them."
)


def _roff(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    return f"\\&{escaped}" if escaped.startswith(".") else escaped
