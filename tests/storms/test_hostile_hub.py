"""A hub that lies in every way that is known here, against every backend: one sentence, and nothing else.

A few seeded tries in an ordinary run, all with `--storms`. Whatever comes, the tool ends with 0, 1 or 2 and in time,
takes little memory, writes nowhere but where it should, sends the token to nobody else, and says nothing that a
terminal would obey.
"""

from __future__ import annotations

import base64
import hashlib
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from provision.rehearsal.model_repo import ModelRepo, model_folder
from tests.e2e.matrix import make_certificate
from tests.storms.evil_hub import (
    BAD_PLACES,
    BATCHES,
    BODIES,
    HEADERS,
    HEADS,
    OK,
    PIECE,
    TREES,
    WORDS,
    Asked,
    Behaviour,
    EvilHub,
    Kind,
    redirect,
)
from tests.support.hub import Faults
from tests.support.paths import CHECKOUT
from tests.support.small_model import FILE, REPO, make_small_repo

HURRIED = Path(__file__).with_name("hurried.py")
BACKENDS = ("http", "hf", "wget", "git-lfs", "auto")
TOKEN = "hf_TokenOfAPersonForTheHubAlone"
SIGNS = (TOKEN, base64.b64encode(f"hf:{TOKEN}".encode()).decode())
"""The token, and how git is given it."""
MARK = "PROVISION_STORM"
ALLOWED_S = 120.0
"""The storm's time-outs are of a second or two: the slowest try takes 15 s on a machine that does nothing else."""
MEMORY_BYTES = 150 << 20
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""What a terminal obeys: control characters, and those that turn the direction of text."""
SAMPLE, SEED = 10, 13


@dataclass(frozen=True, slots=True)
class Try:
    """One kind of request, how it is answered, and what is asked of the tool."""

    kind: Kind
    name: str
    behave: Behaviour
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.kind}, {self.name}: {' '.join(self.words)}".replace("/", " ")


def all_tries() -> list[Try]:
    """Each scenario with each backend that makes the request, or with the command that does."""
    redirects: Mapping[str, Behaviour] = {f"redirect {name}": redirect(place) for name, place in BAD_PLACES.items()}
    inspect_file, inspect_repo = ("download", f"{REPO}/{FILE}", "--inspect"), ("download", REPO, "--inspect")
    fetches = {backend: ("download", f"{REPO}/{FILE}", "--backend", backend) for backend in BACKENDS}
    found: list[Try] = []

    def add(kind: Kind, behaviours: Mapping[str, Behaviour], *commands: tuple[str, ...]) -> None:
        found.extend(Try(kind, name, behave, words) for name, behave in behaviours.items() for words in commands)

    add("head", {**redirects, **HEADS, **BODIES, **WORDS}, inspect_file, fetches["auto"])
    add("header", {**redirects, **HEADS, **BODIES}, inspect_file, fetches["auto"])
    add("cdn", HEADERS, inspect_file, fetches["auto"])
    add("bytes", {**redirects, **HEADS, **BODIES}, *fetches.values())
    add("tree", {**redirects, **HEADS, **BODIES, **TREES}, inspect_repo)
    add("tree", TREES, ("download", REPO))
    add("batch", {**redirects, **HEADS, **BODIES, **BATCHES}, fetches["git-lfs"])
    add("refs", {**redirects, **HEADS, **BODIES}, fetches["git-lfs"])
    add("key", {**redirects, **HEADS, **BODIES}, fetches["hf"])
    add("storage", {**redirects, **HEADS, **BODIES}, fetches["hf"])
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "trial" in metafunc.fixturenames:
        tries = all_tries()
        if not metafunc.config.getoption("--storms", default=False):
            tries = random.Random(SEED).sample(tries, SAMPLE)
        metafunc.parametrize("trial", tries, ids=str)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ModelRepo]:
    folder = tmp_path_factory.mktemp("world")
    return folder / "hub", make_small_repo(folder)


@pytest.fixture
def hub(world: tuple[Path, ModelRepo], trial: Try) -> Iterator[EvilHub]:
    xet = trial.kind in ("key", "storage")
    with EvilHub(world[0], trial.kind, trial.behave, Faults(token=TOKEN, xet=xet)) as running:
        yield running


@dataclass(slots=True)
class Seen:
    """What became of a run."""

    code: int | None = None
    out: str = ""
    memory_bytes: int = 0
    leaks: set[str] = field(default_factory=set)


def test_a_hostile_hub_gets_one_sentence(
    tmp_path: Path, world: tuple[Path, ModelRepo], hub: EvilHub, trial: Try
) -> None:
    judged(tmp_path, world, hub, trial.words)


HTTPS = (
    ("head", "--inspect"),
    ("header", "--inspect"),
    ("tree", "REPO"),
    ("bytes", "http"),
    ("bytes", "hf"),
    ("bytes", "wget"),
    ("bytes", "auto"),
    ("key", "hf"),
)


@pytest.mark.parametrize(("kind", "how"), HTTPS)
def test_https_stays_https(tmp_path: Path, world: tuple[Path, ModelRepo], kind: Kind, how: str) -> None:
    """A redirect to http is not followed; where the bytes can still come by https, they do."""
    certificate = make_certificate(tmp_path)
    words = {"--inspect": ("download", f"{REPO}/{FILE}", "--inspect"), "REPO": ("download", REPO, "--inspect")}.get(
        how, ("download", f"{REPO}/{FILE}", "--backend", how)
    )
    faults = Faults(token=TOKEN, xet=kind == "key")
    with EvilHub(world[0], kind, redirect("http://storage.example/x"), faults, certificate) as hub:
        seen = judged(tmp_path, world, hub, words, SSL_CERT_FILE=str(certificate))
    assert "goes from https to http" in seen.out
    assert seen.code == (0 if kind == "key" else 1)


@pytest.mark.parametrize("backend", ["http", "hf", "wget"])
def test_what_a_server_sends_beyond_the_file_is_left_out(
    tmp_path: Path, world: tuple[Path, ModelRepo], backend: str
) -> None:
    """Without a length, the right bytes first, and then others until the disk were full."""
    whole = (model_folder(world[0], REPO) / FILE).read_bytes()

    def behave(asked: Asked) -> None:
        asked.endless(OK + b"\r\n" + whole, b"x" * PIECE)

    with EvilHub(world[0], "bytes", behave, Faults(token=TOKEN)) as hub:
        seen = judged(tmp_path, world, hub, ("download", f"{REPO}/{FILE}", "--backend", backend))
    assert seen.code == 0
    assert (tmp_path / "to" / FILE).read_bytes() == whole


def test_a_body_that_never_ends_is_hung_up_on(tmp_path: Path, world: tuple[Path, ModelRepo]) -> None:
    """A byte now and then between its pieces: no read of huggingface_hub's times out."""
    with EvilHub(world[0], "bytes", BODIES["dripped chunk length"], Faults(token=TOKEN)) as hub:
        seen = judged(tmp_path, world, hub, ("download", f"{REPO}/{FILE}", "--backend", "hf"))
    assert seen.code == 1


