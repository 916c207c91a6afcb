"""Each backend, with its real program, against the loopback hub: fresh, gone on with, taken over, and refused."""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from provision.core.patience import Patience
from provision.core.step import Context
from provision.download import retry
from provision.download.backend import Backend
from provision.download.backends import git_lfs
from provision.download.backends import hf as hub_backend
from provision.download.backends import http as http_backend
from provision.download.backends.auto import bring, choose
from provision.download.backends.registry import CHOICES, backend_name, backends
from provision.download.obtain import download
from provision.download.part_file import (
    bytes_waiting,
    open_part,
    part_of,
    put_in_place,
    work_folder,
    write_private,
)
from provision.errors import CommandMissing, DiskFull, DownloadError, Interrupted, ProvisionError, UsageError, WrongFile
from provision.rehearsal.model_repo import ModelRepo
from provision.system.disk_use import bytes_here
from tests.support.faults import Fault
from tests.support.hints import said
from tests.support.hub import Faults, Hub
from tests.support.paths import CHECKOUT
from tests.support.small_model import (
    FILE,
    TOKEN,
    TWIN,
    Brisk,
    Heard,
    is_one_sentence_with_hint,
    remote_file,
    small_context,
)

BACKENDS = backends()
BY_NAME = {backend.name: backend for backend in BACKENDS}
EACH = pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
FETCH = """
import json, sys
from pathlib import Path
from provision.download.backend import HubFile
from provision.download.part_file import open_part
from provision.download.backends.auto import bring
from provision.rehearsal.model_repo import ModelRepo
from tests.support.small_model import FILE; from tests.support.small_model import TWIN, small_context

root, backend, file = Path(sys.argv[1]), sys.argv[2], HubFile(**json.loads(sys.argv[3]))
model = ModelRepo(file.repo, file.revision, dict.fromkeys((FILE, TWIN), (file.size, file.sha256)))
ctx = small_context(root, model, file.endpoint, backend=backend)
bring(ctx, file, open_part(ctx.machine, ctx.home, file))
"""


@pytest.fixture
def ctx(tmp_path: Path, hub: Hub, model: ModelRepo, heard: Heard) -> Context:
    return small_context(tmp_path, model, hub.url, emit=heard)


def content(world: tuple[Path, ModelRepo], path: str = FILE) -> bytes:
    return (world[0].parent / "weights" / path).read_bytes()


def fetch(ctx: Context, hub: Hub, model: ModelRepo, backend: Backend) -> Path:
    file = remote_file(hub, model)
    part = open_part(ctx.machine, ctx.home, file)
    backend.fetch(ctx, file, part)
    return part


def is_right(part: Path, model: ModelRepo) -> bool:
    return hashlib.sha256(part.read_bytes()).hexdigest() == model.files[FILE][1]


def only_the_part_is_left(part: Path) -> bool:
    return sorted(path.name for path in part.parent.iterdir()) == [part.with_suffix(".json").name, part.name]


# -- the bytes ----------------------------------------------------------------------------------------------


@EACH
def test_fresh_moves_the_file_once_and_nothing_else(
    ctx: Context, hub: Hub, model: ModelRepo, heard: Heard, backend: Backend
) -> None:
    part = fetch(ctx, hub, model, backend)
    assert is_right(part, model)
    assert hub.sent_by_file() == {FILE: model.files[FILE][0]}
    assert only_the_part_is_left(part)
    assert heard.last(FILE).total == model.files[FILE][0]


@EACH
def test_a_complete_part_moves_nothing(
    ctx: Context, hub: Hub, model: ModelRepo, world: tuple[Path, ModelRepo], backend: Backend
) -> None:
    part_of(ctx.home, model.files[FILE][1]).write_bytes(content(world))
    fetch(ctx, hub, model, backend)
    assert hub.requests == []


@EACH
def test_a_part_that_another_began_is_gone_on_with(
    ctx: Context, hub: Hub, model: ModelRepo, world: tuple[Path, ModelRepo], backend: Backend
) -> None:
    begun = 3_000_001
    part_of(ctx.home, model.files[FILE][1]).write_bytes(content(world)[:begun])
    assert is_right(fetch(ctx, hub, model, backend), model)
    assert hub.sent_bytes() == model.files[FILE][0] - begun


