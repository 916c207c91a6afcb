"""A real home under the doctor's eyes: made once by the rehearsal, broken, looked at, mended, and brought back.

Its environment, checkout, model, server, receipts and world are those that `all --rehearse` makes. The home never
changes its place (an environment holds its own path): what a breaker did is undone file by file from a copy.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from provision.cli.command import Session
from provision.cli.commands.all import provision_all
from provision.cli.commands.examine import examine
from provision.cli.request import Request
from provision.cli.session import open_session
from provision.comfyui.server_process import read_record, record_path, start_server, stop_server
from provision.core.events import Event
from provision.core.finding import JSON, Finding, Verdict
from provision.core.home import Home
from provision.core.image import Quality, judge
from provision.core.step import Context
from provision.download.model_files import wanted_files
from provision.environment.packages import site_packages
from provision.errors import ProvisionError
from provision.output.console import Console
from provision.output.result import Result
from provision.rehearsal.home_marker import recorded_overrides
from provision.rehearsal.world import rehearsal
from provision.system.local_machine import LocalMachine
from provision.system.machine import Machine
from tests.breakers.snapshot import mirror
from tests.support.engine_faults import faulty_repo
from tests.support.findings import finding_of
from tests.support.hints import said
from tests.support.paths import CHECKOUT

APART_S = 240
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2
BELONGINGS: Mapping[str, bytes] = {
    "ComfyUI/custom_nodes/mine.py": b"NODE_CLASS_MAPPINGS = {}\n",
    "ComfyUI/models/loras/mine.safetensors": b"not looked at by anybody",
    "ComfyUI/output/mine_00001_.png": b"a picture",
    "ComfyUI/user/default/workflows/mine.json": b"{}",
}
"""What the person made: no mending may lose it."""


class Keeper(Console):
    """A console that shows nothing."""

    def show(self, event: Event) -> None:
        """Nobody watches."""

    def line(self, text: str) -> None:
        """Nobody reads."""

    def data(self, text: str) -> None:
        """Nobody reads."""


@dataclass(frozen=True)
class Seen:
    """What the doctor said: its findings that are not OK, and whether all is well."""

    ok: bool
    findings: tuple[Finding, ...]
    errors: tuple[str, ...] = ()
    changed: bool = False

    @property
    def ids(self) -> set[str]:
        """All that was named, the good too."""
        return {finding.id for finding in self.findings}

    @property
    def troubles(self) -> dict[str, str]:
        """Everything that is not OK, but for the machine itself being no Mac; what follows from another fault apart."""
        return {
            finding.id: str(finding.verdict)
            for finding in self.findings
            if finding.verdict is not Verdict.OK and not finding.id.startswith(("hw-", "mem-"))
        }

    @property
    def faults(self) -> set[str]:
        """What stands above WARN and does not follow from another fault."""
        above = (Verdict.FIXABLE, Verdict.BLOCKED)
        return {each.id for each in self.findings if each.verdict in above and not each.caused_by}

    @property
    def following(self) -> set[str]:
        """What is said to follow from another fault."""
        return {each.id for each in self.findings if each.caused_by}

    def says(self) -> str:
        """For a test that fails."""
        lines = [f"{f.verdict} {f.id} ({f.caused_by}): {f.says}" for f in self.findings]
        return "\n".join([*(line for line in lines if not line.startswith("ok")), *self.errors])


def _seen(result: Result) -> Seen:
    steps = result.report.steps if result.report else ()
    findings = tuple(finding for step in steps for finding in step.findings)
    errors = tuple(f"{step.name}: {step.error}" for step in steps if step.error)
    return Seen(result.ok, findings, errors, any(step.changed for step in steps))


@dataclass
class Patient:
    """A home, what the next look is told (`environ`, `sets`, `backend`), and what ends with the case (`later`)."""

    home: Home
    copy: Path
    given: Mapping[str, str]
    environ: dict[str, str] = field(default_factory=dict)
    sets: list[str] = field(default_factory=list)
    backend: str = "auto"
    apart: dict[str, str] | None = None
    """Variables of a doctor that is a process of its own, without root's leave to pass over permissions."""
    later: ExitStack = field(default_factory=ExitStack)
    served_by: int = 0
    machine: Callable[[Mapping[str, str]], Machine] = LocalMachine
    """The machine that the next look is given."""

    # -- the doctor ----------------------------------------------------------------------------------------------

    def doctor(self, *, fix: bool = False, deep: bool = False) -> Seen:
        """`provision doctor`, or `provision doctor --fix --yes`."""
        if self.apart is not None:
            return apart(self, self.apart, fix=fix)
        console = Keeper(yes=fix)
        try:
            with self._session(console, fix=fix, deep=deep) as at:
                return _seen(examine(at, fix=fix))
        except ProvisionError as error:
            return Seen(False, (), (f"{error.message} {said(error.hint)}",))

    @contextmanager
    def _session(self, console: Keeper, *, fix: bool, deep: bool) -> Iterator[Session]:
        request = Request("doctor", self.home.root, overrides=list(self.sets), backend=self.backend, yes=fix, deep=deep)
        with console, open_session(request, console, self.machine({**self.given, **self.environ})) as at:
            yield at

    @property
    def ctx(self) -> Context:
        """What a step would be given now."""
        with self._session(Keeper(), fix=False, deep=False) as at:
            return at.ctx

    # -- places --------------------------------------------------------------------------------------------------

    @property
    def comfyui(self) -> Path:
        return self.home.comfyui

    @property
    def checkpoint(self) -> Path:
        (wanted,) = wanted_files(self.ctx)
        return wanted.place

    @property
    def site(self) -> Path:
        found = site_packages(self.home.venv)
        assert found is not None
        return found

    def aside(self) -> Path:
        """A new folder beside the home, which ends with the case."""
        return Path(self.later.enter_context(TemporaryDirectory(dir=self.home.root.parent)))

    def receipt(self, name: str, **changes: JSON) -> None:
        """A receipt that tells something else."""
        receipts = self.ctx.receipts
        receipts.write(name, **{**receipts.read(name), **changes})

    # -- the server ----------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """The server, ended as a person ends it."""
        stop_server(self.ctx)

    def start(self, fault: str = "") -> Context:
        """The server, started again, with a fault of the engine."""
        self.stop()
        self.environ["ENGINE_FAULT"] = fault
        ctx = self.ctx
        start_server(ctx)
        return ctx

    def log_at_start(self, line: str) -> None:
        """A line in ComfyUI's log, of the time when it came up; the server goes on writing behind it."""
        text = self.home.engine_log.read_text(encoding="utf-8")
        self._write_log(text.replace("Starting server", f"{line}\nStarting server"))

    def _write_log(self, text: str) -> None:
        with self.home.engine_log.open("r+", encoding="utf-8") as stream:
            stream.truncate()
            stream.write(text)

    def log(self, *lines: str) -> None:
        """More lines in ComfyUI's log."""
        with self.home.engine_log.open("a", encoding="utf-8") as stream:
            stream.write("".join(f"{line}\n" for line in lines))

    # -- health --------------------------------------------------------------------------------------------------

    def proven(self) -> bool:
        """Whether the first image is a picture, and the one that the receipt tells of."""
        import hashlib

        ctx = self.ctx
        png, asked = self.home.first_image.read_bytes(), ctx.manifest.first_image
        right = hashlib.sha256(png).hexdigest() == ctx.receipts.read("first_image").get("sha256")
        return right and judge(png, asked.width, asked.height).verdict is Quality.OK

    def lost(self) -> list[str]:
        """What the person made and is nowhere any more, neither at its place nor in another."""
        return [name for name, content in BELONGINGS.items() if not self._has(Path(name), content)]

    def _has(self, name: Path, content: bytes) -> bool:
        others = (path for path in self.home.root.rglob(name.name) if path.is_file())
        return any(path.read_bytes() == content for path in others)

    def restore(self) -> None:
        """Undo everything, and have the server up as it was."""
        self.later.close()
        self.environ.clear()
        self.sets.clear()
        self.backend, self.apart, self.machine = "auto", None, LocalMachine
        mirror(self.copy, self.home.root)
        _renew_identity(self.ctx)
        self._restore_server()

    def _restore_server(self) -> None:
        ctx = self.ctx
        record = read_record(ctx)
        if record is None or record.pid != self.served_by:
            stop_server(ctx)
            self.served_by = start_server(ctx).pid
            self.keep_server()
        else:
            shutil.copy2(self.copy / "server.json", record_path(ctx))
            self._write_log((self.copy / "comfyui.log").read_text(encoding="utf-8"))

    def keep_server(self) -> None:
        """Remember the server that runs: its record and what it has said."""
        shutil.copy2(self.home.state / "server.json", self.copy / "server.json")
        shutil.copy2(self.home.engine_log, self.copy / "comfyui.log")


