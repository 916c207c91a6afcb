"""torch: chosen, installed, proven, and left alone; uv, the environments and the index are real, torch stands in."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from provision.core.events import Event, Note
from provision.core.finding import Finding, Verdict
from provision.core.home import Home
from provision.core.manifest import load_manifest
from provision.core.patience import Patience
from provision.core.runner import run_step
from provision.core.step import Context, Options, StepReport
from provision.environment import packages
from provision.environment.torch_probe_result import parse_torch_probe
from provision.errors import PackageError
from provision.rehearsal.torch_wheels import StandIn, make_wheels, write_wheels
from provision.steps.python_env.step import PYTHON_ENV
from provision.steps.torch.caveats import check_reservations
from provision.steps.torch.choice import Choice, asks_for_audio, candidates, first
from provision.steps.torch.install import install_torch_set
from provision.steps.torch.place import here
from provision.steps.torch.proof import PROBE, session
from provision.steps.torch.step import TORCH
from provision.system.local_machine import LocalMachine
from provision.system.machine import Machine
from tests.support.fake_machine import FakeMachine
from tests.support.faults import Fault
from tests.support.hub import Hub

NIGHTLY = {"torch": "2.16.0.dev20261120", "torchvision": "0.31.0.dev20261120"}
STABLE = {"torch": "2.15.0", "torchvision": "0.30.0"}
OLDER = {"torch": "2.11.0", "torchvision": "0.26.0"}
BOUND = {"torch": "2.10.0", "torchvision": "0.25.0", "torchaudio": "2.10.0"}
AUDIO = "2.11.0"
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def fill(root: Path) -> None:
    """The rehearsal's index, older sets, and torchaudio as it is: bound to its torch up to 2.10, and silent from 2.11.

    In `spare` lies a torchvision of the stable ABI.
    """
    make_wheels(root)
    stable = root / "index" / "stable"
    for name, version in [*OLDER.items(), *BOUND.items(), ("torchaudio", AUDIO)]:
        bound = name == "torchvision" or version == BOUND["torchaudio"]
        needs = (f"torch=={OLDER['torch'] if version == OLDER['torchvision'] else BOUND['torch']}",) if bound else ()
        write_wheels(stable / name, StandIn(name, version, needs if name != "torch" else ()))
    (root / "index" / "none").mkdir()
    write_wheels(root / "index" / "spare" / "torchvision", StandIn("torchvision", "0.29.2", ("torch>=2.14.0",)))


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    root = tmp_path_factory.mktemp("world")
    fill(root)
    with Hub(root) as hub:
        yield hub


@pytest.fixture(scope="module")
def bare(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment to copy: made once."""
    home = Home(tmp_path_factory.mktemp("bare"))
    home.prepare()
    ctx = Context(machine(hub, home.root), load_manifest("sdxl-turbo", wishes(hub)), home)
    assert run_step(PYTHON_ENV, ctx, apply=True).error is None
    return home.venv


@pytest.fixture(autouse=True)
def _well_behaved(hub: Hub) -> Iterator[None]:
    yield
    hub.disarm()


def machine(hub: Hub, person: Path, **more: str) -> Machine:
    path = os.pathsep.join([str(Path(sys.base_prefix) / "bin"), "/usr/bin", "/bin"])
    # The only index is the hub's: what it lacks cannot be had.
    return LocalMachine({"HOME": str(person), "PATH": path, "UV_DEFAULT_INDEX": f"{hub.url}/whl/none", **more})


def wishes(hub: Hub, *more: str) -> list[str]:
    nightly, stable = f"{hub.url}/whl/nightly", f"{hub.url}/whl/stable"
    return [f"python.version={HERE}", "python.max=3.14", f"torch.nightly_index={nightly}",
            f"torch.stable_index={stable}", *more]  # fmt: skip


class Place:
    """A home with an environment, and contexts in it."""

    def __init__(self, hub: Hub, home: Home, events: list[Event]) -> None:
        self.hub, self.home, self.events = hub, home, events

    def ctx(self, *sets: str, deep: bool = False) -> Context:
        manifest = load_manifest("sdxl-turbo", wishes(self.hub, *sets))
        impatient = Patience().at_most(0)
        return Context(
            machine(self.hub, self.home.root), manifest, self.home, Options(deep=deep), self.events.append,
            patience=impatient,
        )  # fmt: skip

    def run(self, *sets: str, deep: bool = False, apply: bool = True) -> StepReport:
        return run_step(TORCH, self.ctx(*sets, deep=deep), apply=apply)

    def seen(self, *sets: str, deep: bool = False) -> list[Finding]:
        return list(TORCH.check(self.ctx(*sets, deep=deep)))

    @property
    def installed(self) -> dict[str, str]:
        return packages.installed_versions(self.home.venv)

    @property
    def notes(self) -> str:
        return "\n".join(event.says for event in self.events if isinstance(event, Note))

    def file(self, name: str) -> Path:
        found = packages.site_packages(self.home.venv)
        assert found is not None
        return found / name


