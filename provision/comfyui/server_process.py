"""ComfyUI's process: its command, its record, starting, waiting, stopping.

A server is ours if it runs the home's own `main.py` by its full path; any other, another ComfyUI included, is never
used and never stopped. `state/server.json` says which process we started, with which flags, code and torch.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path

from provision.comfyui import fallback_flags
from provision.comfyui.answers import SystemStats
from provision.comfyui.api import Comfy
from provision.comfyui.error_explanations import explain
from provision.comfyui.error_signatures import short
from provision.comfyui.exclusive_start import one_start
from provision.comfyui.foreign_install import servers_of
from provision.comfyui.isolation import DATABASE, apart, knows
from provision.comfyui.memory import memory_flags
from provision.comfyui.model_settings import FLAG, given_settings
from provision.comfyui.workflow_graph import listed_name
from provision.command import ours
from provision.core.home import Home
from provision.core.receipt_kinds import ComfyReceipt, TorchReceipt
from provision.core.receipts import read_state, write_json
from provision.core.step import Context
from provision.environment import generations, packages
from provision.environment.truncated_bytecode import forget_cut_caches
from provision.errors import EngineError, PortTaken
from provision.system.log_files import LIMIT_BYTES, Follower, rotate, tail_of, wait_for_keeper
from provision.system.machine import LOOPBACK
from provision.system.processes import Process, is_same

START_TIMEOUT_S = 180.0
POLL_S = 0.2
LISTED_S = 10.0
PORT_FREE_S = 5.0
BUSY_S = 10.0
"""How long the port may be open before there is an answer: ComfyUI opens it last."""
KEEPER_S = 2.0
START_GRACE_S = 0.3
"""A server that only starts has nothing to save."""
TAIL_BYTES = 16_384
TAIL_LINES = 12
OTHER_GPU = re.compile(r"\+(rocm|xpu)")
"""How torch's version ends where it is built for a GPU of AMD's or Intel's."""
EVERYWHERE = "0.0.0.0"  # noqa: S104  (after a yes)
"""All addresses: that of the network may be another tomorrow, and ComfyUI does not start with one that is not there."""
OURS = "-s"
"""Python's flag that leaves out the user's own packages: people do not write it."""


def engine_flags(ctx: Context) -> tuple[str, ...]:
    """The flags that decide what it computes: the manifest's, those against black images and for little memory
    (`memory.flags_for`), and `--cpu` without a GPU."""
    flags = fallback_flags.launch_flags(ctx)
    flags = (*flags, *memory_flags(ctx, flags))
    return (*flags, "--cpu") if on_cpu(ctx) and "--cpu" not in flags else flags


def on_cpu(ctx: Context) -> bool:
    """Whether torch has no GPU here: as it was proven, or seen in this run; before that, on Linux, by what is there.

    Without its flag ComfyUI ends where it finds no GPU (comfy/model_management.py).
    """
    device = ctx.receipts.read("torch", TorchReceipt).device or ctx.proofs.device
    if device or ctx.machine.system == "Darwin":
        return device == "cpu"
    other_gpu = OTHER_GPU.search(packages.torch_version(ctx.home.venv))
    return other_gpu is None and ctx.machine.which("nvidia-smi") is None


def server_argv(ctx: Context) -> tuple[str, ...]:
    """The whole command: isolated from the user's own packages (-s), on loopback alone unless the person opened it."""
    program = (str(generations.python(ctx.home)), OURS, str(ctx.home.main_py))
    listens = EVERYWHERE if ctx.options.lan else LOOPBACK
    address = ("--listen", listens, "--port", str(ctx.manifest.comfyui.port), "--disable-auto-launch")
    return (*program, *address, *_folders(ctx), *engine_flags(ctx))


