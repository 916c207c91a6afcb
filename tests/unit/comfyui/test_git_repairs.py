"""A repository of ours that a kill or a full disk left half made: the next run mends it, a person's files stay."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from provision.comfyui import git_checkout
from provision.core.runner import run_step
from provision.core.step import Context
from provision.steps.comfyui.step import COMFYUI
from tests.support.hostile_git import git, make_checkout

Break = Callable[[Path], object]
PERSONS = {
    "models/checkpoints/x.safetensors": "weights",
    "custom_nodes/mine/__init__.py": "node",
    "output/a.png": "picture",
    "user/default/workflows/w.json": "{}",
    "notes.txt": "mine",
}
EDIT = "# my own change\n"


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkout(tmp_path_factory.mktemp("remote") / "upstream")


@pytest.fixture
def ctx(context: Callable[..., Context], upstream: Path) -> Context:
    return context(f"comfyui.url={upstream}")


def write_persons(folder: Path) -> None:
    for name, text in PERSONS.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def assert_mended(ctx: Context, *, edited: bool) -> None:
    """One run is enough, everything of a person's is there, and the next run has nothing to do."""
    report = run_step(COMFYUI, ctx, apply=True)
    assert report.satisfied, report
    folder = ctx.home.comfyui
    for name, text in PERSONS.items():
        assert (folder / name).read_text(encoding="utf-8") == text, name
    assert (folder / "main.py").read_text(encoding="utf-8") == (EDIT if edited else "# main.py\n")
    assert (folder / "comfy" / "model.py").is_file()
    assert not list(folder.glob(f"{git_checkout.IN_THE_MAKING}*"))
    assert git(folder, "fsck", "--no-dangling").strip() == ""
    assert git(folder, "status", "--porcelain", "--untracked-files=no") == (" M main.py\n" if edited else "")
    assert not run_step(COMFYUI, ctx, apply=True).changed


# -- git init, cut short ------------------------------------------------------------------------------------------

HEAD = "ref: refs/heads/provision\n"
CUT: dict[str, dict[str, str | None]] = {
    "nothing": {},
    "HEAD alone": {"HEAD": HEAD},
    "HEAD and config": {"HEAD": HEAD, "config": "[core]\n\tbare = false\n"},
    "HEAD and objects": {"HEAD": HEAD, "objects/pack": None, "objects/info": None},
    "HEAD and refs": {"HEAD": HEAD, "refs/heads": None},
    "an empty HEAD": {"HEAD": ""},
    "an empty HEAD and the rest": {"HEAD": "", "config": "", "objects": None, "refs": None},
    "no HEAD": {"config": "[core]\n", "objects": None, "refs": None},
    "an empty config": {"HEAD": HEAD, "config": "", "objects": None, "refs": None},
    "half of a config": {"HEAD": HEAD, "config": "[core]\n\trepos", "objects": None, "refs": None},
    "a lock of config": {"HEAD": HEAD, "config.lock": "", "objects": None, "refs": None},
    "a lock of HEAD": {"HEAD.lock": HEAD, "objects": None, "refs": None},
    "no commit yet": {"HEAD": HEAD, "config": "[core]\n", "objects": None, "refs": None, "description": "x"},
    "half of a pack": {"HEAD": HEAD, "objects/pack/tmp_pack_abc": "PACK", "refs": None, "FETCH_HEAD": ""},
    "HEAD is a folder": {"HEAD": None, "objects": None, "refs": None},
}


@pytest.mark.parametrize("state", CUT)
@pytest.mark.parametrize("with_sources", [False, True], ids=["fresh", "sources"])
def test_an_init_that_was_cut_short(ctx: Context, upstream: Path, state: str, with_sources: bool) -> None:
    folder = ctx.home.comfyui
    write_persons(folder)
    if with_sources:
        shutil.copytree(upstream, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".git"))
        (folder / "main.py").write_text(EDIT, encoding="utf-8")
    (folder / ".git").mkdir()
    for name, text in CUT[state].items():
        path = folder / ".git" / name
        (path if text is None else path.parent).mkdir(parents=True, exist_ok=True)
        if text is not None:
            path.write_text(text, encoding="utf-8")
            os.utime(path, (1, 1))
    assert_mended(ctx, edited=with_sources)