def apart(at: Patient, environ: Mapping[str, str], *, fix: bool) -> Seen:
    """The doctor as a process of its own."""
    words = (
        sys.executable,
        "-m",
        "provision",
        "doctor",
        "--json",
        "--home",
        at.home.root,
        *(("--fix", "--yes") * fix),
        *(word for each in at.sets for word in ("--set", each)),
    )
    env = {"PYTHONPATH": str(CHECKOUT), **at.given, **at.environ, **environ}
    ran = subprocess.run(words, env=env, capture_output=True, text=True, timeout=APART_S, preexec_fn=_be_nobody_special)
    assert ran.stdout, ran.stderr
    report = json.loads(ran.stdout.splitlines()[-1])
    told = [finding for step in report["steps"] for finding in step["findings"]]
    findings = tuple(map(finding_of, told))
    errors = tuple(str(step["error"]) for step in report["steps"] if step.get("error"))
    return Seen(ran.returncode == 0, findings, errors, report["changed"])


def _be_nobody_special() -> None:
    """In a child of root: what it starts may not pass over permissions (capabilities(7), prctl(2))."""
    if os.geteuid() == 0 and sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


# -- making one --------------------------------------------------------------------------------------------------


@contextmanager
def patient(folder: Path, environ: Mapping[str, str], name: str = "a home") -> Iterator[Patient]:
    """A healthy home in `folder`, its world served until the end."""
    home, machine = Home(folder / name), LocalMachine(environ)
    console = Keeper(yes=True)
    with faulty_repo(), console, open_session(Request("all", home.root, rehearse=True), console, machine) as at:
        result = provision_all(at)
        assert result.ok, result.report
    for place, content in BELONGINGS.items():
        (home.root / place).parent.mkdir(parents=True, exist_ok=True)
        (home.root / place).write_bytes(content)
    with rehearsal(home, machine) as world:
        made = Patient(home, folder / "copy", {**environ, "HF_ENDPOINT": world.endpoint})
        assert recorded_overrides(home) == world.overrides
        ctx = made.ctx
        record = read_record(ctx)
        assert record is not None
        made.served_by = record.pid
        mirror(home.root, made.copy)
        made.keep_server()
        try:
            yield made
        finally:
            made.later.close()
            made.environ.clear()
            made.sets.clear()
            with suppress(ProvisionError):
                made.stop()


def _renew_identity(ctx: Context) -> None:
    """The receipt of the model names its inode, which a copy cannot keep."""
    (wanted,) = wanted_files(ctx)
    (receipt,) = ctx.receipts.folder.glob("model-*.json")
    told = json.loads(receipt.read_text(encoding="utf-8"))
    inode = wanted.place.stat().st_ino
    if told["inode"] != inode:
        times = receipt.stat()
        receipt.write_text(json.dumps({**told, "inode": inode}), encoding="utf-8")
        os.utime(receipt, ns=(times.st_atime_ns, times.st_mtime_ns))