def _folders(ctx: Context) -> tuple[str, ...]:
    """Where models, pictures and settings lie, where not in the checkout alone: as a desktop app keeps them."""
    given = given_settings(ctx)
    models = (FLAG, str(given)) if given is not None else ()
    if ctx.home.base == ctx.home.comfyui:
        return models
    base = ("--base-directory", str(ctx.home.base))
    database = (DATABASE, f"sqlite:///{ctx.home.base / 'user' / 'comfyui.db'}") if knows(ctx, DATABASE) else ()
    return (*base, *database, *models)


def quick_test_argv(ctx: Context, folder: Path, *, nodes: bool = False) -> tuple[str, ...]:
    """The command that imports all of ComfyUI in `folder` and ends before it serves, with custom `nodes` or not.

    Beside a server that runs, assets are left out: 0.38 lets one process at a time have their database.
    """
    words = apart(ctx, server_argv(ctx), folder, nodes=nodes)
    assets = ("--disable-assets",) if our_process(ctx) is not None and knows(ctx, "--disable-assets") else ()
    return (*words, *assets, "--quick-test-for-ci")


def client_of(ctx: Context, port: int | None = None) -> Comfy:
    """A client for the server of this home."""
    return Comfy(port or ctx.manifest.comfyui.port, check=ctx.machine.check_interrupted)


@dataclass(frozen=True, slots=True)
class Record:
    """A server that we started and what it runs. `started` is in seconds since the epoch."""

    pid: int
    created: float
    port: int
    argv: tuple[str, ...]
    commit: str = ""
    torch: str = ""
    started: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.pid < 2**31 and 0 < self.port < 2**16):
            raise ValueError("out of range for a process or a port")

    def process(self, home: Home) -> Process:
        """The process, by the words that it keeps when a custom node has it restart itself: from main.py on."""
        return Process(self.pid, self.created, (*self.argv[:1], *from_main(home, self.argv)))


def record_path(ctx: Context) -> Path:
    """The record's file."""
    return ctx.home.state / "server.json"


def read_record(ctx: Context) -> Record | None:
    """The record of this home's living server; None when there is none.

    The process must have been started as the record says, at that moment, with this home's main.py.
    """
    record = read_state(record_path(ctx), Record)
    if record is None or not is_same(record.process(ctx.home), ctx.machine.process(record.pid)):
        return None
    if not runs_our_main(ctx.home, Process(record.pid, record.created, record.argv)):
        return None
    return record if record.started else replace(record, started=record.created)


def write_record(ctx: Context, process: Process, argv: tuple[str, ...]) -> Record:
    """Record a server that starts now. Raises HomeError, DiskFull."""
    record = Record(
        pid=process.pid,
        created=process.created,
        port=ctx.manifest.comfyui.port,
        argv=argv,
        commit=engine_commit(ctx),
        torch=packages.torch_version(ctx.home.venv),
        started=ctx.machine.now(),
    )
    write_json(record_path(ctx), asdict(record))
    return record


def engine_commit(ctx: Context) -> str:
    """The checked-out commit of ComfyUI."""
    return ctx.receipts.read("comfyui", ComfyReceipt).commit


def engine_version(ctx: Context) -> str:
    """The version in the checked-out ComfyUI's own file."""
    text = ctx.machine.read_text(ctx.home.comfyui / "comfyui_version.py") or ""
    return text.rpartition("=")[2].strip().strip("\"'")


def running_environment(ctx: Context) -> Path | None:
    """The environment of the running server, which may no longer be the one in use; None when none runs."""
    record = read_record(ctx)
    return Path(record.argv[0]).parent.parent if record is not None and record.argv else None


def lan_page(ctx: Context) -> str | None:
    """The address of a running server for other devices in the network; None where it is open to none."""
    record = read_record(ctx)
    if record is None or EVERYWHERE not in record.argv or (here := ctx.machine.lan_address()) is None:
        return None
    return f"http://{here}:{record.port}"


