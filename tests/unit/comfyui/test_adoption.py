"""Which install a home goes by: words, homes, what is remembered, and what the steps make of it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from provision.comfyui.adoption import (
    OWN,
    Asked,
    as_path,
    home_for,
    may_be_run,
    overrides_for,
    recorded,
    remember,
    words_for,
)
from provision.comfyui.server_process import client_of, our_process, server_argv, start_server, stop_server
from provision.comfyui.server_status import server_status
from provision.comfyui.temporary_server import brief_server
from provision.core.finding import Finding, Verdict
from provision.core.home import Adopted, Home
from provision.core.moved_aside import make_way
from provision.core.step import Context, Options
from provision.download.model_files import wanted_files
from provision.errors import HomeError, ProvisionError, StartOver, UsageError
from provision.output.hints import Invocation
from provision.rehearsal.home_marker import is_miniature
from provision.steps.first_image.step import make_image
from provision.steps.registry import step_named
from provision.steps.requirements.install import run_quick_test
from provision.steps.server.step import check_server
from provision.system.local_machine import LocalMachine, free_port
from tests.support.engine_home import CHECKPOINT, EngineHome, engine_home, write_checkpoint
from tests.support.foreign_install import EDIT, clone, conda, copy, desktop, install_record, tree, unzipped, venv
from tests.support.hints import said

MACHINE = LocalMachine({"PATH": "/nowhere", "HOME": "/nowhere"})


def asked(
    comfyui: Path | str | None = None, python: str | None = None, home: Path | None = None, command: str = "all"
) -> Asked:
    return Asked(command, None if comfyui is None else str(comfyui), python, home)


# -- words --------------------------------------------------------------------------------------------------------


def test_a_path_and_a_revision_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = unzipped(tmp_path / "my" / "ComfyUI")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for text in (str(code), "my/ComfyUI", "./my/ComfyUI", "~/my/ComfyUI", "my/../my/ComfyUI"):
        assert as_path(text) == code, text
    assert as_path("/is/not/there") == Path("/is/not/there")
    for text in ("v0.38.0", "master", "feature/x", "latest", None):
        assert as_path(text) is None, text
    monkeypatch.chdir(tmp_path / "my")
    with pytest.raises(UsageError) as refused:
        as_path("ComfyUI")
    assert said(refused.value.hint) == "If you mean the folder: --comfyui ./ComfyUI"
    with pytest.raises(UsageError):
        as_path("~nobody-of-that-name/x")


# -- homes --------------------------------------------------------------------------------------------------------


def test_the_usual_home_where_it_is_free_else_one_beside_it(tmp_path: Path) -> None:
    usual, one, other = tmp_path / "home", unzipped(tmp_path / "ComfyUI"), unzipped(tmp_path / "b" / "ComfyUI")
    home = home_for(usual, asked(one), MACHINE)
    assert (home.root, home.comfyui, home.models, home.venv) == (usual, one, one / "models", usual / "venv")
    assert not usual.exists()
    assert words_for(home) == ("--comfyui", str(one))
    remember(home, "now")
    assert recorded(usual) == home.adopted
    assert words_for(home) == ("--home", str(usual))
    assert home_for(usual, asked(), MACHINE) == home_for(usual, asked(one), MACHINE) == home
    beside = home_for(usual, asked(other), MACHINE)
    assert beside.root == tmp_path / "home-ComfyUI"
    remember(beside, "now")
    third = unzipped(tmp_path / "c" / "ComfyUI")
    assert home_for(usual, asked(third), MACHINE).root == tmp_path / "home-ComfyUI-2"
    assert home_for(usual, asked(other), MACHINE).root == beside.root


def test_a_home_that_has_its_own_is_not_given_another(tmp_path: Path) -> None:
    usual, code = tmp_path / "home", unzipped(tmp_path / "ComfyUI")
    (usual / "ComfyUI").mkdir(parents=True)
    assert home_for(usual, asked(code), MACHINE).root == tmp_path / "home-ComfyUI"
    with pytest.raises(HomeError, match="has its own ComfyUI"):
        home_for(usual, asked(code, home=usual), MACHINE)


def test_an_install_that_was_moved_may_be_named_anew(tmp_path: Path) -> None:
    usual, code = tmp_path / "home", unzipped(tmp_path / "ComfyUI")
    remember(home_for(usual, asked(code, home=usual), MACHINE), "now")
    code.rename(tmp_path / "moved")
    gone = home_for(usual, asked(), MACHINE)
    assert gone.comfyui == code
    assert home_for(usual, asked(tmp_path / "moved", home=usual), MACHINE).comfyui == tmp_path / "moved"


def test_home_at_the_folder_of_the_desktop_app(tmp_path: Path) -> None:
    for name in ("models", "user", "custom_nodes"):
        (tmp_path / name).mkdir()
    with pytest.raises(UsageError, match="not made by provision"):
        home_for(tmp_path, asked(), MACHINE)


@pytest.mark.parametrize("where", [".", "ComfyUI"])
def test_home_at_somebody_elses_install_says_which_flag(tmp_path: Path, where: str) -> None:
    code = unzipped(tmp_path / "ComfyUI")
    for command in ("doctor", "all", "status"):
        with pytest.raises(UsageError, match="not made by provision") as refused:
            home_for(tmp_path / where, asked(command=command), MACHINE)
        named = "all" if command == "all" else "doctor"
        assert said(refused.value.hint) == f"provision {named} --comfyui {code}"
    (tmp_path / where / "state").mkdir()  # a home of ours
    assert home_for(tmp_path / where, asked(), MACHINE).adopted is None


def test_our_own_is_not_adopted(tmp_path: Path) -> None:
    code = unzipped(tmp_path / "home" / "ComfyUI")
    (tmp_path / "home" / "state" / "receipts").mkdir(parents=True)
    with pytest.raises(UsageError) as refused:
        home_for(tmp_path / "usual", asked(code), MACHINE)
    assert said(refused.value.hint) == f"provision all --home {tmp_path / 'home'}"


def test_a_home_never_lies_in_the_install(tmp_path: Path) -> None:
    code = unzipped(tmp_path / "programs" / "mine")
    for root in (code / "home", tmp_path):
        with pytest.raises(ProvisionError, match="cannot be inside each other"):
            home_for(root, asked(code, home=root), MACHINE)


def test_a_home_that_adopted_takes_no_revision(tmp_path: Path) -> None:
    usual, code = tmp_path / "home", unzipped(tmp_path / "ComfyUI")
    home = home_for(usual, asked(code), MACHINE)
    remember(home, "now")
    with pytest.raises(UsageError, match="whose revision is never changed"):
        home_for(usual, asked("v0.38.0"), MACHINE)
    with pytest.raises(UsageError, match="whose revision is never changed"):
        overrides_for(home, ["comfyui.ref=v0.38.0"], MACHINE)


def test_its_python_is_chosen_by_the_person(tmp_path: Path) -> None:
    usual, code = tmp_path / "home", unzipped(tmp_path / "ComfyUI")
    inside, other = venv(code / "venv"), venv(tmp_path / "other")
    assert home_for(usual, asked(code), MACHINE).venv == inside
    assert home_for(usual, asked(code, str(other)), MACHINE).venv == other
    own = home_for(usual, asked(code, OWN), MACHINE)
    assert (own.venv, own.venv_of_another) == (usual / "venv", None)
    remember(own, "now")
    assert home_for(usual, asked(), MACHINE) == own
    assert home_for(usual, asked(python=str(other)), MACHINE).venv == other
    own.own_venv.mkdir()
    with pytest.raises(UsageError, match="has its own environment"):
        home_for(usual, asked(python=str(other)), MACHINE)
    with pytest.raises(UsageError, match="a ComfyUI not made by provision"):
        home_for(tmp_path / "plain", asked(python=OWN), MACHINE)


def test_the_torch_that_is_there_is_the_one_that_is_wanted(tmp_path: Path) -> None:
    code = unzipped(tmp_path / "ComfyUI")
    prefix = venv(code / "venv")
    home = home_for(tmp_path / "home", asked(code), MACHINE)
    assert overrides_for(home, [], MACHINE) == []
    install_record(prefix, "torch", "2.9.1+cu128")
    assert overrides_for(home, [], MACHINE) == ["torch.channel=2.9.1"]
    assert overrides_for(home, ["torch.channel=nightly"], MACHINE) == []
    assert overrides_for(Home(tmp_path / "home"), [], MACHINE) == []


# -- what the steps make of it ------------------------------------------------------------------------------------


@pytest.fixture
def adopted(context: Callable[..., Context], tmp_path: Path) -> Callable[..., Context]:
    """A context whose home goes by an install, remembered or not; `overrides` as `--set` takes them."""

    def make(code: Path, prefix: Path | None = None, *, kept: bool = False, options: Options | None = None) -> Context:
        ctx = context("python.max=3.14", options=options)
        python = prefix / "bin" / "python" if prefix is not None else None
        ctx = replace(ctx, home=Home(ctx.home.root, Adopted(code, code, prefix, python)))
        if kept:
            remember(ctx.home, "now")
        return ctx

    return make


def seen(ctx: Context, step: str) -> dict[str, Finding]:
    return {finding.id: finding for finding in step_named(step).check(ctx)}


def typed(ctx: Context, finding: Finding) -> str:
    """The command of its fix, as a person who looks at this install has to type it."""
    assert finding.fix is not None
    return Invocation(install=words_for(ctx.home)).text(finding.fix.command)


def mend(ctx: Context, step: str, finding: Finding) -> None:
    apply = step_named(step).apply
    assert apply is not None
    apply(ctx, finding)


def test_a_checkout_is_taken_as_it_is(adopted: Callable[..., Context], tmp_path: Path) -> None:
    code = clone(tmp_path)
    before = tree(code)
    looked = seen(adopted(code), "comfyui")
    assert {id: finding.verdict for id, finding in looked.items()} == {"comfyui-adopted": "ok", "git-dirty": "warn"}
    assert "ComfyUI v0.38.0" in looked["comfyui-adopted"].says
    ctx = adopted(code, kept=True)
    mend(ctx, "comfyui", seen(ctx, "comfyui")["comfyui-moved"])
    assert seen(ctx, "comfyui")["comfyui-adopted"].says.endswith("used as is")
    assert ctx.receipts.read("comfyui")["date"] == "2026-11-03T12:00:00+00:00"
    assert tree(code) == before
    assert (code / "README.md").read_text(encoding="utf-8").endswith(EDIT)


def test_a_worktree_is_a_checkout(adopted: Callable[..., Context], tmp_path: Path) -> None:
    code = clone(tmp_path)
    other = tmp_path / "worktree"
    subprocess.run(["git", "-C", str(code), "worktree", "add", "-q", str(other), "v0.3.64"], check=True)
    assert "v0.3.64" in seen(adopted(other), "comfyui")["comfyui-adopted"].says


def test_the_folder_of_a_zip(adopted: Callable[..., Context], tmp_path: Path) -> None:
    code = unzipped(tmp_path / "ComfyUI-master")
    ctx = adopted(code, kept=True)
    looked = seen(ctx, "comfyui")
    assert {id: finding.verdict for id, finding in looked.items()} == {
        "comfyui-moved": "fixable",
        "comfyui-no-git": "warn",
    }
    mend(ctx, "comfyui", looked["comfyui-moved"])
    assert set(seen(ctx, "comfyui")) == {"comfyui-adopted", "comfyui-no-git"}
    assert str(ctx.receipts.read("comfyui")["date"]).startswith("2025-11-01")  # the day of its files
    (code / ".git").mkdir()
    assert "git cannot read" in seen(ctx, "comfyui")["comfyui-no-git"].says


def test_missing_files_are_written_again_after_a_yes(adopted: Callable[..., Context], tmp_path: Path) -> None:
    code = clone(tmp_path)
    (code / "nodes.py").unlink()
    found = seen(adopted(code), "comfyui")["clone-partial"]
    assert found.verdict is Verdict.BLOCKED
    assert found.consent is not None
    assert found.consent.question == f"Fix this in {code}?"
    assert typed(adopted(code), found) == f"provision doctor --fix --yes --comfyui {code}"
    ctx = adopted(code, options=Options(agreed=frozenset({"clone-partial"})))
    mend(ctx, "comfyui", seen(ctx, "comfyui")["clone-partial"])
    assert (code / "nodes.py").is_file()
    assert (code / "README.md").read_text(encoding="utf-8").endswith(EDIT)


def test_an_install_that_is_gone(adopted: Callable[..., Context], tmp_path: Path) -> None:
    assert seen(adopted(tmp_path / "gone", kept=True), "comfyui")["comfyui-gone"].verdict is Verdict.BLOCKED


def test_packages_go_into_a_foreign_environment_after_one_yes(adopted: Callable[..., Context], tmp_path: Path) -> None:
    code = unzipped(tmp_path / "ComfyUI")
    prefix = venv(code / "venv")
    ctx = adopted(code, prefix)
    assert seen(ctx, "python_env")["env-foreign"].verdict is Verdict.OK
    asking = [seen(ctx, "torch")["torch-missing"], seen(ctx, "requirements")["req-missing"]]
    assert [finding.verdict for finding in asking] == [Verdict.BLOCKED] * 2
    assert {finding.consent and finding.consent.agreement for finding in asking} == {"env-foreign"}
    for options in (Options(yes=True), Options(agreed=frozenset({"env-foreign"}))):
        agreed = adopted(code, prefix, options=options)
        assert seen(agreed, "torch")["torch-missing"].verdict is Verdict.FIXABLE
        assert seen(agreed, "requirements")["req-missing"].verdict is Verdict.FIXABLE


def test_its_python_is_not_run_before_somebody_agreed(adopted: Callable[..., Context], tmp_path: Path) -> None:
    code = unzipped(tmp_path / "ComfyUI")
    prefix = venv(code / "venv")
    python = prefix / "bin" / "python"
    python.unlink()
    python.write_text(f"#!/bin/sh\ntouch '{tmp_path}/ran'\n", encoding="utf-8")
    python.chmod(0o755)
    ctx = adopted(code, prefix, options=Options(may_run=False))
    found = seen(ctx, "python_env")["env-unasked"]
    assert (found.verdict, found.subject) == (Verdict.BLOCKED, str(python))
    assert "pyvenv.cfg says Python 3." in found.says
    assert typed(ctx, found) == f"provision all --python {python} --comfyui {code}"
    for step in ("torch", "requirements", "comfyui", "lock"):
        seen(ctx, step)
    assert not (tmp_path / "ran").exists()
    seen(adopted(code, prefix), "python_env")
    assert (tmp_path / "ran").exists()


def test_it_is_remembered_that_its_python_may_be_run(adopted: Callable[..., Context], tmp_path: Path) -> None:
    code = unzipped(tmp_path / "ComfyUI")
    home = adopted(code, venv(code / "venv")).home
    assert not may_be_run(home)
    remember(home, "now", may_run=False)
    assert not may_be_run(home)
    remember(home, "now", may_run=True)
    assert may_be_run(home)
    assert not may_be_run(adopted(code, venv(tmp_path / "other")).home)  # another Python is another question


def test_condas_environment_is_not_written_to(adopted: Callable[..., Context], tmp_path: Path) -> None:
    code, prefix = unzipped(tmp_path / "ComfyUI"), conda(tmp_path / "envs" / "comfy")
    before = tree(prefix)
    ctx = adopted(code, prefix, options=Options(yes=True, rehearsal=True))
    assert "nothing is installed there" in seen(ctx, "python_env")["env-foreign"].says
    found = seen(ctx, "requirements")["env-managed"]
    assert found.verdict is Verdict.FIXABLE
    assert found.fix is not None
    assert "MB to download" in found.fix.says
    with pytest.raises(StartOver) as again:
        mend(ctx, "requirements", found)
    assert again.value.step == "python_env"
    assert ctx.home.venv == ctx.home.own_venv
    assert set(seen(ctx, "python_env")) == {"venv-ready"}
    assert set(seen(ctx, "torch")) == {"torch-missing"}
    assert tree(prefix) == before


def test_the_systems_python_is_judged_and_left_alone(adopted: Callable[..., Context], tmp_path: Path) -> None:
    base = Path(sys.base_prefix)
    ctx = adopted(unzipped(tmp_path / "ComfyUI"), base)
    assert "the system's" in seen(ctx, "python_env")["env-foreign"].says
    assert set(seen(ctx, "torch")) <= {"env-managed", "torch-unproven"}


def test_an_unfit_environment_stays_and_ours_comes_before_it(adopted: Callable[..., Context], tmp_path: Path) -> None:
    code = unzipped(tmp_path / "ComfyUI")
    prefix = venv(code / "venv")
    for python in (prefix / "bin").glob("python*"):
        python.unlink()
    before = tree(code)
    ctx = adopted(code, prefix, options=Options(rehearsal=True))
    found = seen(ctx, "python_env")["venv-dangling"]
    assert found.fix is not None
    assert f"{prefix} is not changed" in found.fix.says
    mend(ctx, "python_env", found)
    assert set(seen(ctx, "python_env")) == {"venv-ready"}
    assert tree(code) == before


def test_a_checkpoint_in_a_folder_of_its_extra_paths(adopted: Callable[..., Context], tmp_path: Path) -> None:
    code = unzipped(tmp_path / "ComfyUI")
    write_checkpoint(tmp_path / "weights" / "sd" / CHECKPOINT)
    (code / "extra_model_paths.yaml").write_text(
        f"mine:\n  base_path: {tmp_path / 'weights'}\n  checkpoints: sd\n", encoding="utf-8"
    )
    (wanted,) = wanted_files(adopted(code))
    assert wanted.place == tmp_path / "weights" / "sd" / CHECKPOINT


def test_a_checkpoint_that_comfy_desktops_installs_share(adopted: Callable[..., Context], tmp_path: Path) -> None:
    made = desktop(tmp_path)
    ctx = adopted(made.code)
    ctx = replace(ctx, machine=LocalMachine({**ctx.machine.environ, "HOME": str(tmp_path)}))
    (wanted,) = wanted_files(ctx)
    assert wanted.place == made.code / "models" / "checkpoints" / CHECKPOINT, "where it would be brought to"
    write_checkpoint(made.shared / "checkpoints" / CHECKPOINT)
    write_checkpoint(made.code / "models" / "checkpoints" / CHECKPOINT)
    (wanted,) = wanted_files(ctx)
    assert wanted.place == made.shared / "checkpoints" / CHECKPOINT, "ComfyUI takes that of the default folder"
    found = seen(ctx, "models")["ckpt-other"]
    assert (found.verdict, found.consent and found.consent.agreement) == (Verdict.BLOCKED, "ckpt-other")


def test_a_file_in_the_way_is_moved_only_after_a_yes(adopted: Callable[..., Context], tmp_path: Path) -> None:
    code = unzipped(tmp_path / "ComfyUI")
    place = code / "models" / "checkpoints" / CHECKPOINT
    write_checkpoint(place)
    found = seen(adopted(code), "models")["ckpt-other"]
    assert (found.verdict, found.consent and found.consent.agreement) == (Verdict.BLOCKED, "ckpt-other")
    place.unlink()
    missing = seen(adopted(code), "models")["ckpt-missing"]
    assert missing.verdict is Verdict.FIXABLE
    assert typed(adopted(code), missing) == f"provision all --comfyui {code}"


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="there is no second disk to write to")
def test_what_lies_on_another_disk_is_moved_aside_there(adopted: Callable[..., Context]) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        code = unzipped(Path(other) / "ComfyUI")
        ctx = adopted(code, options=Options(agreed=frozenset({"partials"})))
        (code / "models" / "x.part").write_bytes(b"1")
        place = make_way(ctx, code / "models" / "x.part")
        assert (place.parent, place.read_bytes()) == (code / "models", b"1")
        assert place.name.endswith(".moved-aside")
        inside = ctx.home.state / "x"
        inside.write_bytes(b"2")
        assert make_way(ctx, inside).parent == ctx.home.aside


# -- its server ---------------------------------------------------------------------------------------------------


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[EngineHome, Context]]:
    """A miniature engine with its Python that stand for somebody else's, and a home that adopted them."""
    theirs = engine_home(tmp_path)
    there = theirs.ctx.home
    home = Home(tmp_path / "adopting", Adopted(there.base, there.comfyui, there.venv, there.python))
    home.prepare()
    ctx = replace(theirs.ctx, home=home)
    ctx.receipts.write("torch", device="cpu")
    yield theirs, ctx
    stop_server(ctx)


