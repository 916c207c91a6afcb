"""Commands around the running engine: launch, stop, status, logs, generate, bench."""

from __future__ import annotations

import statistics
import webbrowser
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from provision import views
from provision.commands import PUBLISHED, adopted_json, page, size_on_disk, success
from provision.console import tabulate
from provision.environments import before_says
from provision.errors import EngineError, UsageError
from provision.home import Home
from provision.runner import run
from provision.session import Session, hold_home, tool_log


def launch(at: Session, *, open_page: bool) -> bool:
    """Start the server and wait until it answers."""
    ok = _bring_up(at)
    if ok and open_page:
        webbrowser.open(page(at.ctx.manifest))
    return ok


def _bring_up(at: Session, *, quiet: bool = False) -> bool:
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


def image_wishes(overrides: Sequence[str], steps: int | None, size: str | None) -> list[str]:
    """`--steps` and `--size` as manifest overrides. Raises UsageError."""
    wishes = [] if steps is None else [f"first_image.steps={steps}"]
    if size is not None:
        width, _, height = size.lower().partition("x")
        if not width.isdigit() or not (height or width).isdigit():
            raise UsageError(f"--size {size!r} is not N or WxH.", hint="--size 512   or   --size 768x512")
        wishes += [f"first_image.width={width}", f"first_image.height={height or width}"]
    return wishes + list(overrides)


def generate(at: Session, prompt: str, output: Path | None, seed: int | None) -> bool:
    """One picture from the running server, which is started when it is down."""
    from provision.steps.first_image import check_ready, make_image, write_bytes

    if not _bring_up(at, quiet=True):
        return False
    ctx = at.ctx.stamped("generate")
    check_ready(ctx)
    made = make_image(ctx, replace(ctx.manifest.first_image, prompt=prompt), prompt, seed)
    target = output or free_name(at.ctx.home, prompt)
    write_bytes(target, made.png)
    at.console.picture(made.png)
    at.console.record(success(path=str(target), seed=made.seed, seconds=made.seconds, judgement=made.judgement.says))
    at.console.data(f"{target}  (seed {made.seed}, {views.time_text(made.seconds)}; {made.judgement.says})")
    return True


def free_name(home: Home, prompt: str) -> Path:
    """A name for a picture in the current folder that nothing has yet, from the prompt's first words."""
    words = "".join(c if c.isalnum() else "-" for c in prompt.lower()[:40]).strip("-") or "picture"
    names = (Path.cwd() / f"{words}{f'-{n}' if n else ''}.png" for n in range(10_000))
    return next(name for name in names if not name.exists())


def bench(at: Session, count: int) -> bool:
    """Cold and warm seconds an image: the server is started anew for the cold one."""
    from provision.steps.first_image import make_image
    from provision.steps.server import stop_server

    stop_server(at.ctx)
    ctx = at.ctx.stamped("bench")
    started = ctx.machine.clock()
    if not _bring_up(at, quiet=True):
        return False
    start_s = ctx.machine.clock() - started
    image = ctx.manifest.first_image
    cold_s = make_image(ctx, image, "the cold image").seconds
    warm = [make_image(ctx, image, f"warm image {n}").seconds for n in range(1, count + 1)]
    result = {"start_s": start_s, "cold_s": cold_s, "warm_s": warm, "warm_median_s": statistics.median(warm)}
    at.console.record(success(when=ctx.machine.timestamp(), **result))
    size = f"{image.width}x{image.height}, {image.steps} step(s)"
    rows = [
        ("server start", views.time_text(start_s)),
        (f"cold image, {size}", views.time_text(cold_s)),
        (
            f"warm image, {size}",
            f"{views.time_text(statistics.median(warm))} (of {count}: {min(warm):.2f} to {max(warm):.2f} s)",
        ),
        ("", PUBLISHED),
    ]
    tabulate(at.console, views.pairs_table(rows))
    return True