@pytest.fixture
def place(hub: Hub, bare: Path, home: Home, events: list[Event]) -> Place:
    shutil.copytree(bare, home.venv, symlinks=True)
    return Place(hub, home, events)


def test_nothing_installed_is_fixable_with_its_bytes(place: Place) -> None:
    (finding,) = place.seen()
    assert (finding.id, finding.verdict) == ("torch-missing", Verdict.FIXABLE)
    assert finding.cost.download_bytes > 10**8
    assert finding.cost.disk_bytes > finding.cost.download_bytes


def test_the_newest_whole_day_is_installed_and_proven_once(place: Place) -> None:
    report = place.run()
    assert report.error is None
    assert place.installed == NIGHTLY
    assert "20261121" in place.notes
    before = place.file("torch/__init__.py").stat()
    again = place.run()
    after = place.file("torch/__init__.py").stat()
    assert (again.changed, after.st_ino, after.st_mtime_ns) == (False, before.st_ino, before.st_mtime_ns)
    assert "proven on" in again.findings[0].says
    assert place.ctx().receipts.read("torch")["device"] == "cpu" or sys.platform == "darwin"


@pytest.mark.parametrize("why", ["refused", "unreachable", "no torchvision"])
def test_without_a_nightly_set_stable_is_taken_and_the_reason_kept(place: Place, why: str) -> None:
    index = f"{place.hub.url}/whl/nightly"
    if why == "refused":
        place.hub.arm(Fault("/whl/nightly/*", "status", times=-1, value=503))
    elif why == "unreachable":
        index = "http://127.0.0.1:9/whl"
    else:
        place.hub.arm(Fault("/whl/nightly/torchvision/", "status", times=-1, value=404))
    wish = f"torch.nightly_index={index}"
    report = place.run(wish)
    assert report.error is None, report.error
    assert place.installed == STABLE
    receipt = place.ctx().receipts.read("torch")
    assert (receipt["wanted"], receipt["got"]) == ("nightly", "stable")
    place.hub.disarm()
    again = place.run(wish)
    assert (again.changed, place.installed) == (False, STABLE)
    assert "nightly was asked for" in again.findings[0].says


def test_a_change_of_channel_really_changes_torch(place: Place) -> None:
    place.run()
    assert [finding.id for finding in place.seen("torch.channel=stable")] == ["torch-channel"]
    assert place.run("torch.channel=stable").error is None
    assert place.installed == STABLE
    assert place.run().error is None
    assert place.installed == NIGHTLY


def test_an_exact_version_brings_its_own_torchvision(place: Place) -> None:
    assert place.run("torch.channel=2.11.0").error is None
    assert place.installed == OLDER
    assert not place.run("torch.channel=2.11.0").changed


def test_an_exact_nightly_comes_from_the_nightly_index(place: Place) -> None:
    assert place.run(f"torch.channel={NIGHTLY['torch']}").error is None
    assert place.installed == NIGHTLY
    with pytest.raises(PackageError):
        planned(place.ctx("torch.channel=2.16.0.dev20261121"))


def test_a_version_that_nobody_has_is_an_error(place: Place) -> None:
    report = place.run("torch.channel=1.0.0")
    assert report.error is not None
    assert report.error.code == "packages"


def planned(ctx: Context, *, audio: bool = False) -> Choice:
    return first(ctx, here(ctx), audio=audio)


def test_torchaudio_comes_with_every_torch_since_its_own(place: Place) -> None:
    install_torch_set(place.ctx("torch.channel=stable"), audio=True)
    assert place.installed == {**STABLE, "torchaudio": AUDIO}
    assert not place.run("torch.channel=stable").changed


def test_a_torch_before_it_gets_the_torchaudio_that_is_bound_to_it(place: Place) -> None:
    """Metadata of 2.11.0 is silent, so that a resolver alone would take it."""
    pins = planned(place.ctx("torch.channel=2.10.0"), audio=True).pins
    assert pins == tuple(f"{name}=={version}" for name, version in BOUND.items())
    assert planned(place.ctx("torch.channel=2.11.0"), audio=True).pins[2] == "torchaudio==2.11.0"


