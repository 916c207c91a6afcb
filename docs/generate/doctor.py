"""`docs/doctor.md`, made from the catalogue: a test compares the two."""

from __future__ import annotations

from provision.core.finding import ANY_STEP, ONLY_IN_LOGS, Kind
from provision.steps.catalogue import CATALOGUE, steps_with_findings

SEVERITIES = {
    "blocks": "nothing works until it is mended",
    "spoils": "pictures fail, are wrong or take minutes",
    "warns": "worth knowing, or still to be done",
    "informs": "as it should be",
}
MENDING = {"auto": "mended at once", "consent": "mended after a yes", "hint": "for you to do", "none": "nothing to do"}

# Faults that people report with ComfyUI on a Mac and that no check here looks for.
LEFT_OUT: tuple[tuple[str, str], ...] = (
    ("os27-mps-corrupt", "It is a row of the table of bad pairs of torch, macOS and chip: `torch-known-bad`."),
    ("git-detached", "A checkout of a tag is always detached: it is how this tool works."),
    ("ui-stale", "Only the browser is behind; reloading the page helps, and nothing outside of it can see that."),
    ("ckpt-fp32", "A file of another precision than was asked for is `ckpt-other`; asked for, it is right."),
    ("xet-stall", "A backend that stands still is given up, and the next one goes on with its bytes."),
)

INTRODUCTION = """\
# What `provision doctor` finds

<!-- Made from kinds.py of each step: PROVISION_WRITE_DOCS=1 bin/test tests/unit/core/test_catalogue.py -->

`provision doctor` looks at everything and changes nothing; it ends with 0 when every step is satisfied. `--fix` says
what it will do, in the order of the steps and with the bytes of each download, asks what it must, mends, looks again,
and says what is left, the worst first; `--deep` also reads the model through, computes with
torch, imports ComfyUI and makes an image (a server that it starts for that, it ends again). What a person made (models,
custom nodes, settings, changed files) is never deleted: what stands in the way is moved to `moved-aside/` in the home.

| | |
|---|---|
| `provision doctor --list` | every id, with what is looked at |
| `provision doctor --only ID` | one finding; with `--fix` that one is mended, with what it needs |
| `provision doctor LOGFILE...` | what logs mean (see below) |
| `provision doctor --report FILE` | one file to paste into an issue, without paths of yours, names, tokens, addresses |

`provision doctor --comfyui DIR` looks in the same way at an install that this tool did not make: a checkout (of git, of
comfy-cli, of Stability Matrix, from a zip), the folder that holds it, an install of Comfy Desktop, or the folder of the
desktop app before it. A server of an app's install is given the app's folders of models. Its Python is
found in its folder (`venv`, `.venv`, `env`), by the server that runs from it, beside it, in the shell (a venv or
conda's environment that is active) or on PATH; `--python PATH` names it: that Python is run, and what its owner lets it
load with it. Nothing is written there without `--fix`. What `--fix` changes there it asks about first: packages go into
its venv after a yes; conda's environments and the system's Python are never written to, an environment of ours takes
their place; no other revision is checked out. What is known of it lies in a home, never in its folder.

What `--deep` starts changes nothing, here as there. It has folders and a database of its own, which are thrown away,
and custom nodes are off; pip and uv end before they install. To see how custom nodes load, they are loaded once behind
a fence: the system (macOS's sandbox, Landlock on Linux 6.2 and later) lets them and all that they start write nothing.
One that must write or install to load is named (`node-refused`), not blamed. Where there is no such fence they stay
off, and that is said. Starts in one environment wait for each other, also those of two commands. A server that runs
already makes the image itself, and keeps it among its temporary files. What a start for real (`all`, `launch`,
`generate`) changes in the packages, because a custom node installs some, is said and can be put back
(`packages-changed`).

What only follows from a fault of an earlier step (`torch-missing` where the environment is gone) is marked `↳`, names
that step (in `--json`: `caused_by`), and is mended with it. Every finding against a home that is
broken in that way: [doctor-coverage.md](doctor-coverage.md).

`provision doctor LOGFILE...` reads logs of ComfyUI, of this tool, and what pip, uv, git, hf, wget or a shell said:
yours or those that somebody sent, in UTF-8, UTF-16 or gzip, `-` for standard input. It ends with 1 when something is
found. Where nothing in it is known, the last exception is told, with the custom node or package that it came from.

*Mended at once* is done by `all` and by `doctor --fix`. *After a yes*: `doctor --fix` asks; with `--yes` it does not.
"""


def doctor_page() -> str:
    """The page, in Markdown."""
    steps = [_part(_title(step), _table(step)) for step in steps_with_findings()]
    left_out = _part("What is not looked for", [f"* `{id}`: {why}" for id, why in LEFT_OUT])
    return "\n".join([INTRODUCTION, *steps, left_out])


def _part(title: str, lines: list[str]) -> str:
    return f"## {title}\n\n" + "\n".join(lines) + "\n"


def _title(step: str) -> str:
    return {ANY_STEP: "In every step", ONLY_IN_LOGS: "Only in a log (`doctor LOGFILE`)"}.get(step, f"`{step}`")


def _table(step: str) -> list[str]:
    entries = [entry for entry in CATALOGUE if entry.step == step]
    head = ["| id | what is looked at | what it looks like | what mends it |", "|---|---|---|---|"]
    return head + [_row(entry) for entry in entries]


def _row(entry: Kind) -> str:
    mending = "" if entry.fix == "none" else f"**{MENDING[entry.fix]}**: "
    looks = f"{entry.means} ({SEVERITIES[entry.severity]})" if entry.severity != "informs" else entry.means
    cells = (f"`{entry.id}`", entry.looks_at, looks, f"{mending}{entry.remedy}")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
