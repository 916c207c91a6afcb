"""`docs/doctor.md`, made from the catalogue and sorted by what a person sees: a test compares the two."""

from __future__ import annotations

from provision.core.finding import Kind, Severity
from provision.steps.catalogue import CATALOGUE

MENDING = {"auto": "`doctor --fix`: ", "consent": "`doctor --fix`, asks first: ", "hint": "You: ", "none": ""}
SECTIONS: tuple[tuple[str, Severity], ...] = (
    ("Nothing works, or a step stops", "blocks"),
    ("Images are wrong, fail or take minutes", "spoils"),
    ("Warnings", "warns"),
)
"""What is seen without an error message, the worst first."""

# Faults that people report with ComfyUI on a Mac and that no check here looks for.
LEFT_OUT: tuple[tuple[str, str], ...] = (
    ("os27-mps-corrupt", "one of the known bad combinations of torch, macOS and chip: `torch-known-bad`"),
    ("git-detached", "a checkout of a tag is always detached: provision works like that"),
    ("ui-stale", "only the browser is out of date; reload the page"),
    ("ckpt-fp32", "a file of the wrong precision is `ckpt-other`"),
    ("xet-stall", "a backend that stalls is abandoned, and the next one continues"),
)  # fmt: skip

INTRODUCTION = """\
# When it fails

<!-- Made from kinds.py of each step: PROVISION_WRITE_DOCS=1 bin/test tests/unit/core/test_catalogue.py -->

```sh
provision doctor
provision doctor --fix
```

The first checks everything, changes nothing, and names each problem with its fix. The second shows what it will change
and download, asks where it must, fixes it, and tells you what is left. Your models, custom nodes, settings and changed
files are never deleted: what is in the way is moved to `moved-aside/` in the install folder.

## The ten most common problems

| what you see | what to do |
|---|---|
| the download stopped | run the same command again: it resumes |
| a host cannot be reached, a certificate error | [Networks and proxies](networks.md) |
| `No space left on device` | [`provision clean`](disk.md) shows what can go; or use another disk: `--home DIR` |
| a custom node needs git, and it is missing | `xcode-select --install` |
| ComfyUI does not open in the browser | `provision launch`, then `provision logs` |
| port 8188 is used by another program | `provision all --set comfyui.port=8189` |
| black images or noise | `provision doctor --deep --fix` |
| images take minutes, the Mac swaps | close other programs; one 512x512 image at a time; `--manifest sd-turbo` |
| a custom node broke ComfyUI | `provision doctor --fix` restores packages and offers to disable the node |
| the new torch is worse | `provision rollback` |

## More ways to ask

| | |
|---|---|
| `provision doctor LOGFILE...` | explain a log of ComfyUI, pip, uv, git, hf, wget or a shell (`-`: standard input) |
| `provision doctor --deep` | also verify the model, test torch, import ComfyUI and make an image |
| `provision doctor --only ID` | check (with `--fix`: fix) one problem; ids are in the tables below |
| `provision doctor --list` | list all checks |
| `provision doctor --report FILE` | write a report for an issue, without paths, names, tokens and addresses |
| `provision doctor --comfyui DIR` | check [a ComfyUI you already have](your-comfyui.md), without changing it |

A problem that only follows from another one is marked `↳` and fixed with it. `--deep` uses its own folders and
database, with custom nodes off. Whether custom nodes load is tried once in a sandbox, in which they cannot write.

In the tables below, "`doctor "
                     "--fix`" means that it (and `provision all`) fixes the problem, "asks first" that it does so
after you say yes.
"""


def doctor_page() -> str:
    """The page, in Markdown."""
    faults = [kind for kind in CATALOGUE if kind.severity != "informs"]
    messages = [kind for kind in faults if kind.means.startswith("`")]
    parts = [_part("Error messages", messages)]
    for title, severity in SECTIONS:
        parts.append(_part(title, [kind for kind in faults if kind.severity == severity and kind not in messages]))
    left_out = "\n".join(["## Not checked", "", *(f"- `{id}`: {why}" for id, why in LEFT_OUT), ""])
    return "\n".join([INTRODUCTION, *parts, left_out])


def _part(title: str, kinds: list[Kind]) -> str:
    rows = [_row(kind) for kind in sorted(kinds, key=_order)]
    return "\n".join(
        [f"## {title}", "", "| what you see | where it shows | fix | id |", "|---|---|---|---|", *rows, ""]
    )


def _order(kind: Kind) -> str:
    """What is seen, by the alphabet: the first message, else the sentence."""
    return (kind.means.split("`")[1] if kind.means.startswith("`") else kind.means).casefold()


def _row(kind: Kind) -> str:
    cells = (kind.means, kind.looks_at, f"{MENDING[kind.fix]}{kind.remedy.replace(' after a yes', '')}", f"`{kind.id}`")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
