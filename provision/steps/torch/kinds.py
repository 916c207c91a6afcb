"""What the step `torch` can find: what is looked at, what it looks like to a person, what mends it."""

from __future__ import annotations

from provision.core.causes import BARE
from provision.core.finding import FINE, NOTHING, Kind

# fmt: off
TORCH_READY = Kind("torch-ready", "torch", "informs", "none", "torch and its test", FINE, NOTHING)
ROLLBACK_READY = Kind("rollback-ready", "torch", "informs", "none",
    "the environment from before the last change of torch", FINE, NOTHING)
LOCK_DIFFERS = Kind("lock-differs", "torch", "blocks", "auto",
    "the packages against the given lock (`all --locked`)", "not the requested packages",
    "the lock's packages are installed by hash")
TORCH_MISSING = Kind("torch-missing", "torch", "blocks", "auto", "the installed packages", "`No module named 'torch'`",
    "torch and the torchvision that fits it are installed", BARE)
TORCH_CHANNEL = Kind("torch-channel", "torch", "warns", "auto", "torch's version against the requested one",
    "not the requested torch", "the requested one is installed")
TORCH_UNPROVEN = Kind("torch-unproven", "torch", "warns", "auto", "whether this torch computes correctly",
    "nothing yet", "its device is compared with the CPU", BARE, adds_only=True)
TORCH_BROKEN = Kind("torch-broken", "torch", "blocks", "auto", "whether torch can be imported (`--deep`)",
    "ComfyUI exits with a traceback", "installed again")
TV_MISMATCH = Kind("tv-mismatch", "torch", "blocks", "auto",
    "whether torchvision matches this torch (its METADATA)", "`operator torchvision::nms does not exist`",
    "the two are installed together")
TA_MISMATCH = Kind("ta-mismatch", "torch", "warns", "auto",
    "whether torchaudio matches this torch (its METADATA) and can be imported",
    "`libtorchaudio.so ... Symbol not found`; audio nodes fail",
    "removed, or installed with torch if ComfyUI requires it")
TORCH_SLOW = Kind("torch-slow", "torch", "warns", "hint",
    "the speed of a block of the UNet against what the chip can do", "images are slow",
    "close other programs, turn Low Power Mode off; `provision doctor --deep`")
TORCH_DOUBTFUL = Kind("torch-doubtful", "torch", "warns", "hint",
    "short attention over permuted tensors; known bad combinations of torch, macOS and chip (manifests/known-bad.toml)",
    "see the message; ComfyUI's own nodes are not affected", "a newer torch")
TORCH_KNOWN_BAD = Kind("torch-known-bad", "torch", "spoils", "auto",
    "the installed or requested torch in known bad combinations with macOS and chip (manifests/known-bad.toml),"
    " before anything is downloaded", "noise or black images without an error",
    "another torch is installed; a pinned version is rejected")
TORCH_PART_PROVEN = Kind("torch-part-proven", "torch", "warns", "none",
    "skipped comparisons, such as bf16 on macOS 13", "nothing, if the rest is correct", NOTHING)
MPS_NUMERICS = Kind("mps-numerics", "torch", "spoils", "auto",
    "34 comparisons with the CPU: each layer of the UNet and the VAE in fp16 and bf16, also on permuted and chunked"
    " tensors, twice", "noise or black images without an error", "another torch is installed")
GPU_HIDDEN = Kind("gpu-hidden", "torch", "spoils", "hint", "whether torch sees the Mac's GPU",
    "minutes per image", "start it in Terminal on the Mac itself, not over SSH or in a sandbox")
NUMPY_ABI = Kind("numpy-abi", "torch", "blocks", "auto", "torch before 2.3 with NumPy 2", "`Numpy is not available`",
    "NumPy 1 is installed, torch is kept")
MIXED_ARCH_SO = Kind("mixed-arch-so", "torch", "blocks", "auto",
    "the architecture of large libraries; ComfyUI's log",
    "`incompatible architecture (have 'x86_64', need 'arm64')`", "the package is reinstalled")
QUARANTINE = Kind("quarantine", "torch", "blocks", "consent", "the quarantine flag on torch's library; ComfyUI's log",
    "`library load disallowed by system policy`", "the flag is removed after a yes")
OMP_DUP = Kind("omp-dup", "torch", "spoils", "consent", "a second OpenMP library next to torch's; logs",
    "`OMP: Error #15` (conda and pip mixed)", "the environment is recreated after a yes")
