"""Findings that only `doctor LOGFILE` yields, from words of ComfyUI and of the programs whose output people paste."""

from __future__ import annotations

from provision.core.finding_kind import ONLY_IN_LOGS, Known

TORCHS, SYSTEMS = "torch's and Metal's words", "the system's words"
PIPS, NETS, SHELLS = "pip's and uv's words", "the words of git, git-lfs, hf, wget and curl", "the shell's words"

LOG_KINDS: tuple[Known, ...] = (
    # -- of ComfyUI, torch and the system
    Known("mps-bf16", ONLY_IN_LOGS, "spoils", "hint", TORCHS, "`BFloat16 is not supported on MPS`",
          "`--fp32-vae` and no bf16 in `comfyui.args`, or macOS 14 and a newer torch"),
    Known("mps-too-large", ONLY_IN_LOGS, "spoils", "hint", TORCHS,
          "`Invalid buffer size: 8.21 GB`, `total bytes of NDArray > 2**32`", "a smaller image, tiles, or a newer"
          " macOS"),
    Known("mps-refuses", ONLY_IN_LOGS, "spoils", "hint", TORCHS,
          "`Conv3D is not supported on MPS`, and what else torch or Metal refuses", "a newer torch or macOS"),
    Known("mixed-dtypes", ONLY_IN_LOGS, "spoils", "hint", TORCHS,
          "`expected scalar type Half but found Float`, `'tensor<1xf16>' and 'tensor<1xf32>' are not broadcast"
          " compatible`",
          "the custom node updated or disabled, or `comfyui.args` without `--force-fp16`"),
    Known("torch-old", ONLY_IN_LOGS, "blocks", "auto", TORCHS,
          "`module 'torch' has no attribute 'uint64'`, `unsupported autocast device_type 'mps'`",
          "`provision all` installs a newer torch"),
    Known("model-damaged", ONLY_IN_LOGS, "spoils", "hint", "which loader reads a file that is cut short, or another",
          "the error of a damaged checkpoint, in `CLIPLoader`, `VAELoader` and the like", "download that file again"),
    Known("prompt-refused", ONLY_IN_LOGS, "spoils", "hint", "what of a workflow ComfyUI refuses",
          "`Value not in list: lora_name: 'a.safetensors'`, `node X does not exist`",
          "the file, the custom node or the link that it names"),
    Known("files-limit", ONLY_IN_LOGS, "blocks", "hint", SYSTEMS, "`Too many open files`", "`ulimit -n 4096`"),
    Known("read-only", ONLY_IN_LOGS, "spoils", "hint", SYSTEMS, "`Read-only file system: '/comfyui'`",
          "correct the path in the custom node or workflow that names it"),
    Known("link-refused", ONLY_IN_LOGS, "blocks", "hint", SYSTEMS, "`Operation not permitted: 'a' -> 'b'`",
          "`--home` on the Mac's own disk"),
    Known("native-crash", ONLY_IN_LOGS, "spoils", "hint", SYSTEMS, "`zsh: segmentation fault`, `Abort trap: 6`",
          "a Python and packages of this processor: `provision doctor --deep`"),
    Known("unknown-error", ONLY_IN_LOGS, "warns", "hint", "the exception that the log ends with",
          "an error that is not known here, with the package that it came from", "`provision doctor --deep`"),
    # -- of Python, pip and uv
    Known("python-incomplete", ONLY_IN_LOGS, "blocks", "auto", "the part of Python that is missing",
          "`No module named '_lzma'`: Python was built without it", "`provision all` uses a whole one"),
    Known("package-misfit", ONLY_IN_LOGS, "spoils", "auto", "packages of versions that do not go together",
          "`cannot import name 'mapped_column' from 'sqlalchemy.orm'`", "`provision all` installs what is asked for"),
    Known("build-failed", ONLY_IN_LOGS, "blocks", "hint", PIPS, "`Failed building wheel for insightface`",
          "a Python that has wheels for it: `provision all` makes one"),
    Known("not-for-macs", ONLY_IN_LOGS, "warns", "hint", PIPS, "`Failed building wheel for xformers`", "leave it out"),
    Known("pkg-damaged", ONLY_IN_LOGS, "blocks", "hint", PIPS, "`DO NOT MATCH THE HASHES`", "`pip cache purge`, and"
    " again"),
    Known("index-refused", ONLY_IN_LOGS, "blocks", "hint", PIPS, "`was not found in the package registry`",
          "no mirror: unset UV_INDEX_URL, PIP_INDEX_URL"),
    # -- of the hub, git and the network
    Known("net-cut", ONLY_IN_LOGS, "warns", "auto", NETS, "`Read timed out`, `early EOF`, `Consistency check failed`",
          "run it again: downloads resume"),
    Known("xet-failed", ONLY_IN_LOGS, "warns", "auto", NETS, "`Data processing error: CAS service error`",
          "`HF_HUB_DISABLE_XET=1`, or this tool's own download"),
    Known("hf-not-found", ONLY_IN_LOGS, "blocks", "hint", NETS, "`404 Client Error`, `RepositoryNotFoundError`",
          "the name of the repository and the file"),
    Known("hf-refused", ONLY_IN_LOGS, "blocks", "hint", NETS,
          "`401 Client Error`, `Username/Password Authentication Failed`, `returned error: 403`", "`hf auth login`"),
    Known("git-refused", ONLY_IN_LOGS, "blocks", "hint", NETS, "`Permission denied (publickey)`",
          "the https address of the repository"),
    Known("lfs-refused", ONLY_IN_LOGS, "blocks", "hint", NETS,
          "`batch response: This repository is over its data quota`, `smudge filter lfs failed`", "`--backend auto`"),
    Known("tls-expired", ONLY_IN_LOGS, "blocks", "hint", NETS, "`certificate has expired`",
    "the clock of this machine"),
    Known("tls-old", ONLY_IN_LOGS, "blocks", "hint", NETS, "`Unable to establish SSL connection`", "a newer wget or"
    " git"),
    Known("hf-cli-name", ONLY_IN_LOGS, "warns", "hint", SHELLS, "`command not found: huggingface-cli`",
          "the command is `hf` now"),
    Known("wrong-folder", ONLY_IN_LOGS, "warns", "hint", SHELLS, "`Could not open requirements file`",
          "the same in the folder of ComfyUI"),
    Known("zsh-brackets", ONLY_IN_LOGS, "warns", "hint", SHELLS, "`zsh: no matches found: huggingface_hub[cli]`",
          "the same in quotes"),
    Known("not-executable", ONLY_IN_LOGS, "warns", "hint", SHELLS, "`zsh: permission denied: ./install.sh`",
          "`bash install.sh`"),
    Known("command-missing", ONLY_IN_LOGS, "warns", "hint", SHELLS, "`command not found: python`",
          "an active environment, `python3`, or `brew install`"),
)  # fmt: skip