@pytest.mark.parametrize("kind", ["file", "link", "link to nothing"])
def test_a_git_that_is_no_folder(ctx: Context, tmp_path: Path, kind: str) -> None:
    write_persons(ctx.home.comfyui)
    place = ctx.home.comfyui / ".git"
    if kind == "file":
        place.write_text("gitdir: /nowhere/at/all\n", encoding="utf-8")
    else:
        place.symlink_to(tmp_path if kind == "link" else tmp_path / "nowhere")
    assert_mended(ctx, edited=False)


def test_a_repository_in_the_making_is_swept(ctx: Context) -> None:
    left = ctx.home.comfyui / f"{git_checkout.IN_THE_MAKING}77" / "objects"
    left.mkdir(parents=True)
    assert run_step(COMFYUI, ctx, apply=True).satisfied
    assert not left.parent.exists()


# -- one that was whole -------------------------------------------------------------------------------------------


def halve(path: Path) -> None:
    path.chmod(0o644)
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(b"")


def fifo(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def lock(name: str) -> Break:
    def leave(place: Path) -> None:
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (1, 1))

    return leave


def loose(place: Path, spoil: Callable[[Path], object], step: int = 1) -> None:
    for path in sorted((place / "objects").glob("??/*"))[::step]:
        spoil(path)


def pack(place: Path) -> Path:
    """Put all objects into one pack, as a large repository has them."""
    git(place.parent, "repack", "-adq")
    (found,) = (place / "objects" / "pack").glob("*.pack")
    return found


def on_a_branch(place: Path) -> Path:
    git(place.parent, "checkout", "-q", "-b", "mine")
    return place / "refs" / "heads" / "mine"


BROKEN: dict[str, Break] = {
    **{
        f"a lock of {name}": lock(f"{name}.lock")
        for name in ("index", "HEAD", "config", "shallow", "packed-refs", "refs/tags/v0.38.1", "refs/heads/a/b")
    },
    "half of the index": lambda place: halve(place / "index"),
    "an empty index": lambda place: empty(place / "index"),
    "no index": lambda place: (place / "index").unlink(),
    "an index that is a FIFO": lambda place: fifo(place / "index"),
    "an index of zeros": lambda place: (place / "index").write_bytes(bytes(400)),
    "an empty HEAD": lambda place: empty(place / "HEAD"),
    "half of HEAD": lambda place: halve(place / "HEAD"),
    "a HEAD that is a FIFO": lambda place: fifo(place / "HEAD"),
    "no HEAD": lambda place: (place / "HEAD").unlink(),
    "an empty branch": lambda place: empty(on_a_branch(place)),
    "a branch that is a FIFO": lambda place: fifo(on_a_branch(place)),
    "an empty config": lambda place: empty(place / "config"),
    "a config of zeros": lambda place: (place / "config").write_bytes(bytes(100)),
    "an empty shallow": lambda place: empty(place / "shallow"),
    "a packed-refs of zeros": lambda place: (place / "packed-refs").write_bytes(bytes(100)),
    "half of FETCH_HEAD": lambda place: (place / "FETCH_HEAD").write_text("0123", encoding="ascii"),
    "empty objects": lambda place: loose(place, empty),
    "some empty objects": lambda place: loose(place, empty, 3),
    "objects cut in half": lambda place: loose(place, halve),
    "no objects": lambda place: shutil.rmtree(place / "objects"),
    "no refs": lambda place: shutil.rmtree(place / "refs"),
    "half of a pack": lambda place: halve(pack(place)),
    "an empty pack": lambda place: empty(pack(place)),
    "a pack without its index": lambda place: pack(place).with_suffix(".idx").unlink(),
    "an index of a pack cut in half": lambda place: halve(pack(place).with_suffix(".idx")),
    "what a killed fetch left": lambda place: (place / "objects" / "pack" / "tmp_pack_x").write_bytes(b"PACK"),
}