def test_a_server_of_comfy_desktops_install_sees_the_models_that_it_shares(
    served: tuple[EngineHome, Context], tmp_path: Path
) -> None:
    theirs, ctx = served
    made = desktop(tmp_path, code=theirs.ctx.home.comfyui)
    ctx = replace(ctx, machine=LocalMachine({**ctx.machine.environ, "HOME": str(tmp_path)}))
    place = theirs.ctx.home.models / "checkpoints" / CHECKPOINT
    place.rename(made.shared / "checkpoints" / CHECKPOINT)
    start_server(ctx)
    assert client_of(ctx).checkpoints() == [CHECKPOINT]
    assert our_process(ctx) is not None
    assert [finding.id for finding in check_server(ctx)] == ["server-up"]


def test_a_server_that_its_owner_started_is_used_and_not_ended(served: tuple[EngineHome, Context]) -> None:
    theirs, ctx = served
    code, port = theirs.ctx.home.comfyui, free_port()
    by_full_path = [str(theirs.ctx.home.python), str(code / "main.py"), "--port", str(port), "--cpu"]
    with subprocess.Popen(by_full_path, cwd=code, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            while ctx.machine.port_is_free(port):
                assert server.poll() is None
                ctx.machine.sleep(0.05)
            assert overrides_for(ctx.home, ["torch.channel=stable"], ctx.machine) == [f"comfyui.port={port}"]
            ctx = replace(ctx, manifest=replace(ctx.manifest, comfyui=replace(ctx.manifest.comfyui, port=port)))
            (found,) = check_server(ctx)
            assert (found.id, found.facts["pid"]) == ("server-yours", server.pid)
            assert server_status(ctx).says.endswith("started by you")
            assert our_process(ctx) is None
            assert not stop_server(ctx)
            assert server.poll() is None
        finally:
            server.terminate()


def test_the_folder_of_the_desktop_app_is_given_to_the_code(served: tuple[EngineHome, Context]) -> None:
    theirs, ctx = served
    there = theirs.ctx.home
    base = copy(there.models, there.root / "Documents" / "models").parent
    (there.models / "checkpoints" / CHECKPOINT).unlink()
    ctx = replace(ctx, home=Home(ctx.home.root, Adopted(base, there.comfyui, there.venv, there.python)))
    argv = server_argv(ctx)
    assert argv[argv.index("--base-directory") + 1] == str(base)
    start_server(ctx)  # waits until the checkpoint is listed
    assert (base / "output").is_dir()
    assert [finding.id for finding in check_server(ctx)] == ["server-up"]


def test_what_a_look_starts_writes_nothing_there(served: tuple[EngineHome, Context]) -> None:
    _, ctx = served
    before = tree(ctx.home.comfyui)
    assert run_quick_test(ctx).ok
    with brief_server(ctx) as brief:
        make_image(brief, ctx.manifest.first_image, "an image", kept=False)
    assert tree(ctx.home.comfyui) == before


def test_the_rehearsal_knows_its_engine(tmp_path: Path) -> None:
    code = unzipped(tmp_path / "ComfyUI")
    assert is_miniature(code)
    (code / "comfy").mkdir()
    assert not is_miniature(code)
