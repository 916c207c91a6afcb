"""A change of torch as a transaction: what is tried, what stays when nothing works, and being killed at any point.

uv, the environments, the index and the killed processes are real; torch stands in.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from provision.comfyui.server_process import server_argv
from provision.comfyui.switching import switch
from provision.core.home import Home
from provision.core.runner import run_step
from provision.core.step import Context
from provision.environment import generations, packages
from provision.rehearsal.torch_wheels import StandIn, write_wheels
from provision.steps.python_env.step import PYTHON_ENV
from provision.steps.torch.choice import Choice, candidates, first, resolve
from provision.steps.torch.download_size import set_cost
from provision.steps.torch.place import here
from provision.steps.torch.step import TORCH
from tests.support.fake_machine import FakeMachine
from tests.support.hub import Hub
from tests.support.paths import CHECKOUT
from tests.support.torch_world import TorchHome, serve

DAYS = ("20261121", "20261120", "20261119", "20261118", "20261117")
GOOD = dict.fromkeys(DAYS, "")
STABLE, KNOWN = "2.15.0", "2.11.0"


def nightly(day: str) -> str:
    return f"2.16.0.dev{day}"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """An index in which everything works."""
    with serve(tmp_path_factory.mktemp("good"), GOOD) as hub:
        yield hub


@pytest.fixture(scope="module")
def bare(good: Hub, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with an empty environment, made once."""
    home = Home(tmp_path_factory.mktemp("bare") / "home")
    home.prepare()
    assert run_step(PYTHON_ENV, TorchHome(good.url, home).ctx(), apply=True).error is None
    return home.root


@pytest.fixture(scope="module")
def proven(good: Hub, bare: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with stable torch, proven, and with a package and a file of the person's own in its environment."""
    root = tmp_path_factory.mktemp("proven") / "home"
    shutil.copytree(bare, root, symlinks=True)
    place = TorchHome(good.url, Home(root))
    assert place.run("stable").error is None
    site = packages.site_packages(place.home.venv)
    assert site is not None
    (site / "mine.py").write_text("MINE = 1\n", encoding="utf-8")
    engine(place, "")
    return root


def engine(place: TorchHome, refuses: str) -> None:
    """A checkout that imports torch, is seen to import, and does not like one version of it."""
    place.home.comfyui.mkdir(exist_ok=True)
    text = f"import sys, torch, mine\nsys.exit('no symbol' if torch.__version__ == {refuses!r} else 0)\n"
    (place.home.comfyui / "main.py").write_text(text, encoding="utf-8")
    (place.home.comfyui / "requirements.txt").write_text("torch\n", encoding="utf-8")
    from provision.steps.requirements import install as engine_packages

    ctx = place.ctx("stable")
    ctx.receipts.write("comfyui", ref="latest", commit="1" * 40)
    engine_packages.prove(ctx)


def copy_of(root: Path, tmp_path: Path) -> Home:
    shutil.copytree(root, tmp_path / "home", symlinks=True)
    return Home(tmp_path / "home")


@pytest.fixture
def place(good: Hub, proven: Path, tmp_path: Path) -> TorchHome:
    return TorchHome(good.url, copy_of(proven, tmp_path))


# -- the ladder -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("defects", "taken", "why"),
    [
        (("import",), nightly(DAYS[1]), "torch cannot be used; the probe ended with 1 (ImportError: dlopen"),
        (("lone", "alien", "slow"), nightly(DAYS[2]), ""),
    ],
)
def test_a_set_that_fails_its_proof_gives_way_to_the_next(
    bare: Path, tmp_path: Path, defects: tuple[str, ...], taken: str, why: str
) -> None:
    days = {day: defects[n] if n < len(defects) else "" for n, day in enumerate(DAYS)}
    with serve(tmp_path / "world", days) as hub:
        place = TorchHome(hub.url, copy_of(bare, tmp_path))
        report = place.run()
        assert report.error is None, report.error
        assert (place.torch, place.imported()) == (taken, taken)
        kept = str(place.ctx().receipts.read("torch")["why"])
        assert why in kept
        assert bool(why) == bool(kept)
        assert not place.run().changed, "what was taken in its place stands for what was asked for"
        assert why in report.findings[0].says


