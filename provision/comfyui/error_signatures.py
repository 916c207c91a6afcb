"""The table of ComfyUI's and torch's errors and their meanings, for running errors and for logs.

The patterns are from reports (issues of ComfyUI and PyTorch) and from the sources: execution.py, main.py and
folder_paths.py of v0.3.64, and the messages of 0.38.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import NamedTuple

from provision.command import Command, Fix, as_fix, ours, program
from provision.system.visible import shell_word

WORDS_MAX = 500
"""Characters of another program's text that are shown."""
AGAIN = ours("all")
PLAIN_FLAGS = ours("all", "--set", 'comfyui.args=["--force-fp16"]')
NO_FLAGS = ours("all", "--set", "comfyui.args=[]")
NEW_TORCH = ours("all", "--torch", "nightly")
SMALLER = Fix("Close other programs (an image of 512x512 needs about 8 GB), then:", ours("all"))
SMALLER_IMAGE = Fix("A smaller image, or a tiled VAE and upscaler; or a newer macOS, then:", ours("all"))
DAMAGED = Fix("Read the whole file, and fetch it again where it is wrong:", ours("doctor", "--deep", "--fix"))
RESTART = ours("stop", then=ours("launch"))
CUSTOM = Fix("Move ComfyUI/custom_nodes aside, then:", ours("all"))
UPDATE_NODES = Fix(
    "Update the custom node that is in use, or rename its folder to end in .disabled, then:", ours("launch")
)
NEW_DATABASE = Fix("Move ComfyUI/user/comfyui.db aside, then:", ours("launch"))
NO_NODE_NAMED = r"[Dd]evice: *mps\b|\*\*Type:\*\* mps\b"


class Signature(NamedTuple):
    """An error: the finding's id, its pattern, a sentence without a full stop, what to do next.

    In `says` and `hint`, `{0}` is the pattern's first group and `{near}` what `near` found. The text between two words
    is bounded: else a line that repeats the first word a million times is searched a million times.
    """

    id: str
    pattern: str
    says: str
    hint: Fix | Command
    near: str = ""
    """A pattern that must be in the same traceback."""
    beside: str = ""
    """A pattern that must be somewhere in the same log."""
    in_node: bool = False
    """Only where the traceback ends in a custom node's code."""
    blames_node: bool = False
    """Where it does, that custom node should be updated or disabled."""
    lasts: bool = False
    """Worth saying even where ComfyUI started, or made its image."""
    follows: bool = False
    """Said only where nothing near it in a log says more."""

    def says_of(self, found: re.Match[str], near: re.Match[str]) -> str:
        """The sentence, filled in."""
        known_as = next(filter(None, near.groups()), "")
        return " ".join(self.says.format(*map(short, _filled(found)), near=known_as).replace(" ()", "").split())

    def hint_of(self, found: re.Match[str]) -> Fix:
        """What to do next, filled in; quoted for a shell in the sentence."""
        hint, word = as_fix(self.hint), short(_filled(found)[0])
        command = hint.command and replace(hint.command, argv=tuple(w.replace("{0}", word) for w in hint.command.argv))
        return Fix(hint.says.replace("{0}", shell_word(word)), command)


def short(text: str) -> str:
    """Another program's text, cut to a length that can be read."""
    return text if len(text) <= WORDS_MAX else f"{text[:WORDS_MAX]}..."


def _filled(found: re.Match[str]) -> list[str]:
    return [*filter(None, found.groups()), "", ""]


CUDA = (
    r"Torch not compiled with CUDA enabled|Found no NVIDIA driver|No CUDA GPUs are available"
    r"|Attempting to deserialize object on a CUDA device|CUDA (?:is )?not available\b(?!, will|[.,] ?[Dd]isabling)"
    r"|Cannot access accelerator device when none is available"
)
HEADER = (
    r"MetadataIncompleteBuffer|incomplete metadata|[Hh]eader ?[Tt]oo ?(?:[Ll]arge|[Ss]mall)|InvalidHeader\w*"
    r"|invalid (?:JSON|UTF-8) in header|invalid header length|deserializing header"
    r"|invalid load key|PytorchStreamReader failed"
)
OTHER_LOADER = (
    r"\b(load_(?:clip|clip_vision|vae|unet|lora|controlnet|diffusion_model|style_model|upscale_model|gguf\w*)"
    r"|(?:Dual|Triple|Quadruple)?CLIP(?:Vision)?Loader\w*|VAELoader\w*|UNETLoader\w*|LoraLoader\w*|ControlNetLoader\w*"
    r"|UpscaleModelLoader\w*|DiffusersLoader\w*|(?:Unet|CLIP)LoaderGGUF\w*)\b"
)
STANDARD_LIBRARY = "lzma|ctypes|sqlite3|bz2|ssl|hashlib|tkinter|curses|uuid|zoneinfo|posixshmem|multiprocessing|struct"
OTHER_NUMPY = (
    r"compiled using NumPy 1\.x cannot be run in|Numpy is not available|_ARRAY_API not found"
    r"|numpy\.core\.multiarray failed to import|numpy\.dtype size changed"
)

