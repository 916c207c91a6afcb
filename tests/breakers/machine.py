"""Breakers of what Linux cannot be: a Mac, scripted with what programs of real ones said, broken in one way."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from provision.steps.catalogue import known
from provision.system.machine import Memory
from provision.system.parsers import GIB
from provision.system.which_git import XCODE_SELECT
from tests.breakers.mac import ARM64, GIT, PMSET, SITE, SW_VERS, SYSCTL, VM_STAT, XCRUN, Mac, answer, recorded

INTEL = 0x01000007
"""Apple's number for Intel's processors (mach/machine.h)."""


@dataclass(frozen=True, slots=True)
class MacBreaker:
    """One way in which a Mac is not as it should be."""

    id: str
    what: str
    break_it: Callable[[Mac], None]

    @property
    def name(self) -> str:
        """Its row."""
        return f"{self.id}: {self.what}"

    @property
    def mends(self) -> bool:
        """Whether `doctor --fix --yes` must mend it."""
        about = known(self.id)
        assert about is not None, self.id
        return about.fix in ("auto", "consent")


def breaks(id: str) -> Callable[[Callable[[Mac], None]], MacBreaker]:
    """Make a function a breaker; its docstring is what it does."""

    def make(function: Callable[[Mac], None]) -> MacBreaker:
        assert function.__doc__, function
        return MacBreaker(id, function.__doc__.strip().rstrip("."), function)

    return make


# -- hardware ---------------------------------------------------------------------------------------------------


@breaks("hw-intel")
def be_an_intel(mac: Mac) -> None:
    """An Intel Mac."""
    mac.commands[SYSCTL], mac.arch = recorded("sysctl/intel"), "x86_64"
    mac.commands[ARM64] = ""
    mac.python = answer(arch="x86_64")


@breaks("hw-guest")
def be_a_guest(mac: Mac) -> None:
    """A virtual machine on a Mac."""
    mac.commands[SYSCTL] = recorded("sysctl/guest-m1")


@breaks("os-too-old")
def keep_an_old_system(mac: Mac) -> None:
    """macOS 12.7."""
    mac.commands[SW_VERS] = recorded("sw_vers/runner-12.7")


@breaks("os27-psutil")
def break_psutil(mac: Mac) -> None:
    """A macOS whose memory psutil cannot read."""
    mac.commands |= {SW_VERS: recorded("sw_vers/m4-27"), VM_STAT: recorded("vm_stat/apple-silicon")}
    mac.scripted_memory = None


@breaks("mem-low")
def have_4_gib(mac: Mac) -> None:
    """4 GiB of memory."""
    mac.scripted_memory = Memory(4 * GIB, 2 * GIB)


@breaks("mem-8gb")
def have_8_gib(mac: Mac) -> None:
    """8 GiB of memory."""
    mac.scripted_memory = Memory(8 * GIB, 4 * GIB)


@breaks("mem-tight")
def make_large_pictures(mac: Mac) -> None:
    """16 GiB of memory, and pictures of 1024x1024 with cfg."""
    mac.sets += ["first_image.width=1024", "first_image.height=1024", "first_image.cfg=7"]


@breaks("mem-swaps")
def double_all_numbers(mac: Mac) -> None:
    """16 GiB of memory, and --force-fp32."""
    mac.sets.append('comfyui.args=["--force-fp32"]')


@breaks("mem-pressure")
def open_too_much(mac: Mac) -> None:
    """The memory is under pressure, and swapped out."""
    told = recorded("sysctl/m1-pro-asked").out + recorded("sysctl/pressure").out
    mac.commands[SYSCTL] = told


@breaks("low-power")
def save_power(mac: Mac) -> None:
    """Low Power Mode."""
    mac.commands[PMSET] = recorded("pmset/m1-on")


@breaks("disk-low")
def fill_the_disk(mac: Mac) -> None:
    """Less is free than the model takes."""
    mac.disk_free = 6 * 10**9


# -- tools ------------------------------------------------------------------------------------------------------


@breaks("git-missing")
def have_no_git(mac: Mac) -> None:
    """No git, and Homebrew to bring it."""
    del mac.programs["git"]


@breaks("git-old")
def have_an_old_git(mac: Mac) -> None:
    """A git of 2014, and Homebrew to bring another."""
    mac.programs["git"] = "/usr/local/bin/git"
    mac.commands["/usr/local/bin/git --version"] = "git version 1.8.3.1\n"


@breaks("clt-missing")
def have_no_tools(mac: Mac) -> None:
    """Apple's Command Line Tools were never installed."""
    mac.commands[" ".join(XCODE_SELECT)] = recorded("xcode_select/missing")


