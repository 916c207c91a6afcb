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
    ("PROVISION_HOME", "the folder for everything, in place of ~/provision"),
    ("PROVISION_PLAIN", "as --plain, for every command"),
    ("PROVISION_PATIENCE", "seconds that a network or server which fails is waited for (300)"),
    ("HF_ENDPOINT, HF_TOKEN, HF_HOME", "the hub, its token (sent to the hub alone) and the Hugging Face cache"),
    ("HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE", "the way to the network"),
    ("UV_*, PIP_INDEX_URL, PIP_EXTRA_INDEX_URL", "package indexes"),
    ("NO_COLOR", "no colours"),
)
EXIT_CODES = (
    ("0", "all is satisfied"),
    ("1", "something is not"),
    ("2", "words, or a manifest, that cannot be used"),
    ("3", "a bug of provision; the log has its traceback"),
    ("130", "interrupted; what is done is kept"),
)
FILES = (
    ("~/provision", "the home: ComfyUI/, venv/, logs/, first-image.png, state/, moved-aside/"),
    ("~/provision/logs/provision.log", "what provision did"),
    ("~/provision/logs/comfyui.log", "what ComfyUI says"),
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
    "One command takes a bare Apple-silicon Mac to its first SDXL-Turbo image in ComfyUI, and the same command, run "
    "again, repairs it or says that nothing is left to do. `provision plan` shows beforehand what would be done; "
    "`provision doctor` names what is broken and mends it."
)


def _roff(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    return f"\\&{escaped}" if escaped.startswith(".") else escaped