def test_a_nightly_takes_releases_that_serve_it_where_the_day_has_none(place: Place) -> None:
    """Neither a torchvision of that day nor any nightly of torchaudio is there."""
    spare = f"{place.hub.url}/whl/spare"
    ctx = place.ctx()
    ctx = replace(ctx, machine=machine(place.hub, place.home.root, UV_DEFAULT_INDEX=spare))
    assert planned(ctx).pins == ("torch==2.16.0.dev20261121", "torchvision==0.29.2")
    run_step(TORCH, ctx, apply=True)
    assert place.installed == {"torch": "2.16.0.dev20261121", "torchvision": "0.29.2"}
    assert [finding.id for finding in place.seen()] == ["torch-ready"]
    stable = f"{place.hub.url}/whl/stable"  # whose torchvision is bound to another torch
    ctx = replace(ctx, machine=machine(place.hub, place.home.root, UV_DEFAULT_INDEX=stable))
    assert planned(ctx, audio=True).pins == (*(f"{name}=={version}" for name, version in NIGHTLY.items()),
                                             f"torchaudio=={AUDIO}")  # fmt: skip


def test_a_torchaudio_that_cannot_be_imported_rules_a_set_out(place: Place, tmp_path: Path) -> None:
    """As on CUDA, whose minor number torchaudio compares: only its own torch is left."""
    root = tmp_path / "world"
    fill(root)
    write_wheels(root / "index" / "stable" / "torchaudio", StandIn("torchaudio", AUDIO, defect="own"))
    write_wheels(root / "index" / "none" / "torchaudio", StandIn("torchaudio", AUDIO, defect="own"))
    with Hub(root) as hub:
        strict = Place(hub, place.home, place.events)
        good = ("torch.known_good.torch=2.15.0", "torch.known_good.torchvision=0.30.0")
        install_torch_set(strict.ctx("torch.channel=stable", *good), audio=True)
        assert strict.installed == {**OLDER, "torchaudio": AUDIO}
        assert "torch 2.15.0: torchaudio cannot be imported beside torch 2.15.0" in strict.notes
        install_torch_set(strict.ctx("torch.channel=2.15.0"), audio=True)  # named: taken all the same, and said
        assert strict.installed == {**STABLE, "torchaudio": AUDIO}
        (said,) = check_reservations(strict.ctx("torch.channel=2.15.0"))
        assert (said.id, said.verdict) == ("ta-mismatch", Verdict.WARN)
        assert "is of torch 2.11.0" in said.says


def test_the_requirements_decide_about_torchaudio(place: Place) -> None:
    assert not asks_for_audio(place.ctx())
    place.home.comfyui.mkdir()
    (place.home.comfyui / "requirements.txt").write_text("torch\ntorchaudio\nnumpy\n")
    assert asks_for_audio(place.ctx())


def test_torch_waits_for_comfyui_which_says_whether_torchaudio_is_among_its_set() -> None:
    assert "comfyui" in TORCH.needs


def test_torchaudio_of_another_torch_is_removed_when_nobody_asks(place: Place) -> None:
    place.run()
    info = place.file("torchaudio-2.10.0.dist-info")
    info.mkdir()
    head = "Metadata-Version: 2.1\nName: torchaudio\nVersion: 2.10.0\n"
    (info / "METADATA").write_text(f"{head}Requires-Dist: torch==2.10.0\n")
    (info / "RECORD").write_text("torchaudio-2.10.0.dist-info/METADATA,,\ntorchaudio-2.10.0.dist-info/RECORD,,\n")
    assert place.seen()[0].id == "ta-mismatch"
    assert place.run().error is None
    assert place.installed == NIGHTLY


def test_a_lone_or_alien_torchvision_is_mended(place: Place) -> None:
    place.run("torch.channel=stable")
    info = place.file("torchvision-0.30.0.dist-info")
    metadata = (info / "METADATA").read_text()
    (info / "METADATA").unlink()
    (info / "METADATA").write_text(metadata.replace("2.15.0", "2.13.0"))
    assert place.seen("torch.channel=stable")[0].id == "tv-mismatch"
    shutil.rmtree(info)
    shutil.rmtree(place.file("torchvision"))
    assert place.seen("torch.channel=stable")[0].id == "tv-mismatch"
    assert place.run("torch.channel=stable").error is None
    assert place.installed == STABLE


def test_an_installation_that_was_cut_off_is_done_again(place: Place) -> None:
    place.run()
    place.file("torch/__init__.py").unlink()
    place.ctx().receipts.drop("torch")
    report = place.run()
    assert report.error is None, report.error
    assert place.file("torch/__init__.py").is_file()
    assert "installed again" in place.notes


def test_a_lost_receipt_costs_a_probe_and_no_installation(place: Place) -> None:
    place.run()
    before = place.file("torch/__init__.py").stat().st_ino
    place.ctx().receipts.drop("torch")
    assert place.seen()[0].id == "torch-unproven"
    assert place.run().error is None
    assert place.file("torch/__init__.py").stat().st_ino == before
    assert place.ctx().receipts.read("torch")["got"] == "nightly"


