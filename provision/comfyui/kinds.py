"""The kinds of findings that only logs show."""

from __future__ import annotations

from provision.core.causes import BARE, PACKED
from provision.core.finding import ONLY_IN_LOGS, Kind

TORCHS, SYSTEMS = "messages of torch and Metal", "the system's messages"
PIPS, NETS, SHELLS = "messages of pip and uv", "messages of git, git-lfs, hf, wget and curl", "messages of the shell"
# fmt: off
ORIGIN_403 = Kind("origin-403", ONLY_IN_LOGS, "warns", "hint", "refused requests", "an empty 403 in the browser",
    "open the address that ComfyUI prints")
NIGHTLY_GAP = Kind("nightly-gap", ONLY_IN_LOGS, "blocks", "auto", "messages of pip",
    "`No matching distribution found for torchvision`", "`provision all` uses the newest day that has all packages")
PIP_MANAGED = Kind("pip-managed", ONLY_IN_LOGS, "blocks", "auto", "messages of pip", "`externally-managed-environment`",
    "`provision all` uses its own environment")
MPS_BF16 = Kind("mps-bf16", ONLY_IN_LOGS, "spoils", "hint", TORCHS,
    "`BFloat16 is not supported on MPS`", "`--fp32-vae` and no bf16 in `comfyui.args`, or macOS 14 and a newer torch")
MPS_TOO_LARGE = Kind("mps-too-large", ONLY_IN_LOGS, "spoils", "hint", TORCHS,
    "`Invalid buffer size: 8.21 GB`, `total bytes of NDArray > 2**32`", "a smaller image, tiles, or a newer macOS")
MPS_REFUSES = Kind("mps-refuses", ONLY_IN_LOGS, "spoils", "hint", TORCHS,
    "`Conv3D is not supported on MPS` and other limits of torch or Metal", "a newer torch or macOS")
MIXED_DTYPES = Kind("mixed-dtypes", ONLY_IN_LOGS, "spoils", "hint", TORCHS,
    "`expected scalar type Half but found Float`, `'tensor<1xf16>' and 'tensor<1xf32>' are not broadcast compatible`",
    "update or disable the custom node, or `comfyui.args` without `--force-fp16`")
TORCH_OLD = Kind("torch-old", ONLY_IN_LOGS, "blocks", "auto", TORCHS,
    "`module 'torch' has no attribute 'uint64'`, `unsupported autocast device_type 'mps'`",
    "`provision all` installs a newer torch", PACKED)
MODEL_DAMAGED = Kind("model-damaged", ONLY_IN_LOGS, "spoils", "hint",
    "which loader reads an incomplete or wrong file",
    "the error of a damaged checkpoint, in `CLIPLoader`, `VAELoader` and similar nodes", "download that file again")
PROMPT_REFUSED = Kind("prompt-refused", ONLY_IN_LOGS, "spoils", "hint", "what ComfyUI rejects in a workflow",
    "`Value not in list: lora_name: 'a.safetensors'`, `node X does not exist`",
    "the named file, custom node or link")
FILES_LIMIT = Kind("files-limit", ONLY_IN_LOGS, "blocks", "hint", SYSTEMS,
    "`Too many open files`", "`ulimit -n 4096`")
READ_ONLY = Kind("read-only", ONLY_IN_LOGS, "spoils", "hint", SYSTEMS,
    "`Read-only file system: '/comfyui'`", "correct the path in the custom node or workflow that names it")
LINK_REFUSED = Kind("link-refused", ONLY_IN_LOGS, "blocks", "hint", SYSTEMS,
    "`Operation not permitted: 'a' -> 'b'`", "`--home` on the Mac's own disk")
NATIVE_CRASH = Kind("native-crash", ONLY_IN_LOGS, "spoils", "hint", SYSTEMS,
    "`zsh: segmentation fault`, `Abort trap: 6`", "a Python and packages for this processor: `provision doctor --deep`",
    PACKED)
UNKNOWN_ERROR = Kind("unknown-error", ONLY_IN_LOGS, "warns", "hint", "the exception at the end of the log",
    "an unknown error, with the package it came from", "`provision doctor --deep`",
    PACKED)