@breaks("clt-stale")
def lose_tools(mac: Mac) -> None:
    """An upgrade of macOS has removed Apple's tools."""
    del mac.programs[XCRUN]


@breaks("xcode-license")
def agree_to_nothing(mac: Mac) -> None:
    """Xcode's license was not agreed to."""
    mac.commands[f"{GIT} --version"] = recorded("git/license")


@breaks("lfs-missing")
def have_no_lfs(mac: Mac) -> None:
    """The backend git-lfs is asked for, and there is none."""
    mac.backend = "git-lfs"
    mac.commands[f"{GIT} lfs version"] = recorded("git_lfs/missing")


@breaks("wget-missing")
def have_no_wget(mac: Mac) -> None:
    """The backend wget is asked for, and there is none."""
    mac.backend = "wget"


# -- Python -----------------------------------------------------------------------------------------------------


@breaks("py-rosetta")
def run_under_rosetta(mac: Mac) -> None:
    """The environment's Python is for Intel."""
    mac.python = answer(arch="x86_64")


@breaks("macver-compat")
def take_macos_for_an_old_one(mac: Mac) -> None:
    """The environment's Python was built for macOS 10, and takes this one for 10.16."""
    mac.python = answer(macos="10.16")


# -- torch ------------------------------------------------------------------------------------------------------


def _install(mac: Mac, **versions: str) -> None:
    mac.packages |= versions


@breaks("torch-known-bad")
def keep_a_bad_torch(mac: Mac) -> None:
    """Torch 2.8.0, whose attention is wrong on every Mac."""
    _install(mac, torch="2.8.0", torchvision="0.23.0")


@breaks("torch-doubtful")
def keep_a_doubtful_torch(mac: Mac) -> None:
    """Torch 2.11.0, which is wrong where ComfyUI's own nodes do not use it."""
    _install(mac, torch="2.11.0", torchvision="0.26.0")


@breaks("torch-doubtful")
def compute_wrong_for_custom_nodes(mac: Mac) -> None:
    """The probe found wrong what only custom nodes use."""
    mac.probe["checks"].append({
        "name": "attention, permuted and short, fp16", "error": 0.7, "bound": 0.01, "fault": "wrong", "repeat": 0.0,
        "custom_nodes": True,
    })  # fmt: skip


@breaks("torch-slow")
def compute_slowly(mac: Mac) -> None:
    """The probe took a second for what takes this chip a fiftieth."""
    mac.probe["block"]["seconds"] = 1.0


@breaks("torch-part-proven")
def lack_bf16(mac: Mac) -> None:
    """The probe could not compare bf16, which MPS does not have on macOS 13."""
    mac.probe["skipped"].append({"name": "bf16", "why": "BFloat16 is not supported on MPS"})


@breaks("numpy-abi")
def upgrade_numpy(mac: Mac) -> None:
    """NumPy 2 beside torch 2.2.2."""
    mac.commands[SW_VERS] = recorded("sw_vers/m1-14.0")
    _install(mac, torch="2.2.2", torchvision="0.17.2", numpy="2.1.0")


@breaks("omp-dup")
def bring_intels_openmp(mac: Mac) -> None:
    """Conda's OpenMP lies beside torch's."""
    mac.inside |= {"lib/libiomp5.dylib": b"", f"{SITE}/torch/lib/libomp.dylib": b""}


@breaks("mixed-arch-so")
def mix_processors(mac: Mac) -> None:
    """Torch's library is for Intel."""
    mac.inside[f"{SITE}/torch/lib/libtorch_cpu.dylib"] = struct.pack("<II", 0xFEEDFACF, INTEL) + bytes(24)


@breaks("quarantine")
def download_with_a_browser(mac: Mac) -> None:
    """Torch's library has the mark of what a browser brought."""
    mac.inside[f"{SITE}/torch/lib/libtorch_cpu.dylib"] = b""
    mac.quarantined = True


BREAKERS = tuple(value for value in list(vars().values()) if isinstance(value, MacBreaker))
