"""The person's own configuration of git: whether git can read it. None of it is needed here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from provision.command import Fix, program
from provision.core.finding import Finding
from provision.core.step import Context
from provision.steps.tools import kinds
from provision.system.address import quoted
from provision.system.git_program import environment
from provision.system.which_git import find_git

BROKEN = re.compile(r"(?m)^(?:fatal|error): (.*?(?:in file |unable to access ')(/[^'\n]+?)(?:'.*)?)$")
"""git's words for a file that it cannot read (config.c): `bad config line 3 in file /Users/me/.gitconfig`."""
TIMEOUT_S = 20


def check_configuration(ctx: Context) -> Iterable[Finding]:
    """Git does nothing for a person whose configuration it cannot read; asked where there is one."""
    if not any(ctx.machine.read_text(path) is not None for path in _places(ctx)):
        return
    git = find_git(ctx.machine).path
    if git is None:
        return
    persons = environment(persons=ctx.machine.environ)
    ran = ctx.machine.run([git, "config", "--list", "--name-only"], env=persons, timeout_s=TIMEOUT_S)
    found = BROKEN.search(ran.err)
    if ran.ok or found is None:
        return
    says = f"git cannot read its configuration ({quoted(found[1])}): it is done without here, git by hand does nothing."
    fix = Fix("Correct that line, or move the file away:", program("mv", found[2], f"{found[2]}.broken"))
    yield kinds.GIT_CONFIG.warn(found[2], says, fix=fix)


def _places(ctx: Context) -> list[Path]:
    """Where a person's configuration lies (git-config(1), "FILES")."""
    given = ctx.machine.environ
    if named := given.get("GIT_CONFIG_GLOBAL"):
        return [Path(named)]
    person = Path(given.get("HOME", "/"))
    return [person / ".gitconfig", Path(given.get("XDG_CONFIG_HOME") or person / ".config") / "git/config"]
