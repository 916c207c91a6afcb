"""A Linux that answers as a recorded Mac: the product's own Mac branches, run end to end.

In a mount namespace of its own a command meets `/usr/bin` and `/usr/sbin` with a Mac's programs laid over them
(`programs.py` answers for all), a Python that takes this for Darwin (`python/sitecustomize.py`), and a uv that takes
the Pythons of this Linux for a Mac's. Nothing is changed outside of it. torch stays the rehearsal's stand-in: this
proves paths, choices and words, never Metal.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.macs import MACS
from tests.support.paths import CHECKOUT

HERE = Path(__file__).parent
ANSWERED = {
    "bin": "arch brctl cp defaults git launchctl open osascript pmset sudo sw_vers tmutil uname vm_stat xattr"
    " xcode-select",
    "sbin": "caffeinate ifconfig ioreg ipconfig lsof route scutil softwareupdate sysctl",
}
"""The programs of a Mac that the product may start; `caffeinate` lies in /usr/bin there, which PATH does not tell."""
TIMEOUT_S = 300


def why_not() -> str:
    """Why no Mac can be played on this machine; empty where one can."""
    if sys.platform != "linux":
        return "this is no Linux"
    if shutil.which("unshare") is None:
        return "there is no unshare"
    laid_over = "mount -t overlay mac -o lowerdir=/usr/bin:/usr/sbin /usr/bin"
    ran = subprocess.run([*_apart(), "sh", "-c", laid_over], capture_output=True, text=True, check=False)
    return f"nothing can be laid over its programs: {ran.stderr.strip()}" if ran.returncode else ""


def _apart() -> list[str]:
    """How a command gets mounts of its own; whoever is not root is made root of a namespace of users."""
    return ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]


@dataclass(frozen=True)
class PlayedMac:
    """A recorded Mac, the folder in which it is played, and uv's cache, which several may share."""

    name: str
    folder: Path
    uv_cache: Path

    @property
    def recorded(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((MACS / f"{self.name}.json").read_text(encoding="utf-8"))
        return found

    @property
    def person(self) -> Path:
        """The person's own folder."""
        return self.folder / "person"

    @property
    def called(self) -> list[str]:
        """The Mac's programs that were called so far, each with its words."""
        return self._lines("called")

    @property
    def opened(self) -> list[str]:
        """What was opened of the folders about which macOS would have asked the person."""
        return self._lines("opened")

    def _lines(self, name: str) -> list[str]:
        log = self.folder / name
        return log.read_text(encoding="utf-8").splitlines() if log.exists() else []

    def set_up(self) -> None:
        """Make what is laid over this Linux."""
        library = self.folder / "python"
        for made in (
            library,
            self.folder / "real",
            self.folder / "opt",
            self.person,
            *(self.folder / place for place in ANSWERED),
        ):
            made.mkdir(parents=True)
        shutil.copy(HERE / "python" / "sitecustomize.py", library)
        about = {**self.recorded, "person": str(self.person), "opened": str(self.folder / "opened"), "tool": sys.prefix}
        (library / "mac.json").write_text(json.dumps(about), encoding="utf-8")
        for place, names in ANSWERED.items():
            for name in names.split():
                self._stand_in(self.folder / place / name, name)
        self._stand_in(self.folder / "uv", "uv")
        for path in self._elsewhere:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stand_in(path, path.name)

    @property
    def _elsewhere(self) -> list[Path]:
        """What stands for the Mac's programs below /opt, where Homebrew puts its own."""
        return [self.folder / each[1:] for each in self.recorded["programs"].values() if each.startswith("/opt/")]

    def change(self, **facts: Any) -> None:
        """Change facts of the Mac from now on."""
        about = self.folder / "python" / "mac.json"
        about.write_text(json.dumps({**json.loads(about.read_text(encoding="utf-8")), **facts}), encoding="utf-8")

    def _stand_in(self, path: Path, name: str) -> None:
        # -S: what answers for a Mac must not take itself for one.
        python = sys._base_executable  # type: ignore[attr-defined]
        path.write_text(f'#!/bin/sh\nexec {python} -S {HERE}/programs.py {self.folder} {name} "$@"\n', encoding="utf-8")
        path.chmod(0o755)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`provision WORDS` on this Mac, to its end."""
        argv = [*_apart(), "/bin/sh", str(HERE / "enter"), str(self.folder), str(Path(os.__file__).parent), sys.prefix]
        path = [*{f"/{each.parent.relative_to(self.folder)}" for each in self._elsewhere}, os.environ["PATH"]]
        person = {"HOME": str(self.person), "UV_CACHE_DIR": str(self.uv_cache), "PATH": os.pathsep.join(path)}
        return subprocess.run(
            [*argv, sys.executable, "-m", "provision", *words],
            env={**os.environ, "PYTHONPATH": str(CHECKOUT), **person},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
