"""Breakers of the checkpoint: the file itself, its name, its place, what lies beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from provision.download.local_copies import SF_DATALESS
from provision.system.local_machine import LocalMachine
from tests.breakers.breaker import Breaker, breaks
from tests.breakers.checkout import LONG_AGO
from tests.breakers.patient import Patient

FILE, LITTER = "checkpoint", "litter"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%b\nsize 6938081905\n" % (b"e8" * 32)
LOGIN = b"<!DOCTYPE html>\n<html><head><title>Log in to the network</title></head><body>Hotel</body></html>\n"
DOUBLE = bytes.fromhex("00051607000200004d6163204f532058")


def _replace(at: Patient, content: bytes) -> None:
    """Another file in its place; the one before is not written to, it may have other names."""
    place = at.checkpoint
    place.unlink()
    place.write_bytes(content)


@breaks("ckpt-missing", FILE)
def delete_it(at: Patient) -> None:
    """The file is deleted."""
    at.checkpoint.unlink()


@breaks("ckpt-unproven", FILE)
def copy_it(at: Patient) -> None:
    """The file is another one of the same bytes."""
    _replace(at, at.checkpoint.read_bytes())


@breaks("ckpt-case", FILE)
def change_case(at: Patient) -> None:
    """Its name is in capitals."""
    place = at.checkpoint
    place.rename(place.with_name(place.name.upper()))


@breaks("ckpt-renamed", FILE)
def rename_it(at: Patient) -> None:
    """It has a name of the person's own."""
    place = at.checkpoint
    place.rename(place.with_name("turbo.safetensors"))


@breaks("ckpt-wrong-dir", FILE)
def put_it_elsewhere(at: Patient) -> None:
    """It lies in models/unet."""
    place = at.checkpoint
    place.rename(at.comfyui / "models" / "unet" / place.name)


@breaks("ckpt-nested", f"{FILE} {LITTER}")
def clone_the_repository(at: Patient) -> None:
    """The repository was cloned into the folder of checkpoints, the file is in it."""
    place = at.checkpoint
    clone = place.parent / "sdxl-turbo"
    clone.mkdir()
    subprocess.run(("git", "init", "--quiet"), cwd=clone, check=True)
    place.rename(clone / place.name)
    (clone / "unet").mkdir()
    (clone / "unet" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"a part")


@breaks("ckpt-deadlink", FILE)
def unplug_its_disk(at: Patient) -> None:
    """It is a link to a disk that is not there."""
    place = at.checkpoint
    place.unlink()
    place.symlink_to(f"/Volumes/Models/{place.name}")


@breaks("ckpt-outside", f"{FILE} {LITTER}")
def lead_out_of_the_home(at: Patient) -> None:
    """Its folder is a link out of the home, and empty."""
    folder = at.checkpoint.parent
    elsewhere = at.home.root.parent / "other models"
    elsewhere.mkdir(exist_ok=True)
    shutil.rmtree(folder)
    folder.symlink_to(elsewhere)


@breaks("ckpt-truncated", FILE)
def cut_it(at: Patient) -> None:
    """The file is cut at two thirds."""
    _replace(at, at.checkpoint.read_bytes()[: at.checkpoint.stat().st_size * 2 // 3])


@breaks("ckpt-truncated", FILE)
def cut_its_header(at: Patient) -> None:
    """The file is cut after 1000 bytes."""
    _replace(at, at.checkpoint.read_bytes()[:1000])


@breaks("ckpt-zeroed", FILE)
def zero_its_start(at: Patient) -> None:
    """The first megabyte is zeros."""
    _replace(at, bytes(1 << 20) + at.checkpoint.read_bytes()[1 << 20 :])


@breaks("ckpt-bitrot", FILE, deep=True)
def zero_its_middle(at: Patient) -> None:
    """A page in its middle is zeros."""
    whole = at.checkpoint.read_bytes()
    middle = len(whole) // 2
    _replace(at, whole[:middle] + bytes(4096) + whole[middle + 4096 :])


@breaks("ckpt-other", FILE)
def put_another_model(at: Patient) -> None:
    """Another model has its name."""
    world = at.home.state / "rehearsal" / "root"
    other = next(path for path in sorted(world.rglob("sd_xl_turbo_1.0.safetensors")) if path.is_file())
    _replace(at, other.read_bytes())


@breaks("lfs-pointer", FILE)
def clone_without_lfs(at: Patient) -> None:
    """Git left its note in place of the file."""
    _replace(at, POINTER)


@breaks("lfs-uninit", f"{FILE} shell", "lfs-pointer")
def forbid_lfs(at: Patient) -> None:
    """Git left its note in place of the file, as GIT_LFS_SKIP_SMUDGE asks."""
    _replace(at, POINTER)
    at.environ["GIT_LFS_SKIP_SMUDGE"] = "1"


@breaks("html-body", FILE)
def save_a_login_page(at: Patient) -> None:
    """A login page was saved under its name."""
    _replace(at, LOGIN)


@breaks("fs-appledouble", LITTER)
def copy_with_a_mac(at: Patient) -> None:
    """A Mac left a `._` file beside it."""
    (at.checkpoint.parent / f"._{at.checkpoint.name}").write_bytes(DOUBLE)


@breaks("partials", LITTER)
def give_up_a_download(at: Patient) -> None:
    """A browser left an unfinished download."""
    left = at.checkpoint.parent / "other.safetensors.crdownload"
    left.write_bytes(b"1234")
    os.utime(left, LONG_AGO)


@breaks("icloud-dataless", f"{FILE} process")
def keep_it_in_icloud(at: Patient) -> None:
    """The system has moved the file to iCloud."""
    name = at.checkpoint.name

    class WithICloud(LocalMachine):
        """This machine, but for the flags of one file: only macOS has them."""

        def file_flags(self, path: Path) -> int:
            return SF_DATALESS if path.name == name else super().file_flags(path)

    at.machine = WithICloud


BREAKERS = [value for value in list(vars().values()) if isinstance(value, Breaker)]