def judged(tmp_path: Path, world: tuple[Path, ModelRepo], hub: EvilHub, words: tuple[str, ...], **more: str) -> Seen:
    """Run the tool against a hub, and see that nothing happened that must not."""
    folders = {name: tmp_path / name for name in ("person", "here", "tmp", "to", "home")}
    for folder in folders.values():
        folder.mkdir()
    place = ("--to", str(folders["to"])) if "--inspect" not in words else ()
    argv = [sys.executable, HURRIED, *words, *place, "--home", folders["home"] / "h", "--plain", "-v"]
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folders["person"]),
        "TMPDIR": str(folders["tmp"]),
        "HF_TOKEN": TOKEN,
        "HF_ENDPOINT": hub.url,
        "PYTHONPATH": str(CHECKOUT),
        "PYTHONDONTWRITEBYTECODE": "1",
        MARK: str(tmp_path),
        "LC_ALL": "C.UTF-8",
        "COLUMNS": "100",
        **more,
    }
    seen = run(argv, environ, folders["here"], tmp_path)

    assert seen.code in (0, 1, 2), seen.out
    assert "Traceback" not in seen.out
    assert "bug in provision" not in seen.out
    assert OBEYED.findall(seen.out) == []
    assert len(seen.out) < 20_000
    assert right_or_absent(folders["to"], world[1])
    assert [path for name in ("person", "here", "tmp") for path in folders[name].rglob("*") if path.is_file()] == []
    assert seen.memory_bytes < MEMORY_BYTES, f"{seen.memory_bytes >> 20} MB"
    assert seen.leaks == set()
    strangers = [one for one in hub.requests if one.origin != "hub"]
    assert [one.path for one in strangers if tells(one.headers.get("authorization", ""))] == []
    assert not tells(seen.out)
    assert [path for path in folders["home"].rglob("*") if path.is_file() and tells(path.read_text("latin-1"))] == []
    assert left_over(tmp_path) == []
    return seen


def run(argv: list[str | Path], environ: Mapping[str, str], here: Path, folder: Path) -> Seen:
    """Run to the end, looked at meanwhile; a run that does not end in time fails."""
    seen, log = Seen(), folder / "said"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            argv, env=environ, cwd=here, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT
        )
        until = time.monotonic() + ALLOWED_S
        try:
            while process.poll() is None:
                look(process.pid, seen)
                assert time.monotonic() < until, f"still running:\n{log.read_text('utf-8', 'replace')[-2000:]}"
                time.sleep(0.05)
        finally:
            for child in psutil.Process(process.pid).children(recursive=True) if process.poll() is None else ():
                child.kill()
            process.kill()
            process.wait()
    seen.code, seen.out = process.returncode, log.read_text("utf-8", "surrogateescape")
    return seen


def look(pid: int, seen: Seen) -> None:
    """How much memory it took at most so far, and whether its children show the token in a list of processes."""
    try:
        tool = psutil.Process(pid)
        status = Path(f"/proc/{pid}/status")
        if status.exists() and (found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text("utf-8"))):
            seen.memory_bytes = max(seen.memory_bytes, int(found[1]) << 10)
        seen.leaks.update(word for word in tool.cmdline() if tells(word))
        for child in tool.children(recursive=True):
            before, environ, after = child.cmdline(), child.environ(), child.cmdline()
            if tool.cmdline() in (before, after):  # it is still a copy of the tool, on its way to be a program
                continue
            seen.leaks.update(word for word in [*before, *after, *map("=".join, environ.items())] if tells(word))
    except (psutil.Error, OSError):
        return


def tells(text: str) -> bool:
    """Whether the token stands in it."""
    return any(sign in text for sign in SIGNS)


def right_or_absent(folder: Path, model: ModelRepo) -> bool:
    """Whether a folder holds nothing, or the file with its hash."""
    found = list(folder.iterdir())
    return not found or (
        [path.name for path in found] == [FILE]
        and hashlib.sha256(found[0].read_bytes()).hexdigest() == model.files[FILE][1]
    )


def left_over(folder: Path) -> list[str]:
    """Programs that the run left behind."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(folder):
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found