@EACH
def test_a_part_that_is_too_long_is_begun_anew(
    ctx: Context, hub: Hub, model: ModelRepo, world: tuple[Path, ModelRepo], backend: Backend
) -> None:
    part_of(ctx.home, model.files[FILE][1]).write_bytes(content(world) + b"more")
    assert is_right(fetch(ctx, hub, model, backend), model)


@EACH
def test_a_killed_run_is_gone_on_with(tmp_path: Path, world: tuple[Path, ModelRepo], backend: Backend) -> None:
    """kill -9 of the tool alone: a program that it started lives on, and the next run must end it."""
    with Hub(world[0], faults=Faults(rate_bytes_s=4_000_000)) as slow:
        file = remote_file(slow, world[1])
        ctx = small_context(tmp_path, world[1], slow.url)
        child = start_fetch(tmp_path, backend.name, file_json(slow, world[1]))
        wait_until(lambda: bytes_waiting(ctx.home, file.sha256) > 1_000_000, child)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        kept = bytes_waiting(ctx.home, file.sha256)
    assert kept > 1_000_000
    with Hub(world[0]) as hub:
        ctx = small_context(tmp_path, world[1], hub.url)
        part = fetch(ctx, hub, world[1], backend)
        assert is_right(part, world[1])
        assert only_the_part_is_left(part)
        assert hub.sent_bytes() <= file.size - kept
        assert not writers_left(part)


@EACH
def test_a_killed_run_is_taken_over_by_another_backend(
    tmp_path: Path, world: tuple[Path, ModelRepo], backend: Backend
) -> None:
    following = BACKENDS[(BACKENDS.index(backend) + 1) % len(BACKENDS)]
    with Hub(world[0], faults=Faults(rate_bytes_s=4_000_000)) as slow:
        file = remote_file(slow, world[1])
        ctx = small_context(tmp_path, world[1], slow.url)
        child = start_fetch(tmp_path, backend.name, file_json(slow, world[1]))
        wait_until(lambda: bytes_waiting(ctx.home, file.sha256) > 1_000_000, child)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        kept = bytes_waiting(ctx.home, file.sha256)
        # The hub is still up: a program that was left behind writes on until it is ended.
        part = fetch(ctx, slow, world[1], following)
        assert is_right(part, world[1])
        assert kept > 1_000_000
        assert not writers_left(part)


def file_json(hub: Hub, model: ModelRepo) -> str:
    file = remote_file(hub, model)
    return json.dumps(
        {name: getattr(file, name) for name in ("endpoint", "repo", "revision", "path", "size", "sha256")}
    )


def start_fetch(home: Path, backend: str, file: str) -> subprocess.Popen[bytes]:
    root = CHECKOUT
    argv = [sys.executable, "-c", FETCH, str(home), backend, file]
    return subprocess.Popen(argv, cwd=root, stderr=subprocess.DEVNULL)


