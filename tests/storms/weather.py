"""A home in a storm: brought back whole for each try, with a person's files in it, and looked at afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from PIL import Image

from provision.core.home import Home
from provision.core.lockfile import load_lock
from provision.rehearsal.home_marker import FP16, read_world
from tests.storms.failing_calls import Failing
from tests.storms.tally import Tally
from tests.support.forks import Forks
from tests.support.paths import CHECKOUT

LIMIT_S = 300
"""After which a command hangs, however many other programs run here."""
CANARIES = {
    "ComfyUI/output/holiday.png": b"a picture of mine",
    "ComfyUI/custom_nodes/mine/__init__.py": b"NODE_CLASS_MAPPINGS = {}  # mine\n",
    "ComfyUI/user/default/workflows/mine.json": b'{"mine": true}',
    "ComfyUI/models/loras/mine.safetensors": b"a model of mine",
    "ComfyUI/README.md": b"my own words\n",
    "notes of mine.txt": b"dear diary",
}
"""What a person has in a home; the README is a file of ComfyUI's, edited."""
MADE = "ComfyUI/output/provision_"
"""How pictures begin that `generate` leaves with ComfyUI: they were asked for."""
BUG_WORDS = ("This is a bug in provision", f'File "{CHECKOUT}/provision/', "[check-crashed]")
"""A traceback of ComfyUI's own may be shown, one of the tool's may not."""


@dataclass(frozen=True)
class Ended:
    """A command that ended, or was killed: its exit code (None: it hung), and what it said."""

    words: tuple[str, ...]
    code: int | None
    out: str

    def says(self) -> str:
        tail = "\n".join(self.out.splitlines()[-12:])
        return f"`{' '.join(self.words)}` ended with {self.code}:\n{tail}"


