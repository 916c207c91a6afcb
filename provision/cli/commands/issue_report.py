"""`doctor --report`: one Markdown file to paste into an issue, with names and secrets removed."""

from __future__ import annotations

import json
import platform
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from provision import __version__
from provision.cli.commands.shared_page import person_of
from provision.cli.look import crashes
from provision.comfyui.server_process import engine_flags
from provision.core.finding import JSON, Verdict
from provision.core.receipt_kinds import ComfyReceipt, TorchReceipt
from provision.core.receipts import read_json
from provision.core.step import Context, Report
from provision.environment import packages
from provision.output.hints import HERE
from provision.output.report.redact import Person, redact
from provision.system.strict import Unreadable, read_tail
from provision.system.visible import visible

TITLE = "# Report of `provision doctor`"
LOG_LINES = 80
LINE_MAX = 400
TAIL_BYTES = 256 << 10
NAMED = (
    *("torch", "torchvision", "torchaudio", "numpy", "safetensors", "transformers", "psutil", "pyyaml"),
    *("comfyui-frontend-package", "comfyui-workflow-templates"),
)
UNTOLD = frozenset({"inode", "mtime_ns", "worst_error"})
"""Entries of a receipt that nobody reads."""


def report_page(ctx: Context, report: Report, tool_log: Path) -> str:
    """The report, in Markdown.

    Each piece is redacted before it is cut or escaped, which could hide a secret's form, and the whole once more.
    """
    person = person_of(ctx)
    receipts = redact(json.dumps(dict(_receipts(ctx)), indent=1, default=str), person)
    logs = {name: _tail(path, person) for name, path in (("ComfyUI's", ctx.home.engine_log), ("The tool's", tool_log))}
    parts = [
        f"{TITLE}\n\nprovision {__version__}, {ctx.machine.timestamp()}. Home paths, names, tokens and addresses were"
        " removed; read it before you send it.",
        "## Machine and versions\n\n" + _table(("", ""), _versions(ctx), person),
        "## Findings\n\n" + _table(("", "step", "id", "what", "fix"), _findings(report), person),
        *(f"## Crash of {step}\n\n" + _fenced("text", redact(trace, person)) for step, trace in crashes(report)),
        "## Receipts\n\n" + _fenced("json", receipts),
        *(f"## {name} log, the last {LOG_LINES} lines\n\n" + _fenced("text", text) for name, text in logs.items()),
    ]
    return visible(redact("\n\n".join(parts) + "\n", person))


def contents(page: str) -> str:
    """The parts of a report, each with its lines: `Findings (31 lines), Receipts (120 lines)`."""
    parts = page.split("\n\n## ")[1:]
    return ", ".join(f"{part.partition(chr(10))[0]} ({part.count(chr(10)):,} lines)" for part in parts)


def _versions(ctx: Context) -> Iterator[tuple[str, ...]]:
    versions = packages.installed_versions(ctx.home.venv)
    folder = packages.site_packages(ctx.home.venv)
    comfyui, torch = ctx.receipts.read("comfyui", ComfyReceipt), ctx.receipts.read("torch", TorchReceipt)
    yield "provision", __version__
    yield "system", f"{ctx.machine.system} {platform.release()}, {ctx.machine.arch}"
    yield "its Python", f"{platform.python_version()} ({platform.machine()}), {sys.executable}"
    yield "home", str(ctx.home.root)
    if ctx.home.adopted is not None:
        yield "adopted", f"{ctx.home.base}, Python of {ctx.home.venv_of_another or ctx.home.own_venv}"
    yield "manifest", f"{ctx.manifest.name}, torch {ctx.manifest.torch.channel}, ComfyUI {ctx.manifest.comfyui.ref}"
    yield "flags", " ".join(engine_flags(ctx)) or "none"
    yield "ComfyUI", f"{comfyui.name or 'none'} ({comfyui.commit[:12]})"
    yield "ComfyUI's Python", folder.parent.name if folder else "none"
    yield "device", torch.device or "unknown"
    for name in NAMED:
        yield name, versions.get(name, "none")
    yield "packages", str(len(versions))
    if set_here := sorted(name for name in ctx.machine.environ if name.startswith(("PYTORCH_", "HF_", "UV_", "PIP_"))):
        yield "set in the shell", ", ".join(set_here)


def _findings(report: Report) -> Iterator[tuple[str, ...]]:
    for step in report.steps:
        if step.error is not None:
            yield str(Verdict.BLOCKED), step.name, step.error.code, step.error.message, ""
        for finding in step.findings:
            yield str(finding.verdict), step.name, finding.id, finding.says, HERE.text(finding.fix)


def _receipts(ctx: Context) -> Iterator[tuple[str, dict[str, JSON]]]:
    """Numbers and short texts of each receipt."""
    for path in sorted(ctx.receipts.folder.glob("*.json")):
        told = ((name, value) for name, value in (read_json(path) or {}).items() if name not in UNTOLD)
        short: dict[str, JSON] = {n: v for n, v in told if isinstance(v, str | int | float) and len(str(v)) <= LINE_MAX}
        yield path.stem, short


def _tail(path: Path, person: Person) -> str:
    try:
        lines = read_tail(path, TAIL_BYTES).splitlines()  # whole ones: half a line may begin within a secret
    except (OSError, Unreadable):
        return "None."
    told = redact("\n".join(lines[-LOG_LINES:]), person).splitlines()
    return "\n".join(line if len(line) <= LINE_MAX else f"{line[:LINE_MAX]} ..." for line in told)


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]], person: Person) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(_cell(redact(cell, person)) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    for sign, instead in (("\\", "\\\\"), ("|", "\\|"), ("<", "&lt;"), ("\r", ""), ("\n", "<br>")):
        text = text.replace(sign, instead)
    return text


def _fenced(kind: str, text: str) -> str:
    ticks = max((len(found) for found in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, ticks + 1)
    return f"{fence}{kind}\n{text}\n{fence}"
