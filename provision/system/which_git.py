"""Which git may be run, found without running Apple's stub of it.

On a Mac /usr/bin/git is a stub before the git of the Command Line Tools or of Xcode. Without these it opens a dialog in
place of working, so it is run only once they are known to be there; a git of any other place is as good (`xcode-select`
prints its folder even where nothing is left in it, see `parsers`). Xcode's refuses until its license is agreed to: what
that is called, and which one was agreed to, is read where Apple keeps it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from provision.errors import CommandMissing
from provision.system.machine import Machine, Ran
from provision.system.parsers import GitTrouble, Version, parse_git_trouble, parse_git_version, parse_xcode_select

GIT_MIN: Version = (2, 32)
"""From it on git can be told to leave the person's own configuration out (GIT_CONFIG_GLOBAL; its release notes)."""
STUB_FOLDER = Path("/usr/bin")
XCODE_SELECT = ("/usr/bin/xcode-select", "-p")
ELSEWHERE = ("/opt/homebrew/bin", "/usr/local/bin", "/Library/Developer/CommandLineTools/usr/bin")
"""Where a git may lie off PATH: Homebrew's; Apple's own, no stub, which a deleted Xcode may be selected over."""
LICENSE = "{app}.app/Contents/Resources/LicenseInfo"
PREFERENCES = "/Library/Preferences/com.apple.dt.Xcode"
AGREED_TO = ("IDELastGMLicenseAgreedTo", "IDELastBetaLicenseAgreedTo")
"""What `xcodebuild -license accept` writes there: the `licenseID` of the Xcode, as `EA1881`; later ones are higher
(xcpretty/xcode-install 65, rstudio/rstudio 5481)."""
LOOK_S = 20


@dataclass(frozen=True, slots=True)
class FoundGit:
    """The git of a machine: its `path`, unless there is none or Apple's refuses (`trouble`), and what it `said`.

    `selected` is the folder of Apple's tools that `xcode-select` names, `version` None where no git answers.
    """

    path: Path | None = None
    version: Version | None = None
    trouble: GitTrouble | None = None
    selected: str = ""
    said: str = ""

    @property
    def usable(self) -> bool:
        """Whether it works, and is new enough."""
        return self.trouble is None and self.version is not None and self.version >= GIT_MIN


def find_git(machine: Machine) -> FoundGit:
    """The first git that works, else why the first one does not; Apple's stub is not run without its tools."""
    first: FoundGit | None = None
    for path in _gits(machine):
        found = _ask(machine, path)
        if found.usable:
            return found
        first = first or found
    return first or FoundGit()


def without_stubs(machine: Machine) -> dict[str, str]:
    """A PATH without Apple's stubs, for a program that tries all on it; empty where they are none.

    uv asks each python3 for its version, and runs install_name_tool for a Python that it brings (astral-sh/uv 14893).
    """
    folders = machine.environ.get("PATH", "").split(os.pathsep)
    real = [folder for folder in folders if Path(folder) != STUB_FOLDER]
    if machine.system != "Darwin" or real == folders or lack_of_tools(machine) is None:
        return {}
    return {"PATH": os.pathsep.join(real)}


def _gits(machine: Machine) -> Iterator[Path]:
    """The gits on PATH, then those of other places."""
    seen: set[Path] = set()
    folders = [*machine.environ.get("PATH", "").split(os.pathsep), *ELSEWHERE] if machine.system == "Darwin" else ()
    for name in ("git", *(f"{folder}/git" for folder in folders if folder.startswith("/"))):
        path = machine.which(name)
        if path is not None and path not in seen:
            seen.add(path)
            yield path


def _ask(machine: Machine, path: Path) -> FoundGit:
    is_mac = machine.system == "Darwin"
    if is_mac and _is_stub(path) and (lack := lack_of_tools(machine)) is not None:
        return lack
    said = _run(machine, (str(path), "--version"))
    if is_mac and (trouble := parse_git_trouble(said.code, said.err)) is not None:
        return FoundGit(trouble=trouble)
    first = next(iter(said.tail().splitlines()), f"it printed nothing and exited with {said.code}.")
    try:
        return FoundGit(path, parse_git_version(said.out) if said.ok else None, said=first)
    except ValueError:
        return FoundGit(path, said=first)


def _is_stub(path: Path) -> bool:
    """Whether a git is Apple's, by its place or by what it is a link to."""
    return STUB_FOLDER in (path.parent, Path(os.path.realpath(path)).parent)


def lack_of_tools(machine: Machine) -> FoundGit | None:
    """What is wrong with Apple's tools, None where they are there."""
    said = _run(machine, XCODE_SELECT)
    try:
        tools = parse_xcode_select(said.code, said.out, said.err)
    except ValueError:
        return FoundGit(trouble="clt-missing")
    if tools.state == "missing" or tools.path is None:
        return FoundGit(trouble="clt-missing")
    if tools.state == "stale" or machine.which(f"{tools.path}/usr/bin/xcrun") is None:
        return FoundGit(trouble="clt-stale", selected=tools.path)
    if not _license_is_agreed_to(machine, tools.path):
        return FoundGit(trouble="xcode-license", selected=tools.path)
    return None


def _license_is_agreed_to(machine: Machine, selected: str) -> bool:
    """Whether Xcode's license stands in nothing's way, as far as that is known without a run of its programs."""
    app, is_xcode, _ = selected.partition(".app/")
    wanted = _default(machine, LICENSE.format(app=app), "licenseID") if is_xcode else ""
    agreed = (_default(machine, PREFERENCES, key) for key in AGREED_TO if wanted)
    return not wanted or any((len(each), each) >= (len(wanted), wanted) for each in agreed)


def _default(machine: Machine, domain: str, key: str) -> str:
    return machine.said(("/usr/bin/defaults", "read", domain, key)).strip()


def _run(machine: Machine, argv: tuple[str, ...]) -> Ran:
    from provision.system.git_program import environment

    try:
        return machine.run(argv, env=environment(), timeout_s=LOOK_S)
    except CommandMissing as error:
        return Ran(argv, 127, "", error.message)