def test_after_three_days_before_come_stable_and_the_last_known_good(bare: Path, tmp_path: Path) -> None:
    days = dict.fromkeys(DAYS, "import")
    with serve(tmp_path / "world", days, stable_defect="nan") as hub:
        place = TorchHome(hub.url, copy_of(bare, tmp_path))
        assert place.run().error is None
        assert place.torch == KNOWN
        next_ = [note.split(",")[0] for note in place.notes if note.startswith("Next is")]
        expected = [*map(nightly, DAYS[1:4]), STABLE, KNOWN]
        assert next_ == [f"Next is torch {version}" for version in expected]
        receipt = place.ctx().receipts.read("torch")
        assert (receipt["wanted"], receipt["got"]) == ("nightly", "known good")
        assert str(receipt["why"]).count("torch cannot be used") == 4
        assert f"torch {STABLE} computes wrong" in str(receipt["why"])


def test_where_nothing_works_everything_is_said_and_what_is_here_stays(proven: Path, tmp_path: Path) -> None:
    newer, days = "2.15.1", dict.fromkeys(DAYS[:2], "nan")
    with serve(tmp_path / "world", days, good_defect="import") as hub:
        stable = tmp_path / "world" / "index" / "stable"
        write_wheels(stable / "torch", StandIn("torch", newer, defect="nan"))
        write_wheels(stable / "torchvision", StandIn("torchvision", "0.30.1", (f"torch=={newer}",)))
        place = TorchHome(hub.url, copy_of(proven, tmp_path))
        before = generations.active(place.home)
        error = place.run().error
        assert error is not None
        lines = error.message.splitlines()
        assert lines[0] == "No torch that was tried works here:"
        tried = [*(f"- torch {nightly(day)}" for day in DAYS[:2]), f"- torch {newer}", f"- torch {KNOWN}"]
        assert [line.split(":")[0] for line in lines[1:-1]] == tried
        assert lines[-1] == f"What is here stays in use: torch {STABLE}."
        assert (generations.active(place.home), place.imported(), place.envs) == (before, STABLE, [before.name])


def test_what_a_person_pins_is_taken_or_refused_and_nothing_in_its_place(proven: Path, tmp_path: Path) -> None:
    with serve(tmp_path / "world", {**GOOD, DAYS[0]: "nan", DAYS[2]: "lone"}) as hub:
        place = TorchHome(hub.url, copy_of(proven, tmp_path))
        error = place.run(f"nightly@{DAYS[0]}").error
        assert error is not None
        assert "computes wrong" in error.message
        assert error.message.endswith(f"What is here stays in use: torch {STABLE}.")
        error = place.run(f"nightly@{DAYS[2]}").error
        assert error is not None
        assert f"torchvision has no wheel of {DAYS[2]}" in error.message
        assert place.torch == STABLE
        assert place.run(f"nightly@{DAYS[3]}").error is None
        assert place.imported() == nightly(DAYS[3])


def test_a_torch_with_which_comfyui_does_not_import_is_not_put_in_use(place: TorchHome) -> None:
    engine(place, nightly(DAYS[0]))
    assert place.run().error is None
    assert place.torch == nightly(DAYS[1])
    why = str(place.ctx().receipts.read("torch")["why"])
    assert why == f"torch {nightly(DAYS[0])}: ComfyUI does not start: its own quick test ended with 1 (no symbol)"


def test_an_index_that_goes_away_costs_one_try_of_it(place: TorchHome, good: Hub) -> None:
    from tests.support.faults import Fault

    good.arm(Fault("/whl/nightly/torch/*.whl", "status", times=-1, value=403))
    try:
        report = place.run()
    finally:
        good.disarm()
    assert report.error is None, report.error
    assert (place.torch, len([note for note in place.notes if note.startswith("Installing")])) == (STABLE, 1)
    assert f"torch {STABLE}, torchvision 0.30.0 (stable) is here, and proven: it stays." in place.notes