def test_a_nightly_of_unknown_origin_does_not_stand_for_stable(place: Place) -> None:
    place.run()
    place.ctx().receipts.drop("torch")
    assert place.seen("torch.channel=stable")[0].id == "torch-channel"


def test_deep_computes_again(place: Place) -> None:
    place.run()
    assert "just now" in place.seen(deep=True)[0].says
    place.file("torch/__init__.py").unlink()
    assert place.seen(deep=True)[0].verdict is Verdict.FIXABLE
    assert place.run(deep=True).error is None


def test_the_probe_prints_what_its_parser_reads(place: Place) -> None:
    place.run()
    ran = LocalMachine().run([place.home.python, "-I", PROBE])
    probe = parse_torch_probe("a warning\n" + ran.out)
    assert not probe.failed
    assert 0 < probe.worst < 0.5
    assert len(probe.checks) >= 4
    for text in ("", "Killed", '{"torch": "2.15.0"}'):
        with pytest.raises(ValueError, match="probe"):
            parse_torch_probe(text)


def test_a_torchaudio_that_does_not_load_does_not_condemn_torch(place: Place) -> None:
    place.run()
    place.file("torchaudio").mkdir()
    place.file("torchaudio/__init__.py").write_text("raise OSError('Symbol not found: _torch_library_impl')\n")
    probe = parse_torch_probe(LocalMachine().run([place.home.python, "-I", PROBE]).out)
    assert (probe.torchaudio, probe.failed) == (None, ())
    assert probe.audio_fault == "Symbol not found: _torch_library_impl"


def test_a_torchvision_that_does_not_load_is_no_proof(place: Place) -> None:
    place.run()
    place.file("torchvision/__init__.py").unlink()
    place.file("torchvision/__init__.py").write_text("raise ImportError('libjpeg')\n")
    assert not LocalMachine().run([place.home.python, "-I", PROBE]).ok


# -- a Mac ------------------------------------------------------------------------------------------------------

Make = Callable[..., Context]


def mac(context: Make, home: Home, receipt: dict[str, object], **environ: str) -> list[Finding]:
    """The findings on a Mac on which a stand-in is recorded as installed."""
    site = home.venv / "lib" / "python3.12" / "site-packages"
    for name, version in STABLE.items():
        info = site / f"{name}-{version}.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "METADATA").write_text(f"Name: {name}\n")
    said = "ProductName:\tmacOS\nProductVersion:\t15.5\nBuildVersion:\t24F74\n"
    ctx = context("torch.channel=stable", machine=FakeMachine({"/usr/bin/sw_vers": said}, environ=environ))
    facts: dict[str, object] = {
        "versions": STABLE, "python": "python3.12", "os": "macOS 15.5", "session": session(ctx), "wanted": "stable",
        "got": "stable", "torch": "2.15.0", "device": "mps", "when": "2026-11-22T10:00:00", "mps_built": True,
        "mps_available": True,
    }  # fmt: skip
    ctx.receipts.write("torch", **{**facts, **receipt})
    return list(TORCH.check(ctx))


def test_on_a_mac_the_proof_holds_until_something_changes(context: Make, home: Home) -> None:
    assert [finding.id for finding in mac(context, home, {})] == ["torch-ready"]
    changes: tuple[dict[str, object], ...] = (
        {"os": "macOS 15.4"},
        {"python": "python3.11"},
        {"versions": {"torch": "2.14.1"}},
    )
    for change in changes:
        assert [finding.id for finding in mac(context, home, change)] == ["torch-unproven"]


def test_a_hidden_gpu_is_said_and_looked_for_again_from_elsewhere(context: Make, home: Home) -> None:
    hidden: dict[str, object] = {"device": "cpu", "mps_available": False}
    found = mac(context, home, {**hidden, "session": "ssh"}, SSH_CONNECTION="10.0.0.1 1 10.0.0.2 22")
    assert [(finding.id, finding.verdict) for finding in found] == [
        ("torch-ready", Verdict.OK), ("gpu-hidden", Verdict.WARN),
    ]  # fmt: skip
    assert "SSH" in found[1].says
    found = mac(context, home, {**hidden, "session": "ssh"}, TERM_PROGRAM="Apple_Terminal")
    assert [finding.id for finding in found] == ["torch-unproven"]


def test_an_nvidia_gpu_is_not_given_a_torch_for_the_cpu(context: Make, events: list[Event]) -> None:
    linux = FakeMachine(system="Linux", arch="x86_64", programs={"nvidia-smi": "/usr/bin/nvidia-smi"})
    ctx = context(machine=linux)
    choice = next(candidates(ctx, here(ctx), audio=False))
    assert (choice.channel, choice.index, choice.pins) == ("stable", "", ("torch", "torchvision>=0.5"))
    assert "NVIDIA" in choice.why