@pytest.mark.parametrize("state", BROKEN)
def test_one_that_was_whole(ctx: Context, state: str) -> None:
    assert run_step(COMFYUI, ctx, apply=True).satisfied
    folder = ctx.home.comfyui
    write_persons(folder)
    (folder / "main.py").write_text(EDIT, encoding="utf-8")
    (folder / "nodes.py").unlink()
    BROKEN[state](folder / ".git")
    assert_mended(ctx, edited=True)
    assert (folder / "nodes.py").is_file()


def test_a_commit_of_a_persons_is_kept_where_the_repository_is_broken(ctx: Context) -> None:
    assert run_step(COMFYUI, ctx, apply=True).satisfied
    folder = ctx.home.comfyui
    (folder / "main.py").write_text(EDIT, encoding="utf-8")
    git(folder, "commit", "-qam", "mine")
    mine = git(folder, "rev-parse", "HEAD").strip()
    empty(folder / ".git" / "HEAD")
    report = run_step(COMFYUI, ctx, apply=True)
    assert report.satisfied, report
    assert (folder / "main.py").read_text(encoding="utf-8") == EDIT
    (moved,) = ctx.home.aside.iterdir()
    (moved / "HEAD").write_text(mine, encoding="ascii")
    assert git(folder, f"--git-dir={moved}", "cat-file", "-t", mine).strip() == "commit"


def test_a_commit_that_is_only_odd_is_no_fault(ctx: Context) -> None:
    assert run_step(COMFYUI, ctx, apply=True).satisfied
    folder = ctx.home.comfyui
    raw = git(folder, "cat-file", "commit", "HEAD").replace(" +0000\n", " +00\n")
    (folder / "odd").write_text(raw, encoding="utf-8")
    odd = git(folder, "hash-object", "-t", "commit", "-w", "--literally", "odd").strip()
    git(folder, "update-ref", "refs/heads/odd", odd)
    with pytest.raises(subprocess.CalledProcessError):
        git(folder, "fsck")
    assert not git_checkout.is_broken(folder)


def test_files_that_were_taken_out_of_gits_list_are_not_written_over(ctx: Context) -> None:
    assert run_step(COMFYUI, ctx, apply=True).satisfied
    folder = ctx.home.comfyui
    (folder / "main.py").write_text(EDIT, encoding="utf-8")
    git(folder, "rm", "-q", "--cached", "main.py")
    (folder / "nodes.py").unlink()
    assert run_step(COMFYUI, ctx, apply=True).satisfied
    assert (folder / "nodes.py").is_file()
    assert (folder / "main.py").read_text(encoding="utf-8") == EDIT


def test_sources_whose_repository_is_lost_are_mended_with_their_own_revision(
    ctx: Context, upstream: Path, tmp_path: Path
) -> None:
    """Not with the newest one, of which they would be half."""
    moving = tmp_path / "moving"
    shutil.copytree(upstream, moving)
    comfy = ctx.manifest.comfyui
    ctx = replace(ctx, manifest=replace(ctx.manifest, comfyui=replace(comfy, url=str(moving))))
    assert run_step(COMFYUI, ctx, apply=True).satisfied
    (moving / "main.py").write_text("newer\n", encoding="utf-8")
    git(moving, "commit", "-qam", "newer")
    git(moving, "tag", "v0.39.0")
    (ctx.home.comfyui / ".git" / "HEAD").write_bytes(b"")
    assert run_step(COMFYUI, ctx, apply=True).satisfied
    assert ctx.receipts.read("comfyui")["name"] == "v0.38.1"
    assert git(ctx.home.comfyui, "status", "--porcelain", "--untracked-files=no") == ""