# Faults of the environment: in a log, also the reason why a custom node cannot be imported.
ENVIRONMENT: tuple[Signature, ...] = (
    Signature("os-too-old", r"(?:Symbol not found[^\n]*\n[^\n]*)?"
              r"built for macOS ([\d.]+)[^\n]{0,10} which is newer than",
              "this macOS is too old for a package, which was built for macOS {0}",
              Fix("Update macOS, or take the newest torch that it can have:", ours("all", "--torch", "stable")),
              lasts=True),
    Signature("tv-mismatch", r"operator torchvision::nms does not exist"
              r"|(?:Symbol not found|undefined symbol|Could not load)[^\n]{0,300}torchvision"
              r"|torchvision[^\n]{0,300}(?:Symbol not found|undefined symbol)|torchvision has been compiled with"
              r"|partially initialized module 'torchvision",
              "this torchvision does not fit this torch",
              Fix("The two are installed together:", ours("all")), lasts=True),
    Signature("ta-mismatch", r"(?:Symbol not found|undefined symbol|Could not load)[^\n]{0,300}torchaudio"
              r"|torchaudio[^\n]{0,300}(?:Symbol not found|undefined symbol)|libtorchaudio[^\n]{0,100}(?:not|cannot)"
              r"|torchaudio versions do not match",
              "this torchaudio does not fit this torch",
              Fix("The set is installed together:", ours("all")), lasts=True),
    Signature("package-misfit", OTHER_NUMPY + "|Numba needs NumPy",
              "a package that it imports was built for NumPy 1, and NumPy 2 is installed; torch is not at fault",
              Fix("Update that package in ComfyUI's environment (most often opencv-python, numba or pandas)"),
              in_node=True, lasts=True),
    Signature("numpy-abi", OTHER_NUMPY,
              "this torch is too old for the NumPy beside it", NEW_TORCH, lasts=True),
    Signature("python-incomplete", rf"No module named '?_({STANDARD_LIBRARY})\b"
              rf"|import the (\w+) module\. Your installed Python is"
              r"|however the (ssl) module in Python is not available",
              "this Python was built without {0}, a part of Python itself, not a package",
              Fix("Take a whole Python (with pyenv: brew install xz openssl, and build again), or this tool's:",
                  ours("all")), lasts=True),
    Signature("torch-old", r"unsupported autocast device_type '?mps|module 'torch[\w.]*' has no attribute '(\w+)'"
              r"|cannot import name '(\w+)' from 'torch(?:\.[\w.]*)?'|PyTorch ?>= ?([\d.]+) is required"
              r"|requires (?:at least )?(?:PyTorch|torch) ?(?:>=|version)? ?([\d.]+)"
              r"|unexpected keyword argument '(enable_gqa|weights_only)'",
              "this torch is too old for what uses it",
              Fix("The newest torch that fits is installed by:", ours("all")), lasts=True),
    Signature("mixed-arch-so", r"^(?![^\n]*libxcrun)[^\n]*incompatible architecture",
              "the environment is of another processor (Rosetta)",
              Fix("Remove the folder venv of the home, then:", ours("all")), lasts=True),
    Signature("quarantine", r"library load disallowed by system policy|developer cannot be verified"
              r"|is damaged and can.t be opened|Apple could not verify",
              "macOS quarantines a program or library that a browser downloaded",
              ours("doctor", "--fix", "--only", "quarantine"), lasts=True),
    Signature("git-missing", r"Bad git executable|Cannot find command 'git'",
              "git is missing", program("xcode-select", "--install"), lasts=True),
)  # fmt: skip

