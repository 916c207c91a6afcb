"""What the step `torch` can find: what is looked at, what it looks like to a person, what mends it."""

from __future__ import annotations

from provision.core.causes import BARE
from provision.core.finding import FINE, NOTHING, Kind

# fmt: off
TORCH_READY = Kind("torch-ready", "torch", "informs", "none", "torch and its proof", FINE, NOTHING)
ROLLBACK_READY = Kind("rollback-ready", "torch", "informs", "none",
    "the environment from before the last change of torch", FINE, NOTHING)
LOCK_DIFFERS = Kind("lock-differs", "torch", "blocks", "auto",
    "the packages against the lock that is given (`all --locked`)", "another set than the one that is asked for",
    "the lock's packages are installed by their hashes")
TORCH_MISSING = Kind("torch-missing", "torch", "blocks", "auto", "the installed packages", "`No module named 'torch'`",
    "torch and the torchvision that fits it are installed", BARE)
TORCH_CHANNEL = Kind("torch-channel", "torch", "warns", "auto", "torch's version against the channel asked for",
    "another torch than was wished", "the other one is installed")
TORCH_UNPROVEN = Kind("torch-unproven", "torch", "warns", "auto", "whether this torch was seen to compute right here",
    "nothing yet", "a small probe compares its device with the CPU", BARE, adds_only=True)
TORCH_BROKEN = Kind("torch-broken", "torch", "blocks", "auto", "whether torch can be imported (`--deep`)",
    "ComfyUI ends with a traceback", "it is installed again")
TV_MISMATCH = Kind("tv-mismatch", "torch", "blocks", "auto",
    "whether torchvision serves this torch (the range in its METADATA)", "`operator torchvision::nms does not exist`",
    "the two are installed together")
TA_MISMATCH = Kind("ta-mismatch", "torch", "warns", "auto",
    "whether torchaudio serves this torch (the range in its METADATA), and can be imported beside it",
    "`libtorchaudio.so ... Symbol not found`; audio nodes fail",
    "removed, or installed with torch where ComfyUI asks for it")
TORCH_SLOW = Kind("torch-slow", "torch", "warns", "hint",
    "the speed of a block of the UNet against what the chip can do", "pictures take long",
    "close other programs, turn Low Power Mode off; `provision doctor --deep`")
TORCH_DOUBTFUL = Kind("torch-doubtful", "torch", "warns", "hint",
    "short attention over permuted tensors; a table of bad pairs of torch, macOS and chip (manifests/known-bad.toml)",
    "what the sentence says; ComfyUI's own nodes are not touched", "a newer torch")
TORCH_KNOWN_BAD = Kind("torch-known-bad", "torch", "spoils", "auto",
    "the torch installed, or asked for, in a table of bad pairs of torch, macOS and chip (manifests/known-bad.toml),"
    " before anything is downloaded", "noise or black pictures without an error",
    "another torch is installed; one asked for by number is refused")
TORCH_PART_PROVEN = Kind("torch-part-proven", "torch", "warns", "none",
    "comparisons that could not be made, as bf16 on macOS 13", "nothing, if the rest is right", NOTHING)
MPS_NUMERICS = Kind("mps-numerics", "torch", "spoils", "auto",
    "34 comparisons with the CPU: each layer of the UNet and the VAE in fp16 and bf16, also on permuted and chunked"
    " tensors, twice", "noise or black pictures without an error", "another torch is installed")
GPU_HIDDEN = Kind("gpu-hidden", "torch", "spoils", "hint", "whether torch is built for the Mac's GPU and sees none",
    "minutes a picture", "start it in Terminal on the Mac itself, not over SSH or in a sandbox")
NUMPY_ABI = Kind("numpy-abi", "torch", "blocks", "auto", "torch before 2.3 beside NumPy 2", "`Numpy is not available`",
    "NumPy 1 is installed, torch held")
MIXED_ARCH_SO = Kind("mixed-arch-so", "torch", "blocks", "auto",
    "the processor that large libraries are built for; ComfyUI's log",
    "`incompatible architecture (have 'x86_64', need 'arm64')`", "the package is installed again")
QUARANTINE = Kind("quarantine", "torch", "blocks", "consent", "macOS's mark on torch's library; ComfyUI's log",
    "`library load disallowed by system policy`", "the mark is taken off after a yes")
OMP_DUP = Kind("omp-dup", "torch", "spoils", "consent", "a second OpenMP library beside torch's own; logs",
    "`OMP: Error #15`, as where conda and pip are mixed", "the environment is made anew after a yes")
