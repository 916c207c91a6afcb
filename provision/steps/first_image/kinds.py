"""The kinds of findings of the step `first_image`."""

from __future__ import annotations

from provision.core.causes import PACKED
from provision.core.finding import FINE, NOTHING, Kind

# fmt: off
LOG = "ComfyUI's log of its last run"
LAST = "ComfyUI's history, or its log of its last run"
FIRST_IMAGE_MADE = Kind("first-image-made", "first_image", "informs", "none", "the first image and its receipt", FINE,
    NOTHING)
FIRST_IMAGE_MISSING = Kind("first-image-missing", "first_image", "warns", "auto", "the first image",
    "not tested yet", "made", PACKED)
FIRST_IMAGE_STALE = Kind("first-image-stale", "first_image", "warns", "auto",
    "what it was made with against what is installed", "the current install is not tested", "made again", PACKED)
FIRST_IMAGE_ROUGH = Kind("first-image-rough", "first_image", "warns", "hint", "whether the first image is plausible",
    "the image may not show the prompt", "look at it")
IMAGE_PROVEN = Kind("image-proven", "first_image", "informs", "none", "a new image (`--deep`)",
    FINE, NOTHING)
IMAGE_REJECTED = Kind("image-rejected", "first_image", "spoils", "auto", "the first image",
    "black, of one colour, or noise",
    "tried again with `--force-upcast-attention`, then `--fp32-vae`, then stable torch; what helps is kept")
ENGINE_ERROR = Kind("engine-error", "first_image", "spoils", "hint", "the `execution_error` of ComfyUI's last prompt",
    "an unknown error of a node", "`provision logs`; for a custom node, disable it")
BLACK_IMAGE = Kind("black-image", "first_image", "spoils", "hint", LOG,
    "a black image; `invalid value encountered in cast`",
    "`--force-upcast-attention`, then `--fp32-vae`, in `comfyui.args`; `provision all` tries them automatically")
MPS_OOM = Kind("mps-oom", "first_image", "spoils", "hint", LAST, "`MPS backend out of memory`",
    "close other programs; a smaller image")
MEM_OUT = Kind("mem-out", "first_image", "spoils", "hint", LAST, "`out of memory`, `Cannot allocate memory`",
    "close other programs; a smaller image")
MEM_KILLED = Kind("mem-killed", "first_image", "spoils", "hint", LOG,
    "`zsh: killed`; the server dies while making an image", "close other programs; a smaller image")
MPS_PLACEHOLDER = Kind("mps-placeholder", "first_image", "spoils", "hint", LAST,
    "`Placeholder storage has not been allocated on MPS`",
    "disable the named custom node, or move them all aside")
MPS_OP_MISSING = Kind("mps-op-missing", "first_image", "spoils", "hint", LAST,
    "`The operator '...' is not currently implemented for`", "a newer torch: `provision all --torch nightly`")
MPS_ABORT = Kind("mps-abort", "first_image", "spoils", "hint", LOG,
    "`LLVM ERROR`, `NDArray dimension length > INT_MAX`", "a newer torch or macOS")
HALF_MISSING = Kind("half-missing", "first_image", "spoils", "hint", LAST, "`not implemented for 'Half'`",
    "leave out `--force-fp16`")
SHAPE_MISMATCH = Kind("shape-mismatch", "first_image", "spoils", "hint", LAST,
    "`mat1 and mat2 shapes cannot be multiplied`", "`provision doctor --deep`; move the custom nodes aside")
CKPT_DAMAGED = Kind("ckpt-damaged", "first_image", "spoils", "hint", LAST,
    "`MetadataIncompleteBuffer`, `incomplete metadata`, `HeaderTooLarge`, `invalid JSON in header`",
    "`provision doctor --deep --fix`")
CKPT_UNLISTED = Kind("ckpt-unlisted", "first_image", "spoils", "hint", LOG, "`Value not in list: ckpt_name`",
    "`provision doctor --fix`")
NODE_ERROR = Kind("node-error", "first_image", "spoils", "hint", LOG, "an unknown error of a node",
    "`provision logs`")