# The first match is taken, so narrow patterns come first.
SIGNATURES: tuple[Signature, ...] = (
    Signature("mps-oom", r"MPS backend out of memory|MPSGraph.{0,300}out of memory"
              r"|kIOGPUCommandBufferCallbackErrorOutOfMemory",
              "the GPU's share of the memory is used up", SMALLER),
    Signature("mem-out", r"DefaultCPUAllocator: .{0,300}memory|Cannot allocate memory|\bMemoryError\b|OutOfMemoryError"
              r"|out of memory",
              "there is not enough memory", SMALLER),
    Signature("mps-placeholder", r"Placeholder storage has not been allocated on MPS"
              r"|Input type \([^)\n]{0,40}(?:MPS|mps)[^)\n]{0,40}\) and \w+ type \(torch\.(?!mps)[^)\n]{0,40}\)"
              r"|Input type \(torch\.(?!mps)[^)\n]{0,40}\) and \w+ type \([^)\n]{0,40}(?:MPS|mps)"
              r"|Expected all tensors to be on the same device|input\(device='cpu'\) and weight\(device=mps"
              r"|[Tt]ensor for argument [^\n]{0,80} is on (?:CPU|cpu)|on cpu but expected on mps"
              r"|Passed CPU tensor to MPS",
              "a part of the model was left on the CPU, most often by a custom node", CUSTOM, blames_node=True),
    Signature("mps-bf16", r"(?:BFloat16|[Bb]float16|\bbf16)\b.{0,200}\bMPS\b"
              r"|\bMPS\b.{0,200}(?:BFloat16|[Bb]float16|bf16)|Undefined type BFloat16",
              "this macOS, or this GPU, does not compute in bf16",
              Fix("No bf16 (or macOS 14 and a newer torch):",
                  ours("all", "--set", 'comfyui.args=["--force-fp16", "--fp32-vae"]'))),
    Signature("fp8-fp64-mps", r"(?:Float8_e\w{1,20}|Trying to convert \w+).{0,300} to the MPS backend"
              r"|MPS framework doesn't support \w+|[Ff]loat(?:64|8)\w{0,9}.{0,300}MPS|MPS.{0,100}[Ff]loat(?:64|8)",
              "the GPU of a Mac has no such number format (fp8, fp64)", PLAIN_FLAGS, blames_node=True),
    Signature("mixed-dtypes", r"xf(?:16|32)>' and '[^'\n]{0,80}xf(?:16|32)>' are not broadcast compatible"
              r"|Input type \([^)\n]{0,60}\) and (?:weight|bias) type \([^)\n]{0,60}\) should be the same"
              r"|expected scalar type \w{1,20} but found \w|to have the same dtype, but got"
              r"|dtypes? of \w+ and \w+ (?:must|should) (?:be the same|match)|cannot have different datatype"
              r"|[Ii]ncompatible (?:element )?types?\b[^\n]{0,80}f(?:16|32)",
              "fp16 and fp32 are mixed in one operation, most often by a custom node; memory is not at fault",
              Fix("Update the custom node that is in use, or disable it; or take other numbers:",
                  ours("all", "--set", "comfyui.args=[]")), blames_node=True),
    Signature("mps-op-missing", r"The operator '([^']{1,300})' is not currently (?:implemented|supported)",
              "this torch lacks the operation {0} for the GPU of a Mac", NEW_TORCH),
    Signature("mps-too-large", r"Invalid buffer size|total bytes of NDArray > 2\*\*|product of dimension sizes > 2\*\*"
              r"|Output channels > 65536 not supported|MPSGr?aph does not support tensor dims larger than"
              r"|buffer is not large enough|[Tt]ensor (?:size )?(?:is )?too large|larger than 4 ?GB"
              r"|dimension (?:size|length)s? [^\n]{0,40}> (?:2\*\*|4294967295)",
              "one tensor is larger than this macOS's Metal takes in one piece", SMALLER_IMAGE),
    Signature("half-missing", r"(?:\"(\w+)\" )?not implemented for 'Half'",
              "this torch cannot compute {0} in fp16 on this device", NO_FLAGS, blames_node=True),
    Signature("mps-abort", r"NDArray dimension length > INT_MAX",
              "Apple's graphics library gave up in the middle of its work", NEW_TORCH),
    Signature("mps-abort", r"LLVM ERROR",
              "Apple's graphics library gave up in the middle of its work", NEW_TORCH, follows=True),
    Signature("watermark-env", r"invalid low watermark ratio",
              "PYTORCH_MPS_HIGH_WATERMARK_RATIO is set to a value that torch refuses",
              program("unset", "PYTORCH_MPS_HIGH_WATERMARK_RATIO")),
    Signature("model-damaged", HEADER,
              "the file that {near} reads, not the checkpoint, is cut short, or a web page",
              Fix("Download that file again, and look at its size"), near=OTHER_LOADER),
    Signature("ckpt-damaged", HEADER,
              "the checkpoint file is cut short or damaged", DAMAGED),
    Signature("model-damaged", r"(?:Could not detect model type|invalid model|size mismatch)[^\n]{0,300}",
              "the file that {near} reads, not the checkpoint, is of another kind of model",
              Fix("Choose in that node a file that was made for this model"), near=OTHER_LOADER),
    Signature("ckpt-other", r"Could not detect model type of: *([^\n]*)|clip input is invalid: None"
              r"|VAE is invalid: None|Could not detect model type",
              "the checkpoint is not a whole SDXL model", ours("doctor", "--deep")),
    Signature("shape-mismatch", r"mat1 and mat2 shapes cannot be multiplied|contracting dimensions differ"
              r"|size mismatch for|Expected size .{0,300} but got size",
              "the parts of the model do not fit together: another kind of checkpoint, or a custom node",
              ours("doctor", "--deep"), blames_node=True),
    *ENVIRONMENT,
    Signature("torch-no-mps",
              r"not linked with support for mps|MPS backend is not available|not built with MPS enabled"
              r"|MPS (?:device )?(?:is )?not available",
              "this torch was built without the Mac's GPU (for Intel, Linux or Windows)",
              Fix("An arm64 torch is installed by:", ours("all"))),
    Signature("node-error", CUDA,
              "it asks for CUDA, which no Mac has; torch and the GPU are fine",
              UPDATE_NODES, in_node=True, blames_node=True),
    Signature("node-error", CUDA,
              "a node asks for CUDA, which no Mac has; torch and the GPU are fine",
              UPDATE_NODES, beside=NO_NODE_NAMED),
    Signature("torch-no-mps", CUDA,
              "torch sees no GPU here, and ComfyUI was not told to use the CPU", ours("doctor", "--deep")),
    Signature("mps-refuses", r"(?:[Ee]rror|[Ee]xception|!!!)[^\n]{0,300}(?:\bMPS\b|\bmps\b|MPSGr?aph|MPSNDArray)"
              r"|\bMPS\b[^\n]{0,200}(?:not (?:yet )?(?:supported|implemented)|only supported|unsupported"
              r"|must be divisible)|not (?:yet )?(?:supported|implemented) (?:on|for|by|at)[^\n]{0,40}\bMPS\b|(?:MPS"
              r"|MTL|Metal)[^\n]{0,300}failed assertion|failed assertion[^\n]{0,300}(?:MPS|MTL"
              r"|Metal)|kIOGPUCommandBufferCallbackError\w+|Failed to create (?:function|pipeline) state",
              "this torch or macOS cannot do that on the GPU of a Mac",
              Fix("A newer macOS, export PYTORCH_ENABLE_MPS_FALLBACK=1, or a newer torch:",
                  ours("all", "--torch", "nightly")), blames_node=True),
    Signature("frontend-missing", r"comfyui-frontend-package is not installed",
              "ComfyUI's web page is not installed", AGAIN),
    Signature("frontend-old", r"Installed frontend version [^\n]{0,60} is lower than the recommended version",
              "ComfyUI's web page is older than this ComfyUI asks for", AGAIN, lasts=True),
    Signature("torch-missing", r"No module named '?torch\b(?!\w)",
              "torch is missing in this environment", AGAIN),
    Signature("req-missing", r"No module named '?([\w.]+)",
              "the Python package {0} is missing", AGAIN),
    Signature("db-in-use", r"ASSETS_STARTUP_FAILED: in_use",
              "another ComfyUI holds this home's database", RESTART),
    Signature("req-missing", r"ASSETS_STARTUP_FAILED: missing_packages",
              "Python packages are missing", AGAIN),
    Signature("db-bad", r"ASSETS_STARTUP_FAILED: (\w+)",
              "ComfyUI's database cannot be used ({0})", NEW_DATABASE),
    Signature("flag-unknown", r"main\.py: error: (?:unrecognized arguments: )?([^\n]+)",
              "this ComfyUI does not take its flags: {0}", PLAIN_FLAGS),
    Signature("dtype-flags", r"argument [^\n:]{1,80}: not allowed with argument",
              "two of ComfyUI's flags exclude each other", PLAIN_FLAGS),
    Signature("yaml-bad", r"(?:extra_model_paths|extra_paths|load_extra_path_config"
              r"|load_extra_paths)[\s\S]{0,3000}?(?:NoneType|string indices|ScannerError|ParserError)",
              "extra_model_paths.yaml cannot be read",
              Fix("Rename ComfyUI/extra_model_paths.yaml, then:", ours("launch"))),
    Signature("listen-wrong", r"bind on address \([^)\n]{0,80}\): [^\n]{0,40}assign requested address"
              r"|(?:cannot|[Cc]an't) assign requested address",
              "--listen names an address that this machine does not have; no other program has the port",
              Fix("Leave --listen out:", ours("all", "--set", "comfyui.args=[]"))),
    Signature("listen-wrong", r"\[Errno 13\][^\n]{0,40}bind on address",
              "only root may open a port below 1024", ours("all", "--set", "comfyui.port=8188")),
    Signature("port-busy", r"error while attempting to bind on address|Port \d+ is already in use"
              r"|[Aa]ddress already in use",
              "the port was taken by another program", ours("all", "--set", "comfyui.port=8189")),
    Signature("disk-low", r"No space left on device|[Nn]ot enough (?:free )?(?:disk )?space",
              "the disk is full", Fix("Free some space, then:", ours("all"))),
    Signature("link-refused", r"(?:Operation not (?:permitted|supported)|WinError 1314\]"
              r"|Function not implemented)[^\n]{0,100}' -> '",
              "that disk cannot hold links (exFAT, FAT32, some network disks)",
              Fix("A folder on the Mac's own disk:", ours("all", "--home", "~/provision"))),
    Signature("tcc-folder", r"Operation not permitted: '?([^'\n]+)",
              "macOS keeps this program out of the folder {0}", ours("all", "--home", "~/provision")),
    Signature("tcc-folder", r"Operation not permitted",
              "macOS keeps this program out of a folder", ours("all", "--home", "~/provision")),
    Signature("git-refused", r"Permission denied \(publickey|Host key verification failed"
              r"|Connection closed by [^\n]{0,60} port 22\b",
              "git asks by ssh, and the other side does not know your key",
              Fix("Use the https address of the repository")),
    Signature("ckpt-unreadable", r"(?:Permission denied"
              r"|PermissionError)[^\n]{0,80}'?([^'\n]*models/checkpoints/[^'\n]+)",
              "the checkpoint {0} may not be read", Fix('Take it into possession: sudo chown "$USER" {0}')),
    Signature("perms-root", r"Permission denied: '?((?:/Users/|/home/|/Volumes/|~/|\.)[^'\n]*)",
              "{0} belongs to another user", Fix('Take it into possession: sudo chown -R "$USER" {0}')),
    Signature("perms-root", r"Permission denied: '?([^'\n]+)",
              "{0} may not be written by this user", ours("doctor", "--only", "perms-root")),
    Signature("ckpt-unreadable", r"PermissionError\b",
              "a file may not be read or written by this user", ours("doctor", "--only", "perms-root")),
    Signature("perms-root", r"[Pp]ermission denied",
              "a file may not be written by this user", ours("doctor", "--only", "perms-root")),
    Signature("files-limit", r"Too many open files|\[Errno 24\]",
              "the shell's limit of open files is used up (256 on a Mac)",
              Fix("ulimit -n 4096, and in the same terminal:", ours("launch"))),
    Signature("icloud-dataless", r"Resource deadlock avoided",
              "the bytes of a file are in iCloud, and not on this disk",
              Fix("Have Finder download it (Keep Downloaded), or keep models out of iCloud's folders:", ours("all"))),
    Signature("read-only", r"Read-only file system(?:: '?([^'\n]*))?",
              "nothing can be written there ({0}): that path is not one of a Mac, or its disk is read-only",
              Fix("Correct the path in the custom node or workflow that names it, or take another disk")),
    Signature("os27-psutil", r"host_statistics64",
              "psutil is too old for this macOS", ours("all", "--comfyui", "latest")),
)  # fmt: skip

FRAME = re.compile(r"""\bFile "([^"\n]+)", line \d+""")
NOT_OWN = re.compile(r"(?:site|dist)-packages|[/\\][Ll]ib[/\\](?:python\d|\w+\.py)|^<|Python\.framework")
NODE_FOLDER = re.compile(r"custom_nodes[/\\]([^/\\\"\n]+)")
"""A custom node by its folder; a single file is one too."""


def node_at_end(trace: str) -> str:
    """The custom node whose code is the last in a traceback, packages aside; empty where it is other code."""
    own = [path for path in FRAME.findall(trace) if not NOT_OWN.search(path)]
    found = NODE_FOLDER.search(own[-1]) if own else None
    return found[1] if found else ""