def wait_until(holds: Callable[[], bool], child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert child.poll() is None, "the fetch ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)


def writers_left(part: Path) -> list[str]:
    found = []
    for process in psutil.process_iter():
        try:
            words = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if str(part.with_suffix("")) in words:
            found.append(words)
    return found


@EACH
def test_the_disk_never_holds_more_than_the_file(
    tmp_path: Path, world: tuple[Path, ModelRepo], backend: Backend
) -> None:
    """The whole of a download, to its final name: the peak of what lies in the home."""
    with Hub(world[0], faults=Faults(rate_bytes_s=8_000_000)) as hub:
        ctx = small_context(tmp_path, world[1], hub.url, backend=backend.name)
        over, peak = threading.Event(), [0]

        def watch() -> None:
            while not over.wait(0.005):
                peak[0] = max(peak[0], disk_usage(ctx.home.root))

        watcher = threading.Thread(target=watch)
        watcher.start()
        file = remote_file(hub, world[1])
        destination = ctx.home.comfyui / "models" / "checkpoints" / FILE
        put_in_place(download(ctx, file, precision="fp16", checkpoint=True), destination)
        over.set()
        watcher.join()
    assert is_right(destination, world[1])
    assert list(ctx.home.parts.iterdir()) == []
    assert peak[0] <= file.size + 300_000  # a little git repository beside it


def disk_usage(folder: Path) -> int:
    """Bytes allocated below a folder, hard links counted once."""
    seen: dict[int, int] = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                stat = os.lstat(Path(parent) / name)
            except OSError:
                continue
            seen[stat.st_ino] = stat.st_blocks * 512
    return sum(seen.values())


@EACH
def test_ctrl_c_keeps_the_part_and_ends_the_programs(
    tmp_path: Path, world: tuple[Path, ModelRepo], backend: Backend
) -> None:
    with Hub(world[0], faults=Faults(rate_bytes_s=2_000_000)) as slow:
        ctx = small_context(tmp_path, world[1], slow.url)
        file = remote_file(slow, world[1])

        def stop() -> None:
            while bytes_waiting(ctx.home, file.sha256) < 500_000:
                time.sleep(0.005)
            ctx.machine.interrupt()

        stopper = threading.Thread(target=stop)
        stopper.start()
        with pytest.raises(Interrupted):
            fetch(ctx, slow, world[1], backend)
        stopper.join()
        part = part_of(ctx.home, file.sha256)
        assert 500_000 <= bytes_here(part) < file.size
        assert not work_folder(part, "lfs").exists()
        assert not writers_left(part)


# -- the token ----------------------------------------------------------------------------------------------


@EACH
def test_the_token_goes_to_the_hub_alone_and_into_no_process_list(
    tmp_path: Path, world: tuple[Path, ModelRepo], heard: Heard, backend: Backend
) -> None:
    with Hub(world[0], faults=Faults(token=TOKEN, rate_bytes_s=8_000_000)) as hub:
        machine = Brisk(HF_TOKEN=TOKEN)
        ctx = small_context(tmp_path, world[1], hub.url, machine=machine, emit=heard)
        over, lines = threading.Event(), set[str]()

        def watch() -> None:
            while not over.wait(0.005):
                lines.update(command_lines())

        watcher = threading.Thread(target=watch)
        watcher.start()
        part = fetch(ctx, hub, world[1], backend)
        over.set()
        watcher.join()
        assert is_right(part, world[1])
        assert {seen.origin for seen in hub.requests if "authorization" in seen.headers} == {"hub"}
    spoken = "\n".join([heard.text, *lines])
    assert TOKEN not in spoken
    assert base64.b64encode(f"hf:{TOKEN}".encode()).decode() not in spoken, "as git is given it"
    assert "Expires" not in spoken
    if backend.name in ("wget", "git-lfs"):
        assert any(part.stem in line for line in lines)
    assert TOKEN not in "".join(path.read_text() for path in part.parent.glob("*.json"))


def command_lines() -> set[str]:
    """What is seen of our children in a list of processes: their words and, by the same user, their environment."""
    found, ours = set(), psutil.Process().cmdline()
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            before, environ, after = child.cmdline(), child.environ(), child.cmdline()
            if ours not in (before, after):  # else it is still a copy of ours, on its way to be a program
                found.add(" ".join([*after, *map("=".join, environ.items())]))
    return found


@pytest.mark.parametrize("name", ["http", "hf", "wget"])
def test_the_token_reaches_a_hub_that_serves_the_bytes_itself(
    tmp_path: Path, world: tuple[Path, ModelRepo], name: str
) -> None:
    """A hub without a CDN: behind the redirect is the hub's own origin, and it wants the token there."""
    with Hub(world[0], faults=Faults(token=TOKEN)) as hub:
        ctx = small_context(tmp_path, world[1], hub.url, machine=Brisk(HF_TOKEN=TOKEN))
        model = read_small(hub)
        file = replace(remote_file(hub, world[1]), path=".gitattributes", size=model[0], sha256=model[1])
        part = open_part(ctx.machine, ctx.home, file)
        BY_NAME[name].fetch(ctx, file, part)
        assert bytes_here(part) == file.size
        assert hub.requests[-1].origin == "hub"
        assert hub.requests[-1].headers["authorization"] == f"Bearer {TOKEN}"


def read_small(hub: Hub) -> tuple[int, str]:
    data = (hub.root / "models" / "made" / "up-model" / ".gitattributes").read_bytes()
    return len(data), hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("name", ["http", "hf", "wget"])
def test_the_token_does_not_follow_a_redirect_to_another_host(
    tmp_path: Path, world: tuple[Path, ModelRepo], name: str
) -> None:
    with Hub(world[0]) as thief, Hub(world[0], faults=Faults(token=TOKEN)) as hub:
        ctx = small_context(tmp_path, world[1], hub.url, machine=Brisk(HF_TOKEN=TOKEN))
        size, sha256 = read_small(hub)
        file = replace(remote_file(hub, world[1]), path=".gitattributes", size=size, sha256=sha256)
        hub.arm(Fault("*.gitattributes", "redirect_out", times=-1, value=thief.url, method="GET"))
        part = open_part(ctx.machine, ctx.home, file)
        try:
            BY_NAME[name].fetch(ctx, file, part)
        except ProvisionError:
            assert name == "wget"  # which follows no redirect while it holds a token
        assert all("authorization" not in seen.headers for seen in thief.requests)


# -- bad answers --------------------------------------------------------------------------------------------

PASSING_FAULTS = [
    Fault("*", "truncate", times=2, value=0.4, origin="cdn"),
    Fault("*", "reset", times=2, value=0.4, origin="cdn"),
    Fault("*", "status", times=1, value="503", origin="cdn"),
    Fault("*", "html", times=1, origin="cdn"),
    Fault("*", "expire", times=1, value=1_000_000, origin="cdn"),
    Fault("*", "no_length", times=1, origin="cdn"),
]


@EACH
@pytest.mark.parametrize("fault", PASSING_FAULTS, ids=lambda fault: str(fault.kind))
def test_what_passes_is_waited_out(ctx: Context, hub: Hub, model: ModelRepo, fault: Fault, backend: Backend) -> None:
    hub.arm(fault)
    assert is_right(fetch(ctx, hub, model, backend), model)


@EACH
@pytest.mark.parametrize(
    "fault",
    [
        Fault("*", "status", times=-1, value="503", origin="cdn"),
        Fault("*", "status", times=-1, value="429 0", origin="cdn"),
        Fault("*", "status", times=-1, value="404", origin="cdn"),
        Fault("*", "status", times=-1, value="403", origin="cdn"),
        Fault("*", "html", times=-1, origin="cdn"),
        Fault("*", "truncate", times=-1, value=0, origin="cdn"),
        Fault("*", "redirect_loop", times=-1, origin="cdn"),
    ],
    ids=lambda fault: f"{fault.kind}{fault.value}",
)
def test_what_lasts_is_one_sentence_and_a_hint(
    ctx: Context, hub: Hub, model: ModelRepo, heard: Heard, fault: Fault, backend: Backend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(retry, "IDLE_S", 0.5)  # git-lfs follows a circle of redirects for ever
    hub.arm(fault)
    with pytest.raises(ProvisionError) as failed:
        fetch(replace(ctx, patience=ctx.patience.at_most(7)), hub, model, backend)
    assert is_one_sentence_with_hint(failed.value.message, said(failed.value.hint)), failed.value.message
    assert "Expires" not in failed.value.message + heard.text


@pytest.mark.parametrize("name", ["wget", "git-lfs"])
def test_a_program_that_says_and_does_nothing_is_ended(
    tmp_path: Path, hub: Hub, model: ModelRepo, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the program started, and left behind, holds its streams."""
    monkeypatch.setattr(retry, "IDLE_S", 0.5)
    monkeypatch.setattr(git_lfs, "ASKING_S", 0.5)
    for program in ("wget", "git", "git-lfs"):
        (tmp_path / program).write_text("#!/bin/sh\nsleep 50\n", encoding="utf-8")
        (tmp_path / program).chmod(0o755)
    ctx = small_context(tmp_path, model, hub.url, machine=Brisk(PATH=f"{tmp_path}:/usr/bin:/bin"))
    started = time.monotonic()
    with pytest.raises(ProvisionError, match=r"wget was ended from outside|from .* for 90 seconds"):
        fetch(replace(ctx, patience=ctx.patience.at_most(1)), hub, model, BY_NAME[name])
    assert time.monotonic() - started < 40


@pytest.mark.parametrize("name", ["http", "hf", "wget"])
def test_a_login_page_in_the_middle_does_not_cost_the_part(
    ctx: Context, hub: Hub, model: ModelRepo, world: tuple[Path, ModelRepo], name: str
) -> None:
    begun = 3_000_000
    part = part_of(ctx.home, model.files[FILE][1])
    part.write_bytes(content(world)[:begun])
    hub.arm(Fault("*", "html", times=1, origin="cdn"))
    assert is_right(fetch(ctx, hub, model, BY_NAME[name]), model)
    assert hub.sent_bytes() == model.files[FILE][0] - begun


@pytest.mark.parametrize("name", ["http", "hf", "wget"])
def test_a_server_that_sends_the_whole_for_a_range(
    ctx: Context, hub: Hub, model: ModelRepo, world: tuple[Path, ModelRepo], name: str
) -> None:
    part_of(ctx.home, model.files[FILE][1]).write_bytes(content(world)[:3_000_000])
    hub.arm(Fault("*", "no_range", times=-1, origin="cdn"))
    assert is_right(fetch(ctx, hub, model, BY_NAME[name]), model)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("*", "wrong_range", times=-1, origin="cdn"),
        Fault("*", "gzip", times=-1, origin="cdn"),
        Fault("*", "wrong_length", times=-1, origin="cdn"),
        Fault("*", "status", times=-1, value="416", origin="cdn"),
    ],
    ids=lambda fault: str(fault.kind),
)
def test_http_writes_no_byte_of_an_answer_that_does_not_fit(
    ctx: Context, hub: Hub, model: ModelRepo, world: tuple[Path, ModelRepo], fault: Fault
) -> None:
    part = part_of(ctx.home, model.files[FILE][1])
    part.write_bytes(content(world)[:3_000_000])
    hub.arm(fault)
    with pytest.raises(DownloadError) as failed:
        fetch(ctx, hub, model, BY_NAME["http"])
    assert is_one_sentence_with_hint(failed.value.message, said(failed.value.hint))
    assert part.read_bytes() == content(world)[:3_000_000]


def test_http_waits_as_long_as_it_is_told(ctx: Context, hub: Hub, model: ModelRepo) -> None:
    hub.arm(Fault("*", "status", times=1, value="429 7", origin="cdn"))
    fetch(ctx, hub, model, BY_NAME["http"])
    assert isinstance(ctx.machine, Brisk)
    assert ctx.machine.slept == [7.0]


def test_http_gives_a_stalled_connection_up(
    ctx: Context, hub: Hub, model: ModelRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_backend, "SETTINGS", replace(http_backend.SETTINGS, stall_s=0.3))
    hub.arm(Fault("*", "stall", times=2, value=1_000_000, origin="cdn"))
    assert is_right(fetch(ctx, hub, model, BY_NAME["http"]), model)
    assert hub.sent_bytes() == model.files[FILE][0]


def test_http_names_what_it_began_with(ctx: Context, hub: Hub, model: ModelRepo) -> None:
    hub.arm(Fault("*", "truncate", times=1, value=0.5, origin="cdn"))
    fetch(ctx, hub, model, BY_NAME["http"])
    ranges = [seen for seen in hub.requests if seen.origin == "cdn"]
    assert ranges[0].range is None
    assert ranges[1].headers["if-range"].strip('"') == model.files[FILE][1]


def test_progress_renews_the_patience(ctx: Context, hub: Hub, model: ModelRepo) -> None:
    hub.arm(Fault("*", "truncate", times=20, value=200_000, origin="cdn"))
    assert is_right(fetch(ctx, hub, model, BY_NAME["http"]), model)


# -- proof --------------------------------------------------------------------------------------------------


@EACH
def test_a_corrupted_body_is_fetched_once_more(
    ctx: Context, hub: Hub, model: ModelRepo, heard: Heard, backend: Backend, world: tuple[Path, ModelRepo]
) -> None:
    ctx = replace(ctx, options=replace(ctx.options, backend=backend.name))
    file = remote_file(hub, model)
    # The header is here already: else the two short answers that hold it would use up the fault.
    part_of(ctx.home, file.sha256).write_bytes((world[0].parent / "weights" / FILE).read_bytes()[:4096])
    hub.arm(Fault("*", "corrupt", times=1, value=2_000_000, origin="cdn"))
    assert is_right(download(ctx, file, precision="fp16", checkpoint=True), model)
    assert hub.sent_bytes() > 1.9 * file.size  # what was wrong came, and came again
    assert any("a wrong sha256" in note for note in heard.notes) or backend.name == "git-lfs"  # it finds out by itself


@EACH
def test_a_body_that_stays_corrupted_is_an_error_that_says_so(
    ctx: Context, hub: Hub, model: ModelRepo, backend: Backend
) -> None:
    ctx = replace(ctx, options=replace(ctx.options, backend=backend.name))
    hub.arm(Fault("*", "corrupt", times=-1, value=2_000_000, origin="cdn"))
    with pytest.raises((WrongFile, DownloadError)) as wrong:
        download(ctx, remote_file(hub, model), precision="fp16", checkpoint=True)
    assert is_one_sentence_with_hint(wrong.value.message, said(wrong.value.hint))
    if backend.name == "http":
        assert "came twice" in wrong.value.message
        assert hub.sent_bytes() < 2.1 * model.files[FILE][0]


def test_another_file_is_refused_before_it_is_moved(ctx: Context, hub: Hub, model: ModelRepo) -> None:
    twin = remote_file(hub, model, TWIN)
    with pytest.raises(WrongFile, match="it is fp32, not fp16"):
        download(ctx, twin, precision="fp16", checkpoint=True)
    assert hub.sent_bytes() < 2000


def test_a_file_whose_size_and_header_disagree_is_refused(ctx: Context, hub: Hub, model: ModelRepo) -> None:
    file = replace(remote_file(hub, model), size=model.files[FILE][0] - 8)
    hub.arm(Fault("*", "wrong_length", times=-1, value=-8, origin="hub"))
    with pytest.raises(WrongFile, match="its header describes"):
        download(ctx, file, precision="fp16", checkpoint=True)


# -- choosing -----------------------------------------------------------------------------------------------


def test_the_names() -> None:
    assert [backend.name for backend in BACKENDS] == ["http", "hf", "wget", "git-lfs"]
    assert [backend_name(word) for word in CHOICES] == ["auto", "http", "hf", "wget", "git-lfs"]
    with pytest.raises(UsageError, match=r"no backend 'ftp'") as unknown:
        backend_name("ftp")
    assert unknown.value.exit_code == 2
    assert said(unknown.value.hint) == "Take one of auto, http, hf, wget, git-lfs."


def test_an_alias_means_its_backend(ctx: Context) -> None:
    asked = backend_name("huggingface-cli")
    chosen = choose(replace(ctx, options=replace(ctx.options, backend=asked)))
    assert [backend.name for backend in chosen] == ["hf", "http"]  # which goes on where it fails


@EACH
def test_a_backend_describes_itself(backend: Backend, ctx: Context, hub: Hub, model: ModelRepo) -> None:
    assert not {backend.name, *backend.aliases} & {name for other in BACKENDS if other is not backend
                                                   for name in (other.name, *other.aliases)}  # fmt: skip
    lines = list(backend.script(ctx, remote_file(hub, model), '"$home"/the.part'))
    assert '"$home"/the.part' in lines[-1]
    assert {program.name for program in backend.needs} <= set(backend.writers)
    assert backend.then in (None, *BY_NAME)


def test_auto_takes_what_is_here(tmp_path: Path, hub: Hub, model: ModelRepo) -> None:
    class Bare(Brisk):
        def which(self, name: str) -> Path | None:
            return None

    ctx = small_context(tmp_path, model, hub.url, machine=Bare())
    assert [backend.name for backend in choose(ctx)] == ["http", "hf"]
    for name in ("wget", "git-lfs"):
        assert not BY_NAME[name].usable(ctx.machine)
        with pytest.raises(CommandMissing):
            fetch(ctx, hub, model, BY_NAME[name])


def test_auto_takes_the_next_when_one_fails_and_says_so(ctx: Context, hub: Hub, model: ModelRepo, heard: Heard) -> None:
    file = remote_file(hub, model)
    part = open_part(ctx.machine, ctx.home, file)
    hub.arm(Fault("*", "truncate", times=1, value=0.5, origin="cdn"))
    hub.arm(Fault("*", "gzip", times=5, origin="cdn"))
    bring(ctx, file, part)
    assert is_right(part, model)
    [note] = heard.notes
    assert note.startswith("http failed: ")
    assert "hf goes on from" in note


def test_http_goes_on_where_hf_fails_and_says_so(
    ctx: Context, hub: Hub, model: ModelRepo, heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    file = remote_file(hub, model)
    part = open_part(ctx.machine, ctx.home, file)
    hub.arm(Fault("*", "truncate", times=1, value=3_000_000, origin="cdn"))
    hub.arm(Fault("*", "status", times=5, value="503", origin="cdn"))
    brief = Patience(outage_s=15)  # hf has half of it: at once, after 1 s, 3, 7 and 7.5
    bring(replace(ctx, patience=brief, options=replace(ctx.options, backend="hf")), file, part)
    assert is_right(part, model)
    [note] = heard.notes
    assert note.startswith("hf failed: ")
    assert "(503)" in note
    assert note.endswith("http goes on from 3,000,000 bytes.")
    assert "Signature" not in caplog.text
    assert hub.sent_bytes() == file.size


def test_a_full_disk_is_the_same_for_all(ctx: Context, hub: Hub, model: ModelRepo, heard: Heard) -> None:
    file = remote_file(hub, model)
    part = open_part(ctx.machine, ctx.home, file)
    part.symlink_to("/dev/full")
    with pytest.raises(DiskFull, match="is full; what was written so far is kept"):
        bring(ctx, file, part)
    assert heard.notes == []


# -- huggingface_hub ----------------------------------------------------------------------------------------


def test_hf_goes_on_with_our_part_in_the_version_that_is_installed() -> None:
    assert hub_backend.known_http_get() is not None


def test_hf_does_not_mind_the_offline_switch(
    ctx: Context, hub: Hub, model: ModelRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert is_right(fetch(ctx, hub, model, BY_NAME["hf"]), model)


def test_hf_of_an_unknown_version_is_used_from_outside(
    ctx: Context, hub: Hub, model: ModelRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_backend, "known_http_get", lambda: None)
    part = fetch(ctx, hub, model, BY_NAME["hf"])
    assert is_right(part, model)
    assert only_the_part_is_left(part)


def test_hf_on_a_full_disk(ctx: Context, hub: Hub, model: ModelRepo) -> None:
    file = remote_file(hub, model)
    part = open_part(ctx.machine, ctx.home, file)
    part.symlink_to("/dev/full")
    with pytest.raises(DiskFull):
        BY_NAME["hf"].fetch(ctx, file, part)


def test_wget_says_when_the_disk_is_full(ctx: Context, hub: Hub, model: ModelRepo) -> None:
    file = remote_file(hub, model)
    part = open_part(ctx.machine, ctx.home, file)
    part.symlink_to("/dev/full")
    with pytest.raises(DiskFull, match=os.strerror(errno.ENOSPC).lower().split()[0] + "|full"):
        BY_NAME["wget"].fetch(ctx, file, part)


@pytest.mark.parametrize("name", sorted({name for backend in BACKENDS for name in backend.writers}))
def test_a_writer_that_outlived_its_run_is_ended_before_the_part_is_written(
    name: str, ctx: Context, hub: Hub, model: ModelRepo
) -> None:
    file = remote_file(hub, model)
    part = open_part(ctx.machine, ctx.home, file)
    left, other = part.with_suffix(".lfs"), part.with_name("another.lfs")
    left.mkdir()
    other.mkdir()
    with ExitStack() as stack:
        writes, reads, strange = (
            stack.enter_context(subprocess.Popen([word, "60"], executable=shutil.which("sleep"), cwd=folder))
            for word, folder in ((name, left), ("less", left), (name, other))
        )
        for each in (writes, reads, strange):
            stack.callback(each.kill)
        open_part(ctx.machine, ctx.home, file)
        assert writes.wait(timeout=5) < 0
        assert (reads.poll(), strange.poll()) == (None, None)


def test_git_lfs_wants_the_very_object(ctx: Context, hub: Hub, model: ModelRepo) -> None:
    file = replace(remote_file(hub, model), sha256="0" * 64)
    part = open_part(ctx.machine, ctx.home, file)
    with pytest.raises(WrongFile, match="wanted is 000000000000"):
        BY_NAME["git-lfs"].fetch(ctx, file, part)
    assert hub.sent_bytes() == 0


def test_git_lfs_asks_for_nothing_with_http_where_the_hub_has_https(ctx: Context, hub: Hub, model: ModelRepo) -> None:
    file, places = remote_file(hub, model), (Path("repository"), Path("config"))
    secure = git_lfs._environment(ctx, replace(file, endpoint="https://hub.example"), *places)
    assert secure["http_proxy"] == git_lfs.NOBODY
    assert "https_proxy" not in secure
    assert "http_proxy" not in git_lfs._environment(ctx, replace(file, endpoint="http://hub.example"), *places)


def test_git_understands_the_configuration_that_holds_the_token(tmp_path: Path, hub: Hub, model: ModelRepo) -> None:
    bundle = tmp_path / 'a "b" \\ c'
    bundle.touch()
    machine = Brisk(HF_TOKEN=TOKEN, SSL_CERT_FILE=str(bundle))
    ctx = small_context(tmp_path, model, hub.url, machine=machine)
    config = tmp_path / "config"
    write_private(config, git_lfs._configuration(ctx, remote_file(hub, model)))
    assert config.stat().st_mode & 0o777 == 0o600
    ran = machine.run(["git", "config", "--file", config, "--null", "--list"])
    found = dict(line.split("\n", 1) for line in ran.out.split("\0") if line)
    basic = base64.b64encode(f"hf:{TOKEN}".encode()).decode()
    env = git_lfs._environment(ctx, remote_file(hub, model), tmp_path, config)
    given = {env[f"GIT_CONFIG_KEY_{n}"]: env[f"GIT_CONFIG_VALUE_{n}"] for n in range(int(env["GIT_CONFIG_COUNT"]))}
    assert given["http.followRedirects"] == "false"
    assert TOKEN not in str(env)
    assert basic not in str(env)
    assert found == {
        "credential.helper": "", "core.askpass": "true",
        f"http.{hub.url}/.extraheader": f"Authorization: Basic {basic}",
        "http.sslcainfo": str(bundle),
    }  # fmt: skip


@pytest.mark.parametrize(("name", "text"), [("HF_HUB_DOWNLOAD_TIMEOUT", "10s"), ("HF_HUB_ETAG_TIMEOUT", "1e3")])
def test_a_setting_that_huggingface_hub_cannot_read_is_named(name: str, text: str) -> None:
    """It reads them as it is imported: tried in a process of its own."""
    code = "from provision.download.backends.hf import load_library; load_library()"
    environ = {**os.environ, name: text, "HF_TOKEN": text}
    ran = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False)
    assert f"DownloadError: huggingface_hub cannot be used: {name} is no number." in ran.stderr
