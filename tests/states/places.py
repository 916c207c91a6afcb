"""Where the home lies, and what a person's own folder is like."""

from __future__ import annotations

import subprocess
import unicodedata
from pathlib import Path

from tests.states.state import ALL, Place, State, Stops

NO_CACHE = {"UV_CACHE_DIR": None}


def _broken_repository(folder: Path) -> None:
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text("ref: refs/heads/gone\n", encoding="utf-8")
    (folder / ".git" / "config").write_text("[core\nbroken", encoding="utf-8")


def _disk(at: Place, size: str) -> None:
    disk = at.folder / "disk"
    disk.mkdir()
    subprocess.run(("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk), check=True)
    at.later.callback(subprocess.run, ("umount", "--lazy", disk), check=False)


def _dead_link(at: Place) -> None:
    at.home.symlink_to("/Volumes/SSD/provision")


def _read_only_disk(at: Place) -> None:
    _disk(at, "400m")
    at.made_world()
    subprocess.run(("mount", "-o", "remount,ro", at.folder / "disk"), check=True)


def _small_files_only(at: Place) -> None:
    at.made_world()
    at.shell("ulimit -f 20000")  # of 512 bytes


def _link_to_elsewhere(at: Place) -> None:
    (at.folder / "elsewhere").mkdir()
    at.home.symlink_to(at.folder / "elsewhere")


def _many_nodes(at: Place) -> None:
    done = at.run(*ALL, plain=True)
    assert done.code == 0, done.err
    for number in range(3000):
        node = at.home / "ComfyUI" / "custom_nodes" / f"node-{number}"
        node.mkdir()
        (node / "__init__.py").write_text("NODE_CLASS_MAPPINGS = {}\n", encoding="utf-8")


def _current_folder_gone(at: Place) -> None:
    at.shell('mkdir gone && cd gone && rmdir "$PWD"')


def _nobodys_leave(at: Place) -> None:
    at.person.chmod(0o500)
    at.later.callback(at.person.chmod, 0o700)


def _cache_of_another(at: Place) -> None:
    cache = at.person / ".cache"
    cache.mkdir()
    (cache / "uv").write_text("a file where uv wants a folder\n", encoding="utf-8")


PATHS = (
    ("a home with an apostrophe", "it's a home", "auto"),
    ("a home with #", "home #1", "http"),
    ("a home with %", "100%25 home", "hf"),
    ("a home with quotes", 'my "home"', "wget"),
    ("a home with $", "$HOME and $(id)", "git-lfs"),
    ("a home with ; and &", "a; b & c", "wget"),
    ("a home with an accent of two letters (NFD)", unicodedata.normalize("NFD", "Müllers Café"), "hf"),
    ("a home with spaces at both ends", " a home ", "git-lfs"),
    ("a home with brackets and *", "[home] {a,b} *", "auto"),
    ("a home with a backslash", "back\\slash", "http"),
    ("a home with a long name", "h" * 150, "auto"),
    ("a home that begins with -", "-home", "auto"),
)
PLACES = (
    *(State(name, home=home, words=(*ALL, "--backend", backend)) for name, home, backend in PATHS),
    State("HOME is not set", {"HOME": None, **NO_CACHE}),
    State("HOME is /proc/nope", {"HOME": "/proc/nope", **NO_CACHE}),
    State("the person's folder is read-only", NO_CACHE, set_up=_nobodys_leave),
    State("~/.cache/uv is a file", NO_CACHE, set_up=_cache_of_another),
    State("TMPDIR is /nope", {"TMPDIR": "/nope"}),
    State(
        "XDG_* cannot be written",
        {
            **{f"XDG_{name}_HOME": "/proc/nope" for name in ("CONFIG", "CACHE", "DATA", "STATE")},
            **NO_CACHE,
        },
    ),
    State("umask 077", set_up=lambda at: at.shell("umask 077")),
    State("the current folder was removed", set_up=_current_folder_gone),
    State(
        "the person's folder is a broken git repository",
        home="person/provision",
        set_up=lambda at: _broken_repository(at.person),
    ),
    State(
        "the home in a git repository of somebody's, a broken one",
        set_up=lambda at: _broken_repository(at.folder),
        stops=Stops("usage", ("is a git repository",), code=2),
    ),
    State("the home is a link", set_up=_link_to_elsewhere),
    State(
        "the home is a link to a disk that is not there",
        set_up=_dead_link,
        stops=Stops("home", ("/Volumes/SSD",), seen="home-gone"),
    ),
    State(
        "the home's disk is read-only",
        home="disk/home",
        set_up=_read_only_disk,
        needs="root",
        stops=Stops("home", ("ead-only",), seen="home-read-only"),
    ),
    State(
        "the home's disk is full",
        home="disk/home",
        set_up=lambda at: _disk(at, "4m"),
        needs="root",
        stops=Stops("disk_full", ("is full",), seen="disk-low"),
    ),
    State(
        "no file may be larger than 10 MB, as FAT32 has its limit",
        set_up=_small_files_only,
        stops=Stops("home", ("File too large",)),
    ),
    State("3,000 custom nodes", set_up=_many_nodes),
)