# -- what plan says ---------------------------------------------------------------------------------------------


def test_the_plan_has_the_exact_versions_and_why_newer_days_are_passed_over(bare: Path, tmp_path: Path) -> None:
    with serve(tmp_path / "world", {**GOOD, DAYS[0]: "lone", DAYS[1]: "alien"}) as hub:
        place = TorchHome(hub.url, copy_of(bare, tmp_path))
        ctx = place.ctx(planning=True)
        (finding,) = run_step(TORCH, ctx, apply=False).findings
        assert f"It will be torch {nightly(DAYS[2])}, torchvision 0.31.0.dev{DAYS[2]} (nightly): " in finding.says
        assert f"torchvision has no wheel of {DAYS[0]}" in finding.says
        assert f"torchvision of {DAYS[1]} has no wheel for this Python and system" in finding.says
        assert place.envs == ["1"]


def test_what_is_asked_for_names_what_takes_whose_place() -> None:
    choice = Choice("stable", ("torch==2.15.0", "torchvision==0.29.2"), "")
    assert choice.changes({"torch": "2.11.0"}) == "torch 2.11.0 -> 2.15.0, torchvision 0.29.2 (stable)"


def test_on_linux_what_comes_from_the_package_index_has_cuda_with_it(context: Callable[..., Context]) -> None:
    real = context()
    linux, mac = (replace(real, machine=FakeMachine(system=system)) for system in ("Linux", "Darwin"))
    small, large = Choice("stable", (), "https://example.org/cpu"), Choice("stable", (), "")
    assert set_cost(linux, small).disk_bytes < 2 * 10**9 < 4 * 10**9 < set_cost(linux, large).disk_bytes
    assert set_cost(linux) == set_cost(linux, small), "as the manifest's index has it"
    assert set_cost(mac, large) == set_cost(mac)


def test_stable_is_resolved_to_exact_versions_before_anything_is_installed(place: TorchHome) -> None:
    ctx = place.ctx("stable")
    choice = next(candidates(ctx, here(ctx), audio=False))
    assert not choice.listed
    assert resolve(ctx, here(ctx), choice).pins == (f"torch=={STABLE}", "torchvision==0.30.0")
    assert first(place.ctx(), here(place.ctx()), audio=False).pins[0] == f"torch=={nightly(DAYS[0])}"


# -- the change itself ------------------------------------------------------------------------------------------


def test_what_else_a_person_has_in_the_environment_comes_along_and_shares_its_bytes(place: TorchHome) -> None:
    old = generations.active(place.home)
    assert place.run().error is None
    new = generations.active(place.home)
    mine = [next(env.glob("lib/python3*/site-packages/mine.py")) for env in (old, new)]
    assert mine[0].stat().st_ino == mine[1].stat().st_ino
    torch = [next(env.glob("lib/python3*/site-packages/torch/__init__.py")).read_text() for env in (old, new)]
    assert torch[0] != torch[1]


def test_what_other_steps_write_and_drop_meanwhile_does_not_disturb_it(place: TorchHome) -> None:
    for name in (".model-1.json.17.4711", "model-1.json"):  # renamed and dropped after the folder was listed
        (place.home.receipts / name).symlink_to("gone")
    assert place.run().error is None
    kept = generations.active(place.home) / "set" / "receipts"
    assert (kept / "torch.json").is_file()
    assert not any("model" in path.name for path in kept.iterdir())