@dataclass(frozen=True)
class Started:
    """A command at work; `said` is what its output goes to."""

    words: tuple[str, ...]
    child: subprocess.Popen[str]
    said: int

    def end(self, limit_s: float = LIMIT_S) -> Ended:
        """Wait for it."""
        with os.fdopen(self.said, "rb") as said:
            try:
                code: int | None = self.child.wait(limit_s)
            except subprocess.TimeoutExpired:
                self.kill(tree=True)
                self.child.wait()
                code = None
            said.seek(0)
            return Ended(self.words, code, said.read().decode("utf-8", "replace"))

    def kill(self, *, tree: bool, sign: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to it alone, or to all that it started too; it is not waited for."""
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.child.pid)
            for each in [process, *(process.children(recursive=True) if tree else [])]:
                with suppress(psutil.NoSuchProcess):
                    each.send_signal(sign)


@dataclass
class Place:
    """A folder for one home after the other, all at the same path, as records hold it."""

    root: Path
    whole_s: float = 0
    """How long `all` took from nothing."""
    usual: frozenset[str] = frozenset()
    """What lies in a whole home."""
    loaded: Forks | None = None
    """What commands are forks of that nothing befalls; None: each is loaded anew."""

    @property
    def disk(self) -> Path:
        """The folder of the home, where a file system of its own may be mounted."""
        return self.root / "disk"

    @property
    def home(self) -> Path:
        return self.disk / "home"

    @property
    def kept(self) -> Path:
        """The whole home, aside."""
        return self.root / "whole"

    @property
    def model(self) -> Path:
        return self.home / "ComfyUI" / "models" / "checkpoints" / FP16

    # -- commands ------------------------------------------------------------------------------------------------

    def argv(self, *words: str, home: Path | None = None) -> list[str]:
        return [sys.executable, "-m", "provision", *words, "--home", str(home or self.home)]

    def start(
        self,
        *words: str,
        failing: Failing | None = None,
        home: Path | None = None,
        prefix: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> Started:
        """Start a command; with `failing`, one of its system calls fails; `prefix` is a program that starts it."""
        environ = {**self.environ(), **(env or {})}
        argv = [*prefix, *self.argv(*words, home=home)]
        # A file and no pipe: programs that outlive their parent may hold it open.
        with tempfile.TemporaryFile(dir=self.root.parent) as said:
            popen: dict[str, Any] = {"env": environ, "cwd": self.root, "stdin": subprocess.DEVNULL, "stdout": said}
            popen |= {"stderr": subprocess.STDOUT, "start_new_session": True}
            child = failing.start(argv, **popen) if failing is not None else subprocess.Popen(argv, text=True, **popen)
            return Started(words, child, os.dup(said.fileno()))

    def environ(self) -> dict[str, str]:
        """The variables of a command: a person of its own."""
        person = self.root / "person"
        person.mkdir(exist_ok=True)
        mine = {"HOME": str(person), "PYTHONPATH": str(CHECKOUT), "LANG": "C.UTF-8"}
        return {**os.environ, **mine, "UV_CACHE_DIR": str(self.root / "uv-cache")}

    def run(self, *words: str, failing: Failing | None = None, home: Path | None = None) -> Ended:
        """A command to its end."""
        if self.loaded is None or failing is not None:
            return self.start(*words, failing=failing, home=home).end()
        ended = self.loaded.run(self.argv(*words, home=home)[3:], self.environ(), self.root, LIMIT_S)
        return Ended(words, ended.code, ended.said)

    # -- homes ---------------------------------------------------------------------------------------------------

    def clear(self) -> None:
        """End everything of the home, and remove it."""
        self.end_all()
        stays = (self.kept, self.disk, self.root / "uv-cache", self.root / "person")
        for left in (*self.disk.iterdir(), *(path for path in self.root.iterdir() if path not in stays)):
            shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()

    def end_all(self) -> None:
        """End what runs in the home, as a machine that is started again would."""
        for process in programs_in(self.root):
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def bring(self, *, world_only: bool = False) -> None:
        """The whole home again, a person's files in it; or its world alone, which a first run takes time to make."""
        self.clear()
        part = Path("state", "rehearsal") if world_only else Path()
        (self.home / part).parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", self.kept / part, self.home / part], check=True)
        if not world_only:
            self.plant()

    def plant(self) -> None:
        """Put a person's files into the home."""
        for name, content in CANARIES.items():
            (self.home / name).parent.mkdir(parents=True, exist_ok=True)
            (self.home / name).write_bytes(content)

    def lost(self) -> list[str]:
        """The person's files that are nowhere any more: each may have been moved, none may be gone or changed."""
        missing = {name: content for name, content in CANARIES.items() if not _holds(self.home / name, content)}
        if missing:
            there = [path for path in self.disk.rglob("*") if path.is_file()]
            sizes = {len(content) for content in missing.values()}
            texts = {path.read_bytes() for path in there if path.stat().st_size in sizes}
            missing = {name: content for name, content in missing.items() if content not in texts}
        return sorted(name for name, content in missing.items() if not self._is_in_the_stash(name, content))

    def _is_in_the_stash(self, name: str, content: bytes) -> bool:
        """Whether git keeps it, where `git stash pop` brings it back, as a change of revision says."""
        shown = f"stash@{{0}}:{name.removeprefix('ComfyUI/')}"
        git = ("git", "--git-dir", str(self.home / "ComfyUI" / ".git"))
        ran = subprocess.run((*git, "show", shown), capture_output=True, check=False)
        return ran.returncode == 0 and ran.stdout == content


@contextmanager
def make_place(root: Path, loaded: Forks | None = None) -> Iterator[Place]:
    """A place with a whole home in it. Everything in it is ended afterwards."""
    made = Place(root, loaded=loaded)
    made.disk.mkdir()
    try:
        started = time.monotonic()
        ended = made.start("all", "--rehearse", "--stop").end()
        made.whole_s = time.monotonic() - started
        assert ended.code == 0, ended.says()
        made.usual = frozenset(lying(made.home))
        shutil.move(made.home, made.kept)
        yield made
    finally:
        made.end_all()


def programs_in(folder: Path) -> list[psutil.Process]:
    """Programs that work in a folder or below, or have it in their words."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if any(str(folder) in word for word in (process.cwd(), *process.cmdline())):
                found.append(process)
    return found


# -- what is looked at afterwards ------------------------------------------------------------------------------------


def partial(place: Place) -> list[str]:
    """Files under their final names that are not whole."""
    wrong = []
    if place.model.exists() and not _holds_model(place):
        wrong.append(f"{place.model.name} ({place.model.stat().st_size:,} bytes)")
    pictures = [place.home / "first-image.png", *place.root.glob("*.png"), *place.disk.glob("*.png")]
    wrong += [picture.name for picture in pictures if picture.exists() and not _is_picture(picture)]
    for path in (*(place.home / "state").glob("*.json"), *(place.home / "state" / "receipts").glob("*.json")):
        with suppress(FileNotFoundError):
            try:
                json.loads(path.read_text(encoding="utf-8"))
            except ValueError:
                wrong.append(str(path.relative_to(place.home)))
    if (place.home / "provision.lock").exists():
        try:
            load_lock(place.home / "provision.lock")
        except Exception as error:  # noqa: BLE001  (whatever it says, the lock is no lock)
            wrong.append(f"provision.core.lockfile: {error}")
    return wrong


def _holds_model(place: Place) -> bool:
    record = read_world(Home(place.home)) or read_world(Home(place.kept))
    assert record is not None
    assert record.made is not None
    with place.model.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == record.made.checkpoints[FP16].sha256


def _is_picture(path: Path) -> bool:
    try:
        with Image.open(path) as picture:
            picture.load()
    except (OSError, SyntaxError, ValueError):
        return False
    return True


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False


def lying(home: Path) -> Iterator[str]:
    """What lies in a home, as far as it is the tool's to keep tidy: not what is inside environments and caches."""
    passed = {"envs", "cache", "root", "__pycache__", ".git", "logs", "moved-aside", "temp"}  # ComfyUI empties its own
    for folder, folders, files in os.walk(home):
        folders[:] = [name for name in folders if name not in passed]
        here = Path(folder).relative_to(home)
        yield from (str(here / name) for name in (*folders, *files))


def litter(place: Place) -> list[str]:
    """What a whole home does not have, and no command sweeps: leftovers of what was cut short."""
    known = {*place.usual, *CANARIES, *(str(parent) for name in CANARIES for parent in Path(name).parents)}
    found = [name for name in lying(place.home) if name not in known and not _is_usual(name)]
    envs = [path.name for path in (place.home / "envs").iterdir()] if (place.home / "envs").is_dir() else []
    if len(envs) > 2:
        found.append(f"envs: {', '.join(sorted(envs))}")
    git = place.home / "ComfyUI" / ".git"
    return [*found, *(str(path.relative_to(place.home)) for path in git.rglob("*.lock"))]


def _is_usual(name: str) -> bool:
    """What comes and goes in a home that is whole: a server's record while it runs, other receipts."""
    return name == "state/server.json" or name.startswith("state/receipts/")


def blame_words(tally: Tally, what: str, ended: Ended, codes: Sequence[int] = (0, 1)) -> None:
    """Note what no command may end in."""
    if ended.code is None:
        tally.blame("hangs", f"{what}: {ended.says()}")
    elif any(words in ended.out for words in BUG_WORDS) or ended.code not in codes:
        tally.blame("exit 3", f"{what}: {ended.says()}")


def aftermath(place: Place, tally: Tally, what: str, *, pictures: bool = False, known: tuple[str, ...] = ()) -> None:
    """After a storm: what lies there is whole, the next `all` is right, and nothing is left.

    With `pictures`, some were asked for, which are no litter; nor are names that begin as one of `known`.
    """
    for name in partial(place):
        tally.blame("partial", f"{what}: {name}")
    again = place.run("all", "--rehearse")
    if again.code != 0:
        tally.blame("not right after", f"{what}: {again.says()}")
    blame_words(tally, what, again)
    look = place.run("doctor")
    if look.code != 0:
        tally.blame("not right after", f"{what}: {look.says()}")
    if not place.model.exists() or not _holds_model(place):
        tally.blame("not right after", f"{what}: the model is not the right one")
    stopped = place.run("stop")
    if stopped.code != 0:
        tally.blame("not right after", f"{what}: {stopped.says()}")
    for process in programs_in(place.root):
        with suppress(psutil.Error):
            tally.blame("processes left", f"{what}: {process.cmdline()}")
    for name in partial(place):
        tally.blame("partial", f"{what}: {name}, after the next run too")
    for name in (name for name in litter(place) if not name.startswith((*known, *([MADE] if pictures else [])))):
        tally.blame("litter", f"{what}: {name}")
