"""What can go from a home: its true size, what never goes, and a kill in the middle."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.cli.sweep import sweep_home
from provision.core import removing
from provision.core.home import Home
from provision.core.receipts import write_json
from provision.core.step import Context
from provision.environment import generations
from provision.steps import clean
from provision.steps.clean import Kind, Room, frees_in_all, survey
from tests.support.killed import Killed

MB = 1_000_000


def write(path: Path, size: int = MB) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))
    return path


def link(path: Path, to: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.link(to, path)


def environment(home: Home, number: int, before: int | None, *, in_use: bool = False) -> Path:
    env = home.envs / str(number)
    write(env / "bin" / "python", 10)
    left = "" if in_use else "2026-11-20T10:00:00+00:00"
    write_json(env / "set" / "before.json", {"name": str(before) if before else None, "left": left})
    if in_use:
        home.own_venv.symlink_to(f"envs/{number}")
    return env


@pytest.fixture
def ctx(context: Callable[..., Context]) -> Context:
    """A home with three generations, of which 1 is older than the one before."""
    ctx = context()
    environment(ctx.home, 1, None)
    environment(ctx.home, 2, 1)
    environment(ctx.home, 3, 2, in_use=True)
    return ctx


def room(ctx: Context, kind: Kind) -> Room:
    [found] = survey(ctx, [kind])
    return found


def about(size: int, wanted: int) -> bool:
    return wanted <= size < wanted + 100_000


def test_a_file_that_stays_under_another_name_is_not_counted(ctx: Context) -> None:
    alone = write(ctx.home.state / "cache" / "a")
    link(ctx.home.state / "cache" / "a again", alone)
    link(ctx.home.envs / "3" / "lib" / "torch.so", write(ctx.home.state / "cache" / "torch.so", 3 * MB))
    assert about(room(ctx, Kind.CACHE).frees, MB)


def test_what_two_kinds_share_goes_with_the_last_of_them(ctx: Context) -> None:
    link(ctx.home.envs / "1" / "lib" / "torch.so", write(ctx.home.state / "cache" / "torch.so", 3 * MB))
    rooms = survey(ctx, [Kind.CACHE, Kind.GENERATIONS])
    assert all(about(each.frees, 0) for each in rooms)
    assert about(frees_in_all(rooms), 3 * MB)
    assert about(clean.free(ctx, rooms), 3 * MB)


def test_neither_the_generation_in_use_goes_nor_the_one_before(ctx: Context) -> None:
    assert [piece.path.name for piece in room(ctx, Kind.GENERATIONS).pieces] == ["1"]
    assert Kind.PREVIOUS not in {each.kind for each in survey(ctx)}
    clean.free(ctx, survey(ctx, [Kind.GENERATIONS]))
    assert [each.number for each in generations.kept(ctx.home)] == [3, 2]
    clean.free(ctx, survey(ctx, [Kind.PREVIOUS]))
    assert [each.number for each in generations.kept(ctx.home)] == [3]
    assert generations.before(ctx.home) is None


def test_the_last_that_has_your_edits_leaves_them(ctx: Context) -> None:
    for number in (1, 2):
        write(ctx.home.envs / str(number) / "set" / "edits.patch", 10)
    same = (ctx.home.envs / "1" / "set" / "edits.patch").read_bytes()
    (ctx.home.envs / "2" / "set" / "edits.patch").write_bytes(same)
    clean.free(ctx, survey(ctx, [Kind.GENERATIONS]))
    assert not ctx.home.aside.exists()
    clean.free(ctx, survey(ctx, [Kind.PREVIOUS]))
    assert [path.read_bytes() for path in ctx.home.aside.iterdir()] == [same]


def test_a_server_keeps_its_environment(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clean, "running_environment", lambda _: ctx.home.envs / "1")
    assert survey(ctx, [Kind.GENERATIONS]) == []
    monkeypatch.setattr(clean, "running_environment", lambda _: None)
    monkeypatch.setattr(clean, "our_process", lambda _: object())
    assert survey(ctx, [Kind.GENERATIONS, Kind.PREVIOUS]) == []


def test_a_cache_that_environments_are_links_into_stays(ctx: Context) -> None:
    wheel = write(ctx.home.state / "cache" / "archive-v0" / "torch.so")
    (ctx.home.envs / "2" / "lib").mkdir()
    (ctx.home.envs / "2" / "lib" / "torch.so").symlink_to(wheel)
    assert survey(ctx, [Kind.CACHE]) == []


def test_what_a_persons_link_leads_to_is_left_alone(ctx: Context, tmp_path: Path) -> None:
    theirs = write(tmp_path / "big disk" / "x").parent
    for folder in (ctx.home.state / "cache", ctx.home.aside):
        folder.symlink_to(theirs)
    assert survey(ctx, [Kind.CACHE, Kind.ASIDE]) == []


def test_only_logs_of_ours_that_are_over_go(ctx: Context) -> None:
    for name in ("provision.log", "provision.log.1", "comfyui.log", "comfyui.log.1", "quick-test.log", "nginx.log"):
        write(ctx.home.logs / name, 10)
    names = [piece.path.name for piece in room(ctx, Kind.LOGS).pieces]
    assert names == ["comfyui.log.1", "provision.log.1", "quick-test.log"]


def test_what_came_since_the_yes_stays(ctx: Context) -> None:
    write(ctx.home.aside / "a.txt", 10)
    agreed = survey(ctx, [Kind.ASIDE])
    write(ctx.home.aside / "b.txt", 10)
    clean.free(ctx, agreed)
    assert [path.name for path in ctx.home.aside.iterdir()] == ["b.txt"]


@pytest.mark.parametrize("kind", [Kind.CACHE, Kind.PARTS, Kind.GENERATIONS, Kind.ASIDE])
def test_half_of_it_is_never_left_under_its_name(ctx: Context, monkeypatch: pytest.MonkeyPatch, kind: Kind) -> None:
    write(ctx.home.state / "cache" / "archive-v0" / "x" / "torch.so")
    write(ctx.home.parts / f"{'a' * 64}.part")
    write_json(ctx.home.parts / f"{'a' * 64}.json", {"ranges": [[5, 9]]})
    write(ctx.home.aside / "a" / "x")
    [agreed] = survey(ctx, [kind])

    def killed(path: Path) -> None:
        next(each for each in path.rglob("*") if each.is_file()).unlink()
        raise Killed

    monkeypatch.setattr(clean, "run_uv", lambda *words, **how: None)
    monkeypatch.setattr(clean, "remove", killed)
    with subprocess.Popen(["true"]) as dead:
        dead.wait()
    monkeypatch.setattr(removing.os, "getpid", lambda: dead.pid)
    with pytest.raises(Killed):
        clean.free(ctx, [agreed])
    assert not any(piece.path.exists() for piece in agreed.pieces)
    sweep_home(ctx)
    assert not list(ctx.home.state.glob(".clean.*"))
