"""What the step `hardware` can find: what is looked at, what it looks like to a person, what mends it."""

from __future__ import annotations

from provision.core.finding import FINE, NOTHING, Kind

# fmt: off
HW_CHIP = Kind("hw-chip", "hardware", "informs", "none", "the chip, as sysctl tells", FINE, NOTHING)
HW_GUEST = Kind("hw-guest", "hardware", "warns", "hint", "whether this is a virtual machine, as sysctl tells",
    "torch seldom sees the GPU in one: minutes a picture", "the Mac itself")
HW_OS = Kind("hw-os", "hardware", "informs", "none", "the version of macOS, as sw_vers tells", FINE, NOTHING)
HW_MEMORY = Kind("hw-memory", "hardware", "informs", "none", "how much memory there is", FINE, NOTHING)
HW_DISK = Kind("hw-disk", "hardware", "informs", "none", "free space against what the plan will write", FINE, NOTHING)
HW_NOT_MAC = Kind("hw-not-mac", "hardware", "warns", "none", "whether this is a Mac",
    "an Nvidia GPU is used where there is one, else the CPU: minutes a picture", NOTHING)
HW_INTEL = Kind("hw-intel", "hardware", "blocks", "hint", "hw.optional.arm64 of sysctl",
    "no torch later than 2.2.2 can be installed, and ComfyUI needs a later one",
    "a Mac with Apple silicon, Linux, or the rehearsal")
OS_TOO_OLD = Kind("os-too-old", "hardware", "blocks", "hint", "the version of macOS against the manifest",
    "there is no wheel of torch for it, or the GPU is not seen", "update macOS")
OS27_PSUTIL = Kind("os27-psutil", "hardware", "warns", "hint", "whether psutil can read the memory of a new macOS",
    "ComfyUI may end with `host_statistics64 ... failed`", "`provision all --comfyui latest`")
MEM_LOW = Kind("mem-low", "hardware", "blocks", "hint", "memory against the manifest's least",
    "the program is killed while the model loads", "lower `machine.memory_gib_min` to try all the same")
MEM_8GB = Kind("mem-8gb", "hardware", "warns", "hint", "memory against what the manifest recommends",
    "the machine swaps, and pictures come slowly", "close other programs; one picture of 512x512 at a time")
MEM_FITS = Kind("mem-fits", "hardware", "informs", "none",
    "the model's weights and activations against memory and Metal's recommendation, by its header", FINE, NOTHING)
MEM_TIGHT = Kind("mem-tight", "hardware", "warns", "hint", "the same: less than 2 GiB are left for other programs",
    "pictures come slowly while other programs are in use", "close other programs")
MEM_SWAPS = Kind("mem-swaps", "hardware", "warns", "hint", "the same: it is more than there is",
    "minutes a picture, or `MPS backend out of memory`", "one small picture at a time, or a smaller model")
MEM_PRESSURE = Kind("mem-pressure", "hardware", "warns", "hint", "macOS's memory pressure and swap now",
    "the first picture takes minutes", "close what is not needed")
LOW_POWER = Kind("low-power", "hardware", "warns", "hint", "Low Power Mode, as pmset tells", "pictures take longer",
    "turn it off in System Settings, Battery")
DISK_LOW = Kind("disk-low", "hardware", "blocks", "hint",
    "free space against what the plan will write, and 2 GiB of air",
    "`No space left on device` in the middle of a download", "free some space, or `--home` on another disk")
HOME_GONE = Kind("home-gone", "hardware", "blocks", "hint",
    "whether the home's link leads somewhere, and its disk is mounted",
    "all of it seems to be gone, or fills the system's own disk", "plug in the disk, or another `--home`")
HOME_READ_ONLY = Kind("home-read-only", "hardware", "blocks", "hint", "whether the home's disk takes any writing",
    "nothing can be saved there, as on a disk image, or on NTFS on a Mac", "another disk, or `--home`")
TCC_FOLDER = Kind("tcc-folder", "hardware", "blocks", "hint",
    "whether macOS lets the terminal read the home; ComfyUI's log",
    "`Operation not permitted` below Documents, Desktop, Downloads",
    "Full Disk Access for the terminal, or another `--home`")
