"""Breakers of ComfyUI's checkout, and of what ComfyUI reads and writes beside its source."""

from __future__ import annotations

import os
import shutil
import subprocess

from tests.breakers.breaker import Breaker, breaks
from tests.breakers.patient import Patient

CHECKOUT, YAML, DATABASE, FOLDERS = "checkout", "yaml", "database", "folders"
BESIDE = f"{YAML} {DATABASE} {FOLDERS}"
LONG_AGO = (1_000_000_000, 1_000_000_000)


def git(at: Patient, *words: str) -> str:
    """Git, as the person runs it in the checkout."""
    person = ("-c", "user.name=Ann", "-c", "user.email=ann@localhost", "-c", f"safe.directory={at.comfyui}")
    return subprocess.run(
        ("git", *person, *words), cwd=at.comfyui, check=True, capture_output=True, text=True
    ).stdout.strip()


# -- the checkout -----------------------------------------------------------------------------------------------


@breaks("comfyui-missing", CHECKOUT)
def remove_repository(at: Patient) -> None:
    """The folder .git is deleted."""
    shutil.rmtree(at.comfyui / ".git")


@breaks("comfyui-missing", f"{CHECKOUT} {BESIDE} checkpoint litter workflow nodes packages", "ckpt-missing")
def remove_everything(at: Patient) -> None:
    """The folder ComfyUI is moved to another place."""
    at.comfyui.rename(at.home.root / "ComfyUI of old")


@breaks("comfyui-moved", CHECKOUT)
def update_by_hand(at: Patient) -> None:
    """Somebody ran git pull."""
    git(at, "commit", "--quiet", "--allow-empty", "--message", "newer")


@breaks("comfyui-ref", CHECKOUT)
def wish_for_a_release(at: Patient) -> None:
    """Another release is asked for."""
    at.sets.append("comfyui.ref=v0.38.0")


@breaks("git-owner", CHECKOUT, root=True)
def clone_with_sudo(at: Patient) -> None:
    """The checkout belongs to another user."""
    os.chown(at.comfyui, 12_345, -1)


@breaks("git-lock", CHECKOUT)
def leave_a_lock(at: Patient) -> None:
    """A killed git left index.lock."""
    lock = at.comfyui / ".git" / "index.lock"
    lock.touch()
    os.utime(lock, LONG_AGO)


def unpack(at: Patient) -> None:
    """Let each object lie in a file of its own, as git keeps those of a small fetch by itself."""
    for pack in sorted((at.comfyui / ".git" / "objects" / "pack").glob("*.pack")):
        aside = at.comfyui / ".git" / pack.name
        pack.rename(aside)
        for left in pack.parent.glob(f"{pack.stem}.*"):
            left.unlink()
        with aside.open("rb") as objects:
            subprocess.run(("git", "unpack-objects", "-q"), cwd=at.comfyui, stdin=objects, check=True)
        aside.unlink()


@breaks("clone-partial", CHECKOUT)
def cut_an_object(at: Patient) -> None:
    """The commit's object is cut in half."""
    head = git(at, "rev-parse", "HEAD")
    unpack(at)
    found = at.comfyui / ".git" / "objects" / head[:2] / head[2:]
    found.chmod(0o644)
    os.truncate(found, found.stat().st_size // 2)


@breaks("clone-partial", CHECKOUT)
def lose_objects(at: Patient) -> None:
    """Half of the objects are gone."""
    tree = git(at, "rev-parse", "HEAD^{tree}")
    unpack(at)
    folder = at.comfyui / ".git" / "objects"
    for path in {folder / tree[:2] / tree[2:], *sorted(folder.glob("??/*"))[::2]}:
        path.unlink()


@breaks("clone-partial", CHECKOUT)
def lose_head(at: Patient) -> None:
    """The file .git/HEAD is empty."""
    (at.comfyui / ".git" / "HEAD").write_bytes(b"")


@breaks("clone-partial", CHECKOUT)
def spoil_the_index(at: Patient) -> None:
    """The index is full of zeros."""
    index = at.comfyui / ".git" / "index"
    index.write_bytes(bytes(index.stat().st_size))


@breaks("clone-partial", CHECKOUT)
def delete_sources(at: Patient) -> None:
    """Files of ComfyUI are deleted."""
    for name in ("execution.py", "requirements.txt", "nodes.py"):
        (at.comfyui / name).unlink()


@breaks("git-dirty", CHECKOUT)
def edit_a_file(at: Patient) -> None:
    """A file of ComfyUI is edited."""
    with (at.comfyui / "README.md").open("a", encoding="utf-8") as readme:
        readme.write("mine\n")


# -- beside it --------------------------------------------------------------------------------------------------


@breaks("yaml-bad", YAML)
def leave_yaml_empty(at: Patient) -> None:
    """An empty `extra_model_paths.yaml`."""
    (at.comfyui / "extra_model_paths.yaml").write_bytes(b"")


@breaks("yaml-bad", YAML)
def indent_with_a_tab(at: Patient) -> None:
    """A tab in extra_model_paths.yaml."""
    (at.comfyui / "extra_model_paths.yaml").write_text("mine:\n\tcheckpoints: models\n", encoding="utf-8")


@breaks("yaml-deadpath", YAML)
def unplug_a_disk(at: Patient) -> None:
    """`extra_model_paths.yaml` names a disk that is not there."""
    text = "mine:\n  base_path: /Volumes/Models\n  checkpoints: sdxl\n"
    (at.comfyui / "extra_model_paths.yaml").write_text(text, encoding="utf-8")


@breaks("db-bad", DATABASE)
def spoil_the_database(at: Patient) -> None:
    """The database is another kind of file."""
    (at.comfyui / "user" / "comfyui.db").write_bytes(b"no database at all")


@breaks("perms-root", FOLDERS, root=True)
def start_with_sudo(at: Patient) -> None:
    """The folder of pictures belongs to another user."""
    os.chown(at.comfyui / "output", 12_345, -1)


BREAKERS = [value for value in list(vars().values()) if isinstance(value, Breaker)]