def test_the_parts_of_the_torch_before_go_with_it(bare: Path, tmp_path: Path) -> None:
    """Two packages with one file, as CUDA's are: whichever is installed last has it."""
    with serve(tmp_path / "world", {}) as hub:
        stable = tmp_path / "world" / "index" / "stable"
        for torch, part, version in (("2.12.0", "nvidia_nccl_cu12", "12"), ("2.13.0", "nvidia_nccl_cu13", "13")):
            write_wheels(stable / "torch", StandIn("torch", torch, (part,)))
            write_wheels(stable / "torchvision", StandIn("torchvision", f"0.{version}", (f"torch=={torch}",)))
            write_wheels(stable / part.replace("_", "-"), StandIn(part, version, module="nccl"))
        place = TorchHome(hub.url, copy_of(bare, tmp_path))
        for torch, version in (("2.13.0", "13"), ("2.12.0", "12"), ("2.13.0", "13")):
            assert place.run(torch).error is None
            ran = place.ctx().machine.run([place.home.python, "-c", "import nccl; print(nccl.__version__)"])
            assert ran.out.strip() == version
            assert [name for name in packages.installed_versions(place.home.venv) if name.startswith("nvidia")] == [
                f"nvidia-nccl-cu{version}"
            ]


def test_as_many_are_kept_as_the_manifest_says_and_each_change_is_one_further(place: TorchHome) -> None:
    for keep, channel, count in ((3, "nightly", 2), (3, "stable", 3), (3, "nightly", 3), (2, "stable", 2)):
        place.sets = (f"keep={keep}",)
        assert place.run(channel).error is None
        assert len(place.envs) == count
    assert generations.before(place.home) == place.home.envs / place.envs[0]


def test_any_that_is_kept_can_be_gone_back_to(place: TorchHome) -> None:
    first = generations.active(place.home)
    for channel in ("nightly", "stable"):
        assert place.run(channel).error is None
    numbers = [each.number for each in generations.kept(place.home)]
    assert numbers == sorted(numbers, reverse=True)
    assert len(numbers) == 3
    switch(place.home, first, place.ctx().machine.timestamp())
    assert (generations.active(place.home), place.imported()) == (first, STABLE)
    assert [each.number for each in generations.kept(place.home)] == numbers
    assert not place.run("stable").changed


def test_a_program_that_runs_keeps_its_files_until_it_ends(place: TorchHome) -> None:
    code = "import sys; print(1, flush=True); sys.stdin.readline(); import torch; print(torch.__version__)"
    argv = [server_argv(place.ctx("stable"))[0], "-c", code]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        running.stdout.readline()
        assert place.run().error is None
        said, _ = running.communicate("go\n", timeout=30)
    assert (said.strip(), place.imported()) == (STABLE, nightly(DAYS[0]))
    assert server_argv(place.ctx())[0] != argv[0]