def is_ours(home: Home, stats: SystemStats) -> bool:
    """Whether the ComfyUI that answers runs this home's main.py by its full path."""
    return bool(stats.argv) and _is_our_main(home, stats.argv[0])


def runs_our_main(home: Home, who: Process) -> bool:
    """Whether a process was started as we start it: Python with `-s` and the full path of this home's main.py.

    A person who starts it by hand does not write `-s`: that server is theirs.
    """
    return any(flag == OURS and _is_our_main(home, word) for flag, word in pairwise(who.argv[1:4]))


def runs_for_its_owner(ctx: Context, who: Process) -> bool:
    """Whether a process is an adopted install's server, started by you."""
    code = ctx.home.code_of_another
    if code is None or runs_our_main(ctx.home, who):
        return False
    return who.pid in [server.pid for server in servers_of(ctx.machine, code)]


def from_main(home: Home, argv: tuple[str, ...]) -> tuple[str, ...]:
    """The words of a command line from this home's main.py on; without it, all but the program."""
    return argv[next((n for n, word in enumerate(argv) if n and _is_our_main(home, word)), 1) :]


def _is_our_main(home: Home, word: str) -> bool:
    with suppress(OSError, ValueError, RuntimeError):  # words of others: no path at all, or one that leads in circles
        return Path(word).is_absolute() and Path(word).resolve() == home.main_py.resolve()
    return False


def start_server(ctx: Context, timeout_s: float = START_TIMEOUT_S) -> Record:
    """Start the server in the background and wait until it answers and lists the checkpoint.

    Nobody else starts anything in its environment meanwhile; packages that this start changed are named.
    Raises EngineError, PortTaken, HomeError, DiskFull, Interrupted: it is then stopped again.
    """
    with one_start(ctx):
        try:
            return _start(ctx, timeout_s)
        except EngineError:
            if not forget_cut_caches(ctx.home, log_tail(ctx.home)):
                raise
            return _start(ctx, timeout_s)


def _start(ctx: Context, timeout_s: float) -> Record:
    argv = server_argv(ctx)
    ctx.note(f"Starting ComfyUI on port {ctx.manifest.comfyui.port}; its log: {ctx.home.shown(ctx.home.engine_log)}")
    process = spawn_server(ctx, argv, {}, log_limit=LIMIT_BYTES)
    try:
        record = write_record(ctx, process, argv)
        wait_until_up(ctx, record, timeout_s)
        wait_until_listed(ctx)
    except BaseException:  # nobody would know of it, or wait for it
        end_server(ctx, process, grace_s=START_GRACE_S)
        raise
    return record


def spawn_server(ctx: Context, argv: tuple[str, ...], env: Mapping[str, str], *, log_limit: int = 0) -> Process:
    """Start a ComfyUI with a new log. Raises EngineError where it ends at once, CommandMissing."""
    log = ctx.home.engine_log
    rotate(log)
    if not ctx.home.python.exists():
        raise EngineError(f"ComfyUI's Python is missing: {ctx.home.python}.", hint=ours("all"))
    env = {"PYTHONUNBUFFERED": "1", **env}
    pid = ctx.machine.spawn(argv, cwd=ctx.home.comfyui, log=log, env=env, log_limit=log_limit)
    if (seen := ctx.machine.process(pid)) is None:
        raise died(ctx.home)
    return replace(seen, argv=argv)  # as it will be when a Python that is a script has handed over


