"""`provision launch`: start ComfyUI, and wait until it answers; at each login, and for others, where that is wanted."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from typer import Option

from provision.cli.command import Session, command
from provision.cli.request import ASKING
from provision.output.result import Nothing, Result, Says, Words, answer


def launch(
    at: Session,
    *,
    open_page: Annotated[bool, Option("--open", help="Open ComfyUI's page.")] = False,
    login: Annotated[
        bool | None, Option("--at-login/--no-login", help="Start it whenever you log in, or no longer.")
    ] = None,
    wait: Annotated[
        bool, Option("--wait", help="Stay until ComfyUI is stopped; start it again when it crashes.")
    ] = False,
) -> Result:
    """Start the server, detached, and wait until it answers.

    Raises UsageError as root, ConsentNeeded, CommandFailed, and what a start raises.
    """
    import webbrowser

    from provision.cli import always_on
    from provision.cli.server import Up, bring_up
    from provision.comfyui.server_process import lan_page

    if login is False:
        undone = always_on.no_login(at)
        done = "ComfyUI no longer starts when you log in." if undone else "ComfyUI did not start at login."
        return answer(Nothing(), done, changed=undone)
    if login:
        always_on.refuse_root("--at-login")
    if at.request.lan and not always_on.agree_to_lan(at):
        return answer(Nothing(), "Nothing was changed.")
    result = bring_up(at)
    _remember(at, result)
    if not result.ok:
        return result
    says: list[Says] = [*always_on.lan_says(at), *([always_on.start_at_login(at)] if login else [])]
    if open_page:
        webbrowser.open(at.ctx.manifest.comfyui.page)
    up = Up(at.ctx.manifest.comfyui.page, lan_page(at.ctx))
    result = replace(result, data=up, view=(*result.view, *map(Words, says)), changed=result.changed or bool(login))
    return _stay(at, result) if wait else result


def _remember(at: Session, result: Result) -> None:
    """Let the home remember what was asked for, where the start did not. Raises HomeLocked, HomeError, DiskFull."""
    from provision.cli.session import hold_home

    if at.keeping is not None and at.keeping.after != at.keeping.before and not result.changed:
        with hold_home(at):
            pass


def _stay(at: Session, result: Result) -> Result:
    """Show the answer, then stay for as long as the server does."""
    from provision.comfyui.watching import Watch
    from provision.command import Fix, ours
    from provision.output.result import why

    for part in result.view:
        at.console.tell(part)
    if Watch(at.ctx).until_over(lambda: _start_again(at)):
        return replace(result, view=(Words("ComfyUI was stopped."),))
    ended = Fix("ComfyUI exited, and is not started again. See its log:", ours("logs"))
    return replace(result, view=(Words(ended),), error=why("server_down", ended))


def _start_again(at: Session) -> bool:
    """Start the server as the home wants it now, which may be otherwise than when this command began."""
    from provision.cli.request import Request
    from provision.cli.server import bring_up
    from provision.cli.session import open_session

    now = Request("launch", home=at.ctx.home.root, overrides=at.request.overrides, yes=at.request.yes)
    with open_session(now, at.console, at.ctx.machine) as again:
        return bring_up(again).ok


app = command("launch", launch, ASKING | {"lan"})
