"""What the step `hardware` can find: what is looked at, what it looks like to a person, what mends it."""

from __future__ import annotations

from provision.core.finding import FINE, NOTHING, Kind

# fmt: off
HW_CHIP = Kind("hw-chip", "hardware", "informs", "none", "the chip (sysctl)", FINE, NOTHING)
HW_GUEST = Kind("hw-guest", "hardware", "warns", "hint", "whether this is a virtual machine, as sysctl tells",
    "torch seldom sees the GPU in one: minutes per image", "the Mac itself")
HW_OS = Kind("hw-os", "hardware", "informs", "none", "the version of macOS (sw_vers)", FINE, NOTHING)
HW_MEMORY = Kind("hw-memory", "hardware", "informs", "none", "the amount of memory", FINE, NOTHING)
HW_DISK = Kind("hw-disk", "hardware", "informs", "none", "free space against what the plan will write", FINE, NOTHING)
HW_NOT_MAC = Kind("hw-not-mac", "hardware", "warns", "none", "whether this is a Mac",
    "an Nvidia GPU is used if present, else the CPU: minutes per image", NOTHING)
HW_INTEL = Kind("hw-intel", "hardware", "blocks", "hint", "hw.optional.arm64 of sysctl",
    "the last torch for it is 2.2.2, too old for ComfyUI",
    "a Mac with Apple silicon, Linux, or the rehearsal")
OS_TOO_OLD = Kind("os-too-old", "hardware", "blocks", "hint", "the version of macOS against the manifest",
    "torch has no wheel for it, or does not see the GPU", "update macOS")
OS27_PSUTIL = Kind("os27-psutil", "hardware", "warns", "hint", "whether psutil can read the memory of a new macOS",
    "ComfyUI may exit with `host_statistics64 ... failed`", "`provision all --comfyui latest`")
MEM_LOW = Kind("mem-low", "hardware", "blocks", "hint", "memory against the manifest's minimum",
    "the program is killed while the model loads", "lower `machine.memory_gib_min` to try anyway")
MEM_8GB = Kind("mem-8gb", "hardware", "warns", "hint", "memory against what the manifest recommends",
    "the Mac swaps, and images are slow", "close other programs; one 512x512 image at a time")
MEM_FITS = Kind("mem-fits", "hardware", "informs", "none",
    "the model's weights and activations against memory and Metal's limit", FINE, NOTHING)
MEM_TIGHT = Kind("mem-tight", "hardware", "warns", "hint", "memory for the model: less than 2 GiB are left "
                                                           "for other programs",
    "images are slow while other programs run", "close other programs")
MEM_SWAPS = Kind("mem-swaps", "hardware", "warns", "hint", "memory for the model: more than available",
    "minutes per image, or `MPS backend out of memory`", "one small image at a time, or a smaller model")
MEM_PRESSURE = Kind("mem-pressure", "hardware", "warns", "hint", "macOS's memory pressure and swap now",
    "the first image takes minutes", "close what you do not need")
LOW_POWER = Kind("low-power", "hardware", "warns", "hint", "Low Power Mode (pmset)", "images take longer",
    "turn it off in System Settings, Battery")
DISK_LOW = Kind("disk-low", "hardware", "blocks", "hint",
    "free space against what the plan will write, plus 2 GiB",
    "`No space left on device` in the middle of a download",
    "free some space (`provision clean`), or `--home` on another disk")
HOME_GONE = Kind("home-gone", "hardware", "blocks", "hint",
    "whether the install folder exists, and its disk is mounted",
    "everything seems to be gone, or fills the wrong disk", "connect the disk, or another `--home`")
HOME_READ_ONLY = Kind("home-read-only", "hardware", "blocks", "hint", "whether the disk of the install "
                                                                      "folder is writable",
    "nothing can be saved, for example on a disk image, or on NTFS on a Mac", "another disk, or `--home`")
TCC_FOLDER = Kind("tcc-folder", "hardware", "blocks", "hint",
    "whether macOS lets the terminal read the install folder; ComfyUI's log",
    "`Operation not permitted` below Documents, Desktop, Downloads",
    "Full Disk Access for the terminal, or another `--home`")