PYTHON_INCOMPLETE = Kind("python-incomplete", ONLY_IN_LOGS, "blocks", "auto", "the missing part of Python",
    "`No module named '_lzma'`: Python was built without it", "`provision all` uses a complete one", BARE)
PACKAGE_MISFIT = Kind("package-misfit", ONLY_IN_LOGS, "spoils", "auto", "packages that do not fit together",
    "`cannot import name 'mapped_column' from "
    "'sqlalchemy.orm'`", "`provision all` installs the required versions", PACKED)
BUILD_FAILED = Kind("build-failed", ONLY_IN_LOGS, "blocks", "hint", PIPS,
    "`Failed building wheel for insightface`", "a Python that has wheels for it: `provision all` installs one")
NOT_FOR_MACS = Kind("not-for-macs", ONLY_IN_LOGS, "warns", "hint", PIPS,
    "`Failed building wheel for xformers`", "leave it out")
PKG_DAMAGED = Kind("pkg-damaged", ONLY_IN_LOGS, "blocks", "hint", PIPS,
    "`DO NOT MATCH THE HASHES`", "`pip cache purge`, then retry")
INDEX_REFUSED = Kind("index-refused", ONLY_IN_LOGS, "blocks", "hint", PIPS,
    "`was not found in the package registry`", "no mirror: unset UV_INDEX_URL, PIP_INDEX_URL")
NET_CUT = Kind("net-cut", ONLY_IN_LOGS, "warns", "auto", NETS,
    "`Read timed out`, `early EOF`, `Consistency check failed`", "run it again: downloads resume")
XET_FAILED = Kind("xet-failed", ONLY_IN_LOGS, "warns", "auto", NETS,
    "`Data processing error: CAS service error`", "`HF_HUB_DISABLE_XET=1`, or provision's own download")
HF_NOT_FOUND = Kind("hf-not-found", ONLY_IN_LOGS, "blocks", "hint", NETS,
    "`404 Client Error`, `RepositoryNotFoundError`", "the name of the repository and the file")
HF_REFUSED = Kind("hf-refused", ONLY_IN_LOGS, "blocks", "hint", NETS,
    "`401 Client Error`, `Username/Password Authentication Failed`, `returned error: 403`", "`hf auth login`")
GIT_REFUSED = Kind("git-refused", ONLY_IN_LOGS, "blocks", "hint", NETS,
    "`Permission denied (publickey)`", "the https address of the repository")
LFS_REFUSED = Kind("lfs-refused", ONLY_IN_LOGS, "blocks", "hint", NETS,
    "`batch response: This repository is over its data quota`, `smudge filter lfs failed`", "`--backend auto`")
TLS_EXPIRED = Kind("tls-expired", ONLY_IN_LOGS, "blocks", "hint", NETS,
    "`certificate has expired`", "the clock of this machine")
TLS_OLD = Kind("tls-old", ONLY_IN_LOGS, "blocks", "hint", NETS,
    "`Unable to establish SSL connection`", "a newer wget or git")
CLT_UNAVAILABLE = Kind("clt-unavailable", ONLY_IN_LOGS, "warns", "hint", SYSTEMS,
    "`Can't install the software because it is not currently available from the Software Update server`",
    "https://developer.apple.com/download/all; `provision all` needs no git")
HF_CLI_NAME = Kind("hf-cli-name", ONLY_IN_LOGS, "warns", "hint", SHELLS,
    "`command not found: huggingface-cli`", "the command is `hf` now")
WRONG_FOLDER = Kind("wrong-folder", ONLY_IN_LOGS, "warns", "hint", SHELLS,
    "`Could not open requirements file`", "run it in the folder of ComfyUI")
ZSH_BRACKETS = Kind("zsh-brackets", ONLY_IN_LOGS, "warns", "hint", SHELLS,
    "`zsh: no matches found: huggingface_hub[cli]`", "put it in quotes")
NOT_EXECUTABLE = Kind("not-executable", ONLY_IN_LOGS, "warns", "hint", SHELLS,
    "`zsh: permission denied: ./install.sh`", "`bash install.sh`")
COMMAND_MISSING = Kind("command-missing", ONLY_IN_LOGS, "warns", "hint", SHELLS,
    "`command not found: python`", "an active environment, `python3`, or `brew install`")