def wait_until_up(ctx: Context, record: Record, timeout_s: float = START_TIMEOUT_S) -> SystemStats:
    """Wait until our server answers. Raises EngineError when it dies or time runs out, PortTaken, Interrupted."""
    deadline, client, log = ctx.machine.clock() + timeout_s, client_of(ctx, record.port), Follower(ctx.home.engine_log)
    opened: float | None = None
    while True:
        for line in log.lines():
            ctx.output(line)
        if ctx.machine.process(record.pid) is None:
            raise died(ctx.home)
        try:
            stats = client.system_stats(timeout_s=2)
        except EngineError as error:  # open, and too busy to answer
            stats, opened = None, opened or ctx.machine.clock()
            if ctx.machine.clock() - opened > BUSY_S:
                raise error
        if stats is not None and not is_ours(ctx.home, stats):
            raise PortTaken(
                f"Another ComfyUI took port {record.port} during the start.",
                hint=ours("all", "--set", f"comfyui.port={record.port + 1}"),
            )
        if stats is not None:
            for line in log.lines():
                ctx.output(line)
            return stats
        if ctx.machine.clock() > deadline:
            raise EngineError(
                f"ComfyUI did not answer within {timeout_s:g} s.{_last_words(ctx.home)}", hint=ours("logs")
            )
        ctx.machine.sleep(POLL_S)


def wait_until_listed(ctx: Context) -> None:
    """Wait until the checkpoint, if it is there, is in ComfyUI's list. Raises EngineError."""
    model, file = ctx.manifest.checkpoint(ctx.options.precision)
    if not (ctx.home.models / model.folder / file.name).is_file():
        return
    name, client, deadline = listed_name(model, file), client_of(ctx), ctx.machine.clock() + LISTED_S
    while name not in (names := client.checkpoints()):
        if ctx.machine.clock() > deadline:
            raise unlisted(name, names)
        ctx.machine.sleep(POLL_S)


def unlisted(name: str, names: list[str]) -> EngineError:
    """The error where the checkpoint is not in ComfyUI's list."""
    seen = short(", ".join(names)) or "none"
    return EngineError(f"ComfyUI does not see the checkpoint {name}; it sees {seen}.", hint=ours("doctor"))


def died(home: Home) -> EngineError:
    """The error where ComfyUI ended by itself while it started."""
    if (meaning := explain(log_tail(home))) is None:
        return EngineError(f"ComfyUI exited immediately.{_last_words(home)}", hint=ours("logs"))
    message = f"ComfyUI exited: {meaning.says}.{_last_words(home)}"
    return EngineError(message, hint=meaning.hint, finding=meaning.id)


def log_tail(home: Home) -> str:
    """The end of the engine's log."""
    return tail_of(home.engine_log, TAIL_BYTES)


def _last_words(home: Home) -> str:
    lines = [line for line in log_tail(home).splitlines() if line.strip()][-TAIL_LINES:]
    return " Its last output:\n" + "\n".join(lines) if lines else ""


def end_server(ctx: Context, process: Process, port: int | None = None, *, grace_s: float = 8) -> None:
    """Stop a server of ours and wait until its port is free.

    Its record goes first, so that whoever waits for its image knows that it did not end by itself.
    """
    forget_record(ctx)
    ctx.machine.end_process(process, grace_s=grace_s)
    # Its threads may outlive the process's entry for a moment, and with them the socket.
    deadline = ctx.machine.clock() + PORT_FREE_S
    while not ctx.machine.port_is_free(port or ctx.manifest.comfyui.port) and ctx.machine.clock() < deadline:
        time.sleep(0.02)
    wait_for_keeper(ctx.home.engine_log, KEEPER_S)


def forget_record(ctx: Context) -> None:
    """Remove the record; one that cannot be removed names no living process."""
    with suppress(OSError):
        record_path(ctx).unlink(missing_ok=True)


def our_process(ctx: Context) -> Process | None:
    """The server of this home, with or without a record; None when it does not run."""
    record = read_record(ctx)
    if record is not None:
        return record.process(ctx.home)
    who = ctx.machine.listener(ctx.manifest.comfyui.port)
    return who if who is not None and runs_our_main(ctx.home, who) else None


def stop_server(ctx: Context) -> bool:
    """Stop the server of this home; False when it did not run."""
    process, record = our_process(ctx), read_record(ctx)
    if process is None:
        forget_record(ctx)
        return False
    end_server(ctx, process, record.port if record else None)
    return True
