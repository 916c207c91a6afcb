"""The kinds of findings of the step `server`."""

from __future__ import annotations

from provision.core.causes import RUN
from provision.core.finding import FINE, NOTHING, Kind

# fmt: off
LOG = "ComfyUI's log of its last run"
SERVER_UP = Kind("server-up", "server", "informs", "none", "whether the server answers, with current code and flags",
    FINE, NOTHING)
FLAGS_KEPT = Kind("flags-kept", "server", "informs", "none", "extra flags that the first image needed",
    "nothing: without them the image was black; tested again when torch, ComfyUI or macOS changes", NOTHING)
SERVER_DOWN = Kind("server-down", "server", "warns", "auto", "whether the server is running", "the page does not open",
    "started", RUN)
SERVER_YOURS = Kind("server-yours", "server", "informs", "none", "a server you started from an adopted install",
    "nothing: it is used, and never stopped", NOTHING)
SERVER_STARTING = Kind("server-starting", "server", "informs", "auto", "how long it has been running without an answer",
    "the page does not open yet", "waited for")
SERVER_STALE = Kind("server-stale", "server", "warns", "auto",
    "its flags, code and torch, and whether it answers", "updates are not in use", "restarted",
    RUN)
SERVER_LOST = Kind("server-lost", "server", "informs", "auto", "whether an unrecorded server of this "
                                                               "install folder is running",
    "nothing", "used, or restarted")
PORT_BUSY = Kind("port-busy", "server", "blocks", "hint", "which program uses the port",
    "`error while attempting to bind on address`", "close that program, or change `comfyui.port`")
PORT_COMFYUI = Kind("port-comfyui", "server", "blocks", "hint", "whether another ComfyUI uses the port",
    "the page of another ComfyUI opens", "close it, or change `comfyui.port`")
TORCH_NO_MPS = Kind("torch-no-mps", "server", "spoils", "hint", "whether ComfyUI uses torch's device",
    "minutes per image, or `Torch not compiled with CUDA enabled`", "`provision doctor --deep`")
NODE_FAILED = Kind("node-failed", "server", "warns", "consent", LOG,
    "nodes of a custom node are missing, red in workflows",
    "its folder is renamed to end in .disabled after a yes; or install its packages")
EXTRAS_FAILED = Kind("extras-failed", "server", "warns", "hint", LOG, "some of ComfyUI's own nodes are missing",
    "`provision all` installs requirements.txt")
FLAG_UNKNOWN = Kind("flag-unknown", "server", "blocks", "hint",
    "flags of `comfyui.args` against those that ComfyUI has; its log", "`main.py: error: unrecognized arguments`",
    "correct `comfyui.args`")
FLAG_OLD = Kind("flag-old", "server", "warns", "hint", "flags of `comfyui.args` that ComfyUI calls deprecated",
    "nothing yet", "use the flag that it names instead")
DB_IN_USE = Kind("db-in-use", "server", "blocks", "hint", LOG, "`ASSETS_STARTUP_FAILED: in_use`",
    "stop the other ComfyUI that uses this install folder")
DTYPE_FLAGS = Kind("dtype-flags", "server", "blocks", "hint", "flags of `comfyui.args` that exclude each other",
    "`argument ...: not allowed with argument`; black images with --fp16-vae", "leave one of them out")
FP8_FP64_MPS = Kind("fp8-fp64-mps", "server", "spoils", "hint",
    "flags of `comfyui.args` for number formats that no Mac's "
    "GPU has; logs", "`Float8_e4m3fn to the MPS backend`, `float64`",
    "remove it from `comfyui.args`, or use another checkpoint")
LOGIN_ON = Kind("login-on", "server", "informs", "none", "whether ComfyUI starts when you log in",
    "nothing: you turned it on", NOTHING)
LOGIN_STALE = Kind("login-stale", "server", "warns", "auto",
    "the LaunchAgent, or systemd unit, that starts ComfyUI at login: its program, its install folder, its version",
    "ComfyUI does not start at login", "written again")
LOGIN_LEFT = Kind("login-left", "server", "warns", "hint", "LaunchAgents, or systemd units, of removed install folders",
    "a failed start at each login", "`provision launch --no-login --home DIR`")
LAN_OPEN = Kind("lan-open", "server", "informs", "none", "whether ComfyUI is open to your network",
    "others in your network can use ComfyUI: you opened it", NOTHING)
LISTEN_WRONG = Kind("listen-wrong", "server", "warns", "hint", "--listen in `comfyui.args`",
    "others in your network can use ComfyUI", "remove it from `comfyui.args`")
