"""The kinds of findings of the step `server`."""

from __future__ import annotations

from provision.core.causes import RUN
from provision.core.finding import FINE, NOTHING, Kind

# fmt: off
LOG = "ComfyUI's log of its last run"
SERVER_UP = Kind("server-up", "server", "informs", "none", "whether our server answers, with today's code and flags",
    FINE, NOTHING)
FLAGS_KEPT = Kind("flags-kept", "server", "informs", "none", "flags that the first image needed beside the manifest's",
    "nothing: without them it was black; tried anew when torch, ComfyUI or macOS changes", NOTHING)
SERVER_DOWN = Kind("server-down", "server", "warns", "auto", "whether our server runs", "the page does not open",
    "started", RUN)
SERVER_YOURS = Kind("server-yours", "server", "informs", "none", "a server that an adopted install's owner started",
    "nothing: it is used, and never ended", NOTHING)
SERVER_STARTING = Kind("server-starting", "server", "informs", "auto", "how long it runs without an answer",
    "the page does not open yet", "waited for")
SERVER_STALE = Kind("server-stale", "server", "warns", "auto",
    "its flags, code and torch against what is wanted, its answers", "what was updated is not in use", "started again",
    RUN)
SERVER_LOST = Kind("server-lost", "server", "informs", "auto", "whether a server of this home runs without a record",
    "nothing", "taken on, or started again")
PORT_BUSY = Kind("port-busy", "server", "blocks", "hint", "who has the port",
    "`error while attempting to bind on address`", "close that program, or another `comfyui.port`")
PORT_COMFYUI = Kind("port-comfyui", "server", "blocks", "hint", "whether another ComfyUI has the port",
    "the page of another ComfyUI opens", "close it, or another `comfyui.port`")
TORCH_NO_MPS = Kind("torch-no-mps", "server", "spoils", "hint", "the device on which ComfyUI computes against torch's",
    "minutes a picture, or `Torch not compiled with CUDA enabled`", "`provision doctor --deep`")
NODE_FAILED = Kind("node-failed", "server", "warns", "consent", LOG,
    "nodes of a custom node are missing, red in workflows",
    "its folder is renamed to end in .disabled after a yes, or its packages are installed by you")
EXTRAS_FAILED = Kind("extras-failed", "server", "warns", "hint", LOG, "some of ComfyUI's own nodes are missing",
    "`provision all` installs what requirements.txt asks for")
FLAG_UNKNOWN = Kind("flag-unknown", "server", "blocks", "hint",
    "flags of `comfyui.args` against those that ComfyUI has; its log", "`main.py: error: unrecognized arguments`",
    "correct `comfyui.args`")
FLAG_OLD = Kind("flag-old", "server", "warns", "hint", "flags of `comfyui.args` that ComfyUI calls deprecated",
    "nothing yet", "the flag that it names in its place")
DB_IN_USE = Kind("db-in-use", "server", "blocks", "hint", LOG, "`ASSETS_STARTUP_FAILED: in_use`",
    "end the other ComfyUI that uses this home")
DTYPE_FLAGS = Kind("dtype-flags", "server", "blocks", "hint", "flags of `comfyui.args` that exclude each other",
    "`argument ...: not allowed with argument`; with --fp16-vae black pictures", "leave one of them out")
FP8_FP64_MPS = Kind("fp8-fp64-mps", "server", "spoils", "hint",
    "flags of `comfyui.args` for numbers that no Mac's GPU has; logs", "`Float8_e4m3fn to the MPS backend`, `float64`",
    "leave it out of `comfyui.args`, or another checkpoint")
LISTEN_WRONG = Kind("listen-wrong", "server", "warns", "hint", "--listen in `comfyui.args`",
    "others in your network can use ComfyUI", "leave it out of `comfyui.args`")
