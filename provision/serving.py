"""Commands around the running engine: launch, stop, status, logs."""

from __future__ import annotations

import webbrowser
from collections import deque

from provision import views
from provision.commands import adopted_json, page, size_on_disk, success
from provision.console import tabulate
from provision.environments import before_says
from provision.errors import EngineError, UsageError
from provision.home import Home
from provision.runner import run
from provision.session import Session, hold_home, tool_log


def launch(at: Session, *, open_page: bool) -> bool:
    """Start the server and wait until it answers."""
    ok = bring_up(at)
    if ok and open_page:
        webbrowser.open(page(at.ctx.manifest))
    return ok


def bring_up(at: Session, *, quiet: bool = False) -> bool:
    """Whether the server is up, started where it was not. Raises EngineError, HomeError."""
    from provision.steps.server import SERVER

    if not at.ctx.home.python.exists() or not (at.ctx.home.comfyui / "main.py").exists():
        raise EngineError(f"ComfyUI is not installed in {at.ctx.home.root}.", hint="provision all")
    with hold_home(at):
        report = run((SERVER,), at.ctx, apply=True)
    if not (quiet and report.ok):
        closing = f"ComfyUI: {page(at.ctx.manifest)}" if report.ok else "ComfyUI is not up."
        at.console.report(report, {"command": at.command, "url": page(at.ctx.manifest)}, closing=closing)
    return report.ok


def stop(at: Session) -> bool:
    """Stop the server that was started from this home."""
    from provision.steps.server import stop_server

    stopped = stop_server(at.ctx) if at.ctx.home.root.is_dir() else False
    at.console.record(success(changed=stopped))
    at.console.data("ComfyUI is stopped." if stopped else "ComfyUI was not running.")
    return True


def status(at: Session) -> bool:
    """The receipts and the running server, at a glance. True when the server is up."""
    from provision.steps.server import server_status

    ctx, home = at.ctx, at.ctx.home
    if not home.state.is_dir():
        at.console.record({**success(home=str(home.root), installed=False), "ok": False})
        at.console.data(f"Nothing is installed in {home.root}. To install: provision all --home {home.root}")
        return False
    torch, comfyui, image = (ctx.receipts.read(name) for name in ("torch", "comfyui", "first_image"))
    server = server_status(ctx)
    up = server.state == "up"
    models = [
        (file.name, path)
        for model, file in ctx.manifest.chosen(ctx.options.precision)
        if (path := home.models / model.folder / file.name)
    ]
    rows = [
        ("home", str(home.root)),
        ("ComfyUI", f"{comfyui.get('name')} ({str(comfyui.get('commit'))[:8]})" if comfyui else "not here"),
        *_adopted_rows(home),
        ("torch", f"{torch.get('torch')} ({torch.get('got')}) on {torch.get('device')}" if torch else "not here"),
        *([("before", f"{kept}; back to it: provision rollback")] if (kept := before_says(home)) else []),
        *[(name, views.size_text(path.stat().st_size) if path.exists() else "not here") for name, path in models],
        ("first image", f"{home.first_image}, {image.get('seconds_warm')} s warm" if image else "none yet"),
        ("server", server.says),
        ("disk", views.size_text(size_on_disk(home.root))),
    ]
    at.console.record(
        {
            **success(), "ok": up, "home": str(home.root), "installed": True,
            "comfyui": comfyui, "torch": torch, "before": kept or None, "first_image": image,
            "server": server.to_json(), **adopted_json(home),
        }
    )  # fmt: skip
    tabulate(at.console, views.pairs_table(rows))
    return up


def _adopted_rows(home: Home) -> list[tuple[str, str]]:
    if home.adopted is None:
        return []
    python = home.venv_of_another
    return [
        ("adopted from", f"{home.base}, not made by this tool"),
        ("its Python", f"{python}, not made by this tool" if python is not None else f"{home.own_venv}, ours"),
    ]


def logs(at: Session, *, follow: bool, lines: int, tool: bool) -> bool:
    """The last lines of a log; with `follow` what is added, until Ctrl-C. Raises UsageError when there is none."""
    path = tool_log(at.ctx.home) if tool else at.ctx.home.engine_log
    if not path.exists():
        raise UsageError(f"There is no log {path} yet.", hint="provision launch")
    with path.open(encoding="utf-8", errors="replace") as stream:
        for line in deque(stream, maxlen=max(0, lines)):
            at.console.data(line.rstrip("\n"))
        while follow:
            line = stream.readline()
            if line:
                at.console.data(line.rstrip("\n"))
            else:
                at.ctx.machine.sleep(0.2)
    return True