@pytest.mark.parametrize("at_once", [True, False])
def test_a_home_from_before_moves_in_without_doing_the_work_again(
    place: TorchHome, monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    home, real = place.home, generations.active(place.home)
    home.venv.unlink()
    real.rename(home.venv)
    home.envs.rmdir()
    assert not place.run("stable").changed
    if not at_once:
        monkeypatch.setattr(generations, "_exchange", lambda one, other: False)
    assert place.run().error is None
    assert (home.venv.is_symlink(), len(place.envs)) == (True, 2)
    place.go_back()
    assert (place.imported(), place.run("stable").changed) == (STABLE, False)


def test_on_a_mac_the_copy_is_a_clone(context: Callable[..., Context], tmp_path: Path) -> None:
    machine = FakeMachine({f"/bin/cp -cpR {tmp_path / 'a'} {tmp_path / 'b'}": ""})
    generations._clone(context(machine=machine), tmp_path / "a", tmp_path / "b")
    assert machine.ran


# -- going back -------------------------------------------------------------------------------------------------


def test_going_back_needs_no_network_and_takes_receipts_lock_and_picture_along(place: TorchHome) -> None:
    home, receipts = place.home, place.ctx().receipts
    receipts.write("first_image", torch=STABLE)
    home.first_image.write_bytes(b"stable")
    home.lock_file.write_text("stable", encoding="utf-8")
    had = {name: receipts.read(name) for name in ("torch", "requirements", "first_image")}
    assert generations.before(home) is None
    assert place.run().error is None
    receipts.write("first_image", torch="nightly")
    home.first_image.write_bytes(b"nightly")
    home.lock_file.unlink()
    nobody = TorchHome("http://127.0.0.1:9", home)
    nobody.go_back()
    assert (place.imported(), home.first_image.read_bytes(), home.lock_file.read_text()) == (
        STABLE,
        b"stable",
        "stable",
    )
    assert {name: receipts.read(name) for name in had} == had
    assert not nobody.run("stable").changed
    assert "2.16.0" in generations.before_says(home)
    nobody.go_back()
    assert (place.imported(), home.first_image.read_bytes(), home.lock_file.exists()) == (
        nightly(DAYS[0]),
        b"nightly",
        False,
    )
    assert receipts.read("first_image") == {"torch": "nightly"}


def test_a_set_that_never_worked_is_not_gone_back_to(place: TorchHome) -> None:
    first = generations.active(place.home)
    assert place.run().error is None
    site = packages.site_packages(place.home.venv)
    assert site is not None
    shutil.rmtree(site / "torchvision")
    shutil.rmtree(next(site.glob("torchvision-*.dist-info")))
    assert place.run().error is None
    assert generations.before(place.home) == first


# -- killed -----------------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
from provision.environment import generations, packages
from provision.core.home import Home
from provision.steps.requirements import install as engine_packages
from provision.steps.torch import install as torch_set
from tests.support.fake_machine import FakeMachine
from tests.support.torch_world import TorchHome

url, root, place, when = sys.argv[1:]
module, name = {"torch_set": torch_set, "environments": generations, "packages": packages,
                "engine_packages": engine_packages}[place.split(".")[0]], place.split(".")[1]
real = getattr(module, name)

def end(*words, **named):
    if when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    real(*words, **named)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(module, name, end)
if place == "environments._new_link":
    generations._exchange = lambda one, other: False
print(TorchHome(url, Home(Path(root))).run().error)
"""
POINTS = [
    ("environments._clone", "before"), ("environments._clone", "after"), ("packages.pip_install", "after"),
    ("torch_set.prove", "before"), ("torch_set.prove", "after"), ("engine_packages.complete", "after"),
    ("environments.leave", "after"), ("environments.enter", "before"), ("environments.enter", "after"),
    ("environments.restore", "after"),
]  # fmt: skip


def killed(place: TorchHome, point: str, when: str) -> None:
    argv = [sys.executable, "-c", KILLED, place.url, str(place.home.root), point, when]
    ran = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == -signal.SIGKILL, (ran.stdout, ran.stderr)


def assert_whole(place: TorchHome, channel: str = "nightly") -> None:
    """After a kill one environment works, and the next run ends right and leaves nothing behind."""
    assert place.imported() in (STABLE, nightly(DAYS[0]))
    report = place.run(channel)
    assert report.error is None, report.error
    assert place.imported() == nightly(DAYS[0])
    assert len(place.envs) == 2
    assert generations.before(place.home) is not None
    place.go_back()
    assert place.imported() == STABLE


@pytest.mark.parametrize(("point", "when"), POINTS)
def test_killed_in_a_change(place: TorchHome, point: str, when: str) -> None:
    killed(place, point, when)
    assert_whole(place)


@pytest.mark.parametrize(("point", "when"), [("environments._exchange", "before"), ("environments._exchange", "after"),
                                             ("environments._new_link", "after")])  # fmt: skip
def test_killed_while_a_home_from_before_moves_in(place: TorchHome, point: str, when: str) -> None:
    real = generations.active(place.home)
    place.home.venv.unlink()
    real.rename(place.home.venv)
    place.home.envs.rmdir()
    killed(place, point, when)
    assert_whole(place)


def test_between_two_renames_the_next_command_ends_what_was_begun(place: TorchHome) -> None:
    """Where names cannot be exchanged at once there is a moment without `venv`."""
    generations._new_link(place.home, generations.active(place.home))
    place.home.venv.unlink()
    generations.recover(place.home)
    assert place.imported() == STABLE
    assert not generations._link_place(place.home).is_symlink()
