"""Every finding that a step can yield: what is looked at, what it means to a person, who mends it.

The ids are stable: people search for them, scripts test them. A test holds this table and the steps together, and
`docs/doctor.md` is made from it (see `doctor_page`).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from provision.errors import UsageError

Severity = Literal["blocks", "spoils", "warns", "informs"]
"""Nothing works; pictures fail or are wrong; something is worth knowing; all is as it should be."""
Mending = Literal["auto", "consent", "hint", "none"]
"""The tool mends it at once; after a yes or `--yes`; a person must; there is nothing to mend."""
ANY_STEP = "any step"
ONLY_IN_LOGS = "a log"
"""What no step looks for: `doctor LOGFILE` knows its words."""


@dataclass(frozen=True, slots=True)
class Known:
    """A finding by its id: its step, how bad it is, who mends it, and three texts for people.

    `follows` are the steps whose faults bring it about: once those are mended it is gone, or mended with them.
    """

    id: str
    step: str
    severity: Severity
    fix: Mending
    looks_at: str
    means: str
    remedy: str
    follows: tuple[str, ...] = ()


LOG = "ComfyUI's log of its last run"
LAST = "ComfyUI's history, or its log of its last run"
BARE: tuple[str, ...] = ("python_env",)
PACKED: tuple[str, ...] = (*BARE, "torch", "comfyui")
RUN: tuple[str, ...] = (*PACKED, "requirements")
"""Steps whose faults bring about findings of later ones."""
FINE = "all is well here"
NOTHING = "nothing to do"

CATALOGUE: tuple[Known, ...] = (
    Known("check-crashed", ANY_STEP, "blocks", "hint", "whether a check came to its end",
          "what this step looks at is not known; the traceback is in the tool's log",
          "report it with the file that `provision doctor --report FILE` writes"),
    # -- hardware
    Known("hw-chip", "hardware", "informs", "none", "the chip, as sysctl tells", FINE, NOTHING),
    Known("hw-os", "hardware", "informs", "none", "the version of macOS, as sw_vers tells", FINE, NOTHING),
    Known("hw-memory", "hardware", "informs", "none", "how much memory there is", FINE, NOTHING),
    Known("hw-disk", "hardware", "informs", "none", "free space against what the plan will write", FINE, NOTHING),
    Known("hw-not-mac", "hardware", "warns", "none", "whether this is a Mac",
          "an Nvidia GPU is used where there is one, else the CPU: minutes a picture", NOTHING),
    Known("hw-intel", "hardware", "blocks", "hint", "hw.optional.arm64 of sysctl",
          "no torch later than 2.2.2 can be installed, and ComfyUI needs a later one",
          "a Mac with Apple silicon, Linux, or the rehearsal"),
    Known("os-too-old", "hardware", "blocks", "hint", "the version of macOS against the manifest",
          "there is no wheel of torch for it, or the GPU is not seen", "update macOS"),
    Known("os27-psutil", "hardware", "warns", "hint", "whether psutil can read the memory of a new macOS",
          "ComfyUI may end with `host_statistics64 ... failed`", "`provision all --comfyui latest`"),
    Known("mem-low", "hardware", "blocks", "hint", "memory against the manifest's least",
          "the program is killed while the model loads", "lower `machine.memory_gib_min` to try all the same"),
    Known("mem-8gb", "hardware", "warns", "hint", "memory against what the manifest recommends",
          "the machine swaps, and pictures come slowly", "close other programs; one picture of 512x512 at a time"),
    Known("mem-fits", "hardware", "informs", "none", "the model's weights and activations against memory and Metal's"
          " recommendation, by its header", FINE, NOTHING),
    Known("mem-tight", "hardware", "warns", "hint", "the same: less than 2 GiB are left for other programs",
          "pictures come slowly while other programs are in use", "close other programs"),
    Known("mem-swaps", "hardware", "warns", "hint", "the same: it is more than there is",
          "minutes a picture, or `MPS backend out of memory`", "one small picture at a time, or a smaller model"),
    Known("mem-pressure", "hardware", "warns", "hint", "macOS's memory pressure and swap now",
          "the first picture takes minutes", "close what is not needed"),
    Known("low-power", "hardware", "warns", "hint", "Low Power Mode, as pmset tells",
          "pictures take longer", "turn it off in System Settings, Battery"),
    Known("disk-low", "hardware", "blocks", "hint", "free space against what the plan will write, and 2 GiB of air",
          "`No space left on device` in the middle of a download", "free some space, or `--home` on another disk"),
    Known("tcc-folder", "hardware", "blocks", "hint", "whether macOS lets the terminal read the home; ComfyUI's log",
          "`Operation not permitted` below Documents, Desktop, Downloads",
          "Full Disk Access for the terminal, or another `--home`"),
    # -- tools
    Known("git-ready", "tools", "informs", "none", "git's version", FINE, NOTHING),
    Known("lfs-ready", "tools", "informs", "none", "git-lfs, when its backend is asked for", FINE, NOTHING),
    Known("wget-ready", "tools", "informs", "none", "wget, when its backend is asked for", FINE, NOTHING),
    Known("brew-missing", "tools", "informs", "none", "whether Homebrew is here", "nothing: it is not needed", NOTHING),
    Known("net-up", "tools", "informs", "none", "the hosts from which what is missing will come", FINE, NOTHING),
    Known("hf-offline", "tools", "informs", "none", "HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE",
          "other programs of this shell download nothing from the hub; this tool does not go by them", NOTHING),
    Known("env-leak", "tools", "informs", "none", "variables that steer Python, conda, pip, git or torch",
          "nothing: programs are started without them; shown with `-v`", NOTHING),
    Known("git-missing", "tools", "blocks", "consent", "whether git is here and answers as git does",
          "ComfyUI cannot be fetched", "installed with Homebrew after a yes, or Apple's Command Line Tools"),
    Known("git-old", "tools", "blocks", "consent", "git's version",
          "fetching one revision fails with a message about an unknown option", "a newer git"),
    Known("clt-missing", "tools", "blocks", "hint", "`xcode-select -p`, before git is ever run",
          "git opens a dialog in place of working", "`xcode-select --install`"),
    Known("clt-stale", "tools", "blocks", "hint", "whether the selected folder of Apple's tools is still there",
          "`xcrun: error: invalid active developer path`", "`xcode-select --install`, or `sudo xcode-select --reset`"),
    Known("xcode-license", "tools", "blocks", "hint", "whether git refuses for Xcode's license",
          "`You have not agreed to the Xcode license`", "`sudo xcodebuild -license`"),
    Known("lfs-missing", "tools", "blocks", "consent", "git-lfs, when its backend is asked for",
          "`git: 'lfs' is not a git command`", "install it, or `--backend auto`"),
    Known("wget-missing", "tools", "blocks", "consent", "GNU wget, when its backend is asked for",
          "`command not found: wget`", "install it, or `--backend auto`"),
    Known("net-down", "tools", "blocks", "hint", "whether each host that is needed answers within 5 s",
          "downloads do not begin", "the network or HTTPS_PROXY; `provision all --rehearse` needs none"),
    Known("proxy", "tools", "blocks", "hint", "whether the proxy answers through which a host is asked",
          "`ProxyError`, downloads do not begin", "HTTPS_PROXY, or the host's name in NO_PROXY"),
    Known("captive", "tools", "blocks", "hint", "whether the hub answers about the model as a hub does",
          "a login page of the network is saved as the model, `TooManyRedirects`", "log in to it in a browser"),
    Known("hf-endpoint", "tools", "blocks", "hint", "the same, of the hub that HF_ENDPOINT or --endpoint names",
          "`missing the 'X-Repo-Commit' header`", "unset HF_ENDPOINT"),
    Known("hf-badtoken", "tools", "blocks", "hint", "whether the hub takes the token, and goes on without",
          "401 on a public repository; a warning where it is public", "`hf auth login`, or no token"),
    Known("hf-gated", "tools", "blocks", "hint", "whether the hub lets this account have the model",
          "`requires approval`", "accept the terms on the repository's page, then `hf auth login`"),
    Known("hf-429", "tools", "warns", "hint", "whether the hub asks to wait", "`429 Too Many Requests`",
          "it is waited for; with a token more is allowed"),
    Known("tls-intercept", "tools", "blocks", "hint", "whether each host's certificate is trusted",
          "`CERTIFICATE_VERIFY_FAILED`, `UnknownIssuer`: a company's proxy, or a program that inspects traffic",
          "SSL_CERT_FILE with the certificates of your company"),
    Known("tls-store", "tools", "blocks", "hint", "whether the files of certificates that variables name are there",
          "`CERTIFICATE_VERIFY_FAILED`, or no connection at all", "unset SSL_CERT_FILE or REQUESTS_CA_BUNDLE"),
    Known("ipv6-dead", "tools", "warns", "hint", "whether a host answers over IPv4 and not over IPv6",
          "20 to 300 s in which nothing comes", "turn IPv6 off, or ask who runs the network"),
    Known("brew-prefix", "tools", "informs", "none", "whether Homebrew is Intel's on Apple silicon",
          "`Cannot install in Homebrew on ARM processor in Intel default prefix`", NOTHING),
    Known("lfs-uninit", "tools", "warns", "hint", "git-lfs' set-up, where its note stands in the model's place",
          "git clones notes of 135 bytes in place of models", "`git lfs install`; this tool does without"),
    Known("watermark-env", "tools", "informs", "none", "PYTORCH_MPS_HIGH_WATERMARK_RATIO, and ComfyUI's log",
          "`invalid low watermark ratio` from a ComfyUI that is started by hand; from ours it is kept", NOTHING),
    # -- python_env
    Known("venv-ready", "python_env", "informs", "none", "version and processor of ComfyUI's Python", FINE, NOTHING),
    Known("venv-missing", "python_env", "blocks", "auto", "whether ComfyUI has a Python of its own",
          "ComfyUI cannot start", "uv makes one"),
    Known("venv-dangling", "python_env", "blocks", "auto", "whether that Python runs, and is an environment",
          "`bad interpreter` or `Library not loaded`, as after an upgrade by Homebrew",
          "it is moved aside and made anew"),
    Known("venv-moved", "python_env", "warns", "hint", "which Python the scripts in venv/bin start",
          "`bad interpreter` from pip and other scripts; ComfyUI itself starts", "`venv/bin/python -m pip`"),
    Known("py-rosetta", "python_env", "blocks", "auto", "whether Python is for Intel on Apple silicon",
          "`No matching distribution found for torch`, or a torch that sees no GPU", "it is moved aside and made anew"),
    Known("py-too-old", "python_env", "blocks", "auto", "Python's version against the manifest",
          "packages cannot be resolved", "it is moved aside and made anew"),
    Known("py-too-new", "python_env", "blocks", "auto", "Python's version against the manifest",
          "packages are compiled from source, and fail", "it is moved aside and made anew"),
    Known("py-bad-patch", "python_env", "blocks", "auto", "Python 3.13.8 and 3.14.1",
          "`import torch` fails", "it is moved aside and made anew"),
    Known("env-foreign", "python_env", "informs", "none", "the Python of an install that this tool did not make",
          "nothing: it is used as it is, and packages are installed there only after a yes", NOTHING),
    Known("env-managed", "python_env", "blocks", "auto",
          "whether something must be installed into an adopted environment of conda or of the system",
          "packages of other programs would change; `error: externally-managed-environment`",
          "an environment of ours is made in the home and used in its place"),
    Known("macver-compat", "python_env", "warns", "consent", "which macOS Python tells, against the real one",
          "black pictures: ComfyUI leaves out what newer systems need", "made anew after a yes, with another Python"),
    # -- torch
    Known("torch-ready", "torch", "informs", "none", "torch and its proof", FINE, NOTHING),
    Known("rollback-ready", "torch", "informs", "none", "the environment from before the last change of torch", FINE,
          NOTHING),
    Known("lock-differs", "torch", "blocks", "auto", "the packages against the lock that is given (`all --locked`)",
          "another set than the one that is asked for", "the lock's packages are installed by their hashes"),
    Known("torch-missing", "torch", "blocks", "auto", "the installed packages", "`No module named 'torch'`",
          "torch and torchvision of one build are installed", BARE),
    Known("torch-channel", "torch", "warns", "auto", "torch's version against the channel asked for",
          "another torch than was wished", "the other one is installed"),
    Known("torch-unproven", "torch", "warns", "auto", "whether this torch was seen to compute right here",
          "nothing yet", "a small probe compares its device with the CPU", BARE),
    Known("torch-broken", "torch", "blocks", "auto", "whether torch can be imported (`--deep`)",
          "ComfyUI ends with a traceback", "it is installed again"),
    Known("tv-mismatch", "torch", "blocks", "auto", "whether torchvision is of torch's build",
          "`operator torchvision::nms does not exist`", "the two are installed together"),
    Known("ta-mismatch", "torch", "warns", "auto", "whether torchaudio is of torch's build",
          "`Symbol not found`; audio nodes fail", "removed, or installed with torch where ComfyUI asks for it"),
    Known("torch-slow", "torch", "warns", "hint", "the speed of a block of the UNet against what the chip can do",
          "pictures take long", "close other programs, turn Low Power Mode off; `provision doctor --deep`"),
    Known("torch-doubtful", "torch", "warns", "hint", "short attention over permuted tensors; a table of bad pairs of"
          " torch, macOS and chip (manifests/known-bad.toml)",
          "what the sentence says; ComfyUI's own nodes are not touched", "a newer torch"),
    Known("torch-known-bad", "torch", "spoils", "auto", "the torch installed, or asked for, in a table of bad pairs of"
          " torch, macOS and chip (manifests/known-bad.toml), before anything is downloaded",
          "noise or black pictures without an error", "another torch is installed; one asked for by number is refused"),
    Known("torch-part-proven", "torch", "warns", "none", "comparisons that could not be made, as bf16 on macOS 13",
          "nothing, if the rest is right", NOTHING),
    Known("mps-numerics", "torch", "spoils", "auto", "34 comparisons with the CPU: each layer of the UNet and the VAE"
          " in fp16 and bf16, also on permuted and chunked tensors, twice",
          "noise or black pictures without an error", "another torch is installed"),
    Known("gpu-hidden", "torch", "spoils", "hint", "whether torch is built for the Mac's GPU and sees none",
          "minutes a picture", "start it in Terminal on the Mac itself, not over SSH or in a sandbox"),
    Known("numpy-abi", "torch", "blocks", "auto", "torch before 2.3 beside NumPy 2", "`Numpy is not available`",
          "NumPy 1 is installed, torch held"),
    Known("mixed-arch-so", "torch", "blocks", "auto", "the processor that large libraries are built for; ComfyUI's log",
          "`incompatible architecture (have 'x86_64', need 'arm64')`", "the package is installed again"),
    Known("quarantine", "torch", "blocks", "consent", "macOS's mark on torch's library; ComfyUI's log",
          "`library load disallowed by system policy`", "the mark is taken off after a yes"),
    Known("omp-dup", "torch", "spoils", "consent", "Intel's OpenMP library beside torch's own; logs",
          "`OMP: Error #15`, as where conda and pip are mixed", "the environment is made anew after a yes"),
    # -- comfyui
    Known("comfyui-ready", "comfyui", "informs", "none", "the checkout and its receipt", FINE, NOTHING),
    Known("comfyui-missing", "comfyui", "blocks", "auto", "whether the checkout is there",
          "there is no ComfyUI yet", "one revision is fetched"),
    Known("comfyui-moved", "comfyui", "informs", "auto", "the commit that is checked out",
          "it was updated by somebody else", "the commit is recorded"),
    Known("comfyui-ref", "comfyui", "warns", "auto", "the commit against the revision asked for",
          "another ComfyUI than was wished", "it is checked out; changes go into git's stash"),
    Known("git-owner", "comfyui", "blocks", "hint", "who owns the checkout",
          "`detected dubious ownership in repository`", "`sudo chown -R` to you"),
    Known("git-lock", "comfyui", "blocks", "auto", "lock files in .git",
          "`Unable to create '.../index.lock': File exists`", "removed once no git is at work"),
    Known("clone-partial", "comfyui", "blocks", "auto", "objects and files of the checkout",
          "missing modules, `invalid object`", "fetched or written again; models and changes stay"),
    Known("git-dirty", "comfyui", "warns", "none", "changed files of the checkout",
          "your own changes are in use", NOTHING),
    Known("comfyui-adopted", "comfyui", "informs", "none", "a checkout that this tool did not make",
          "nothing: it is used as it is, no other revision is checked out", NOTHING),
    Known("comfyui-gone", "comfyui", "blocks", "hint", "whether the checkout that a home adopted is still there",
          "ComfyUI cannot be started: it was moved, or its disk is not plugged in", "`provision all --comfyui DIR`"),
    Known("comfyui-no-git", "comfyui", "warns", "hint", "whether an adopted checkout has a .git that git can read",
          "it runs; `git pull` and ComfyUI-Manager cannot update it", "`provision all` makes a checkout of its own"),
    Known("yaml-bad", "comfyui", "blocks", "consent", "extra_model_paths.yaml and extra_paths.yaml, by ComfyUI's rules",
          "ComfyUI ends at once: `'NoneType' object is not iterable`, `string indices must be integers`, ScannerError",
          "moved aside after a yes; then correct it and put it back"),
    Known("yaml-deadpath", "comfyui", "warns", "hint", "whether the folders in those files are there",
          "models of those folders do not appear in ComfyUI's lists, without a word", "correct the path"),
    Known("db-bad", "comfyui", "blocks", "consent", "the first 16 bytes of user/comfyui.db",
          "`file is not a database`; a newer ComfyUI does not start", "moved aside after a yes; ComfyUI makes another"),
    Known("perms-root", "comfyui", "blocks", "hint", "who may write to output, user, input and models",
          "`Permission denied` when a picture is saved, as after a start with sudo", "`sudo chown -R` to you"),
    Known("two-installs", "comfyui", "informs", "none", "the ComfyUI app, and checkouts in usual places",
          "another ComfyUI opens than was expected; each has models and a port of its own", NOTHING),
    # -- models
    Known("ckpt-ready", "models", "informs", "none", "the checkpoint and its receipt", FINE, NOTHING),
    Known("ckpt-missing", "models", "blocks", "auto", "whether the checkpoint is at its place",
          "`Value not in list: ckpt_name`", "a copy on this machine is taken over, else it is downloaded"),
    Known("ckpt-unproven", "models", "warns", "auto", "whether its sha256 was verified here", "nothing yet", "hashed"),
    Known("ckpt-case", "models", "spoils", "auto", "its name, letter by letter",
          "it opens, and ComfyUI's list does not know it", "renamed"),
    Known("ckpt-renamed", "models", "blocks", "auto", "a file of its exact size and kind under another name",
          "`Value not in list: ckpt_name`", "linked to its place and verified; nothing is downloaded"),
    Known("ckpt-wrong-dir", "models", "blocks", "auto", "a file of its exact size and kind elsewhere under models",
          "`Value not in list: ckpt_name`", "linked to its place and verified; nothing is downloaded"),
    Known("ckpt-nested", "models", "spoils", "consent", "a cloned repository in the folder of checkpoints",
          "listed as `sdxl-turbo/...` beside parts that are no checkpoints; .git holds a second copy",
          "the checkpoint is linked to its place at once; the clone is moved aside after a yes"),
    Known("ckpt-deadlink", "models", "blocks", "auto", "where a link leads",
          "`exists but doesn't link anywhere, skipping`", "the link is moved aside, the file is brought"),
    Known("ckpt-unreadable", "models", "blocks", "auto", "permissions of the file",
          "`PermissionError`", "its owner is let read it; for another user's file `sudo chown`"),
    Known("ckpt-outside", "models", "blocks", "hint", "whether its folder leads out of the home",
          "the tool does not write there", "put the file there yourself, or remove the link"),
    Known("ckpt-truncated", "models", "blocks", "auto", "the size against the header of the file",
          "`MetadataIncompleteBuffer`, `incomplete metadata`", "the download goes on from where it ended"),
    Known("ckpt-zeroed", "models", "blocks", "auto", "whether the header can be read",
          "`invalid JSON in header`", "moved aside and brought anew"),
    Known("ckpt-bitrot", "models", "spoils", "auto", "the sha256 (`--deep`, or when the file has changed)",
          "strange pictures, or an error while it loads", "moved aside and brought anew"),
    Known("ckpt-other", "models", "blocks", "auto", "size, precision and tensors against the manifest",
          "`Could not detect model type`, `clip input is invalid: None`", "moved aside and brought anew"),
    Known("lfs-pointer", "models", "blocks", "auto", "the first bytes of the file",
          "`HeaderTooLarge`: git left its note of 135 bytes in place of the file", "moved aside and brought anew"),
    Known("html-body", "models", "blocks", "auto", "the first bytes of the file",
          "`HeaderTooLarge`: a login page was saved under the model's name", "moved aside and brought anew"),
    Known("fs-appledouble", "models", "spoils", "consent", "`._*` files of macOS among the models",
          "names beginning with `._` in ComfyUI's list, which fail to load", "moved aside after a yes"),
    Known("partials", "models", "warns", "consent", "unfinished downloads of other programs among the models",
          "they take space; nobody goes on with them", "moved aside after a yes, for you to delete"),
    Known("icloud-dataless", "models", "blocks", "hint", "whether the checkpoint's bytes are in iCloud",
          "ComfyUI hangs while it loads the model", "`brctl download`, and the home out of iCloud Drive"),
    Known("hf-dupes", "models", "informs", "none", "the same file in the Hugging Face cache",
          "it takes space twice; `hf cache` shows and deletes", NOTHING),
    # -- requirements
    Known("req-ready", "requirements", "informs", "none", "requirements.txt against what is installed", FINE, NOTHING),
    Known("req-missing", "requirements", "blocks", "auto", "requirements.txt against what is installed",
          "`No module named ...`, `ASSETS_STARTUP_FAILED: missing_packages`", "installed, with torch held", PACKED),
    Known("req-unproven", "requirements", "warns", "auto", "whether ComfyUI was seen to import with these packages",
          "nothing yet", "ComfyUI's own quick test is run", PACKED),
    Known("frontend-missing", "requirements", "blocks", "auto", "comfyui-frontend-package",
          "`comfyui-frontend-package is not installed`", "installed", PACKED),
    Known("frontend-old", "requirements", "warns", "auto", "comfyui-frontend-package against its pin",
          "`Installed frontend version ... is lower than the recommended version`", "installed"),
    Known("imports-ready", "requirements", "informs", "none", "whether all of ComfyUI imports now (`--deep`)", FINE,
          NOTHING),
    Known("req-broken", "requirements", "blocks", "auto", "the same: a package on record whose files are gone",
          "`No module named ...`, though pip says that it is there", "its files are written anew"),
    Known("cu-old-deps", "requirements", "blocks", "auto", "the same: what it imports and does not ask for",
          "an old ComfyUI ends with `No module named 'requests'`", "installed, with torch held"),
    Known("import-failed", "requirements", "blocks", "hint", "the same: how its quick test ended",
          "ComfyUI does not start", "what it said: logs/quick-test.log", PACKED),
    # -- workflow
    Known("workflow-ready", "workflow", "informs", "none", "the workflow file and its receipt", FINE, NOTHING),
    Known("workflow-yours", "workflow", "informs", "none", "whether a person edited it",
          "it is left as it is", NOTHING),
    Known("workflow-missing", "workflow", "warns", "auto", "the workflow file",
          "it is not in the list of ComfyUI's page", "written", ("comfyui",)),
    Known("workflow-old", "workflow", "warns", "auto", "its settings against the manifest",
          "it has older settings", "written again; only if nobody edited it"),
    Known("page-ready", "workflow", "informs", "none", "what ComfyUI's page shows first", FINE, NOTHING),
    Known("page-yours", "workflow", "informs", "none", "the same: whether you turned ours off", "it is left as it is",
          NOTHING),
    Known("page-chooser", "workflow", "warns", "auto", "the same",
          "the page begins with its chooser of templates, or a graph for a model that is not here",
          "a custom node of two small files is written, which ComfyUI loads when it starts next", ("comfyui",)),
    # -- server
    Known("server-up", "server", "informs", "none", "whether our server answers, with today's code and flags", FINE,
          NOTHING),
    Known("flags-kept", "server", "informs", "none", "flags that the first image needed beside the manifest's",
          "nothing: without them it was black; tried anew when torch, ComfyUI or macOS changes", NOTHING),
    Known("server-down", "server", "warns", "auto", "whether our server runs", "the page does not open", "started",
          RUN),
    Known("server-yours", "server", "informs", "none", "a server that an adopted install's owner started",
          "nothing: it is used, and never ended", NOTHING),
    Known("server-starting", "server", "informs", "auto", "how long it runs without an answer",
          "the page does not open yet", "waited for"),
    Known("server-stale", "server", "warns", "auto", "its flags, code and torch against what is wanted, its answers",
          "what was updated is not in use", "started again", RUN),
    Known("server-lost", "server", "informs", "auto", "whether a server of this home runs without a record",
          "nothing", "taken on, or started again"),
    Known("port-busy", "server", "blocks", "hint", "who has the port",
          "`error while attempting to bind on address`", "close that program, or another `comfyui.port`"),
    Known("port-comfyui", "server", "blocks", "hint", "whether another ComfyUI has the port",
          "the page of another ComfyUI opens", "close it, or another `comfyui.port`"),
    Known("torch-no-mps", "server", "spoils", "hint", "the device on which ComfyUI computes against torch's",
          "minutes a picture, or `Torch not compiled with CUDA enabled`", "`provision doctor --deep`"),
    Known("node-failed", "server", "warns", "consent", LOG, "nodes of a custom node are missing, red in workflows",
          "its folder is renamed to end in .disabled after a yes, or its packages are installed by you"),
    Known("extras-failed", "server", "warns", "hint", LOG, "some of ComfyUI's own nodes are missing",
          "`provision all` installs what requirements.txt asks for"),
    Known("flag-unknown", "server", "blocks", "hint", LOG, "`main.py: error: unrecognized arguments`",
          "correct `comfyui.args`"),
    Known("db-in-use", "server", "blocks", "hint", LOG, "`ASSETS_STARTUP_FAILED: in_use`",
          "end the other ComfyUI that uses this home"),
    Known("dtype-flags", "server", "blocks", "hint", "flags of `comfyui.args` that exclude each other",
          "`argument ...: not allowed with argument`; with --fp16-vae black pictures", "leave one of them out"),
    Known("fp8-fp64-mps", "server", "spoils", "hint", "flags of `comfyui.args` for numbers that no Mac's GPU has; logs",
          "`Float8_e4m3fn to the MPS backend`, `float64`", "leave it out of `comfyui.args`, or another checkpoint"),
    Known("listen-wrong", "server", "warns", "hint", "--listen in `comfyui.args`",
          "others in your network can use ComfyUI", "leave it out of `comfyui.args`"),
    # -- first_image
    Known("first-image-made", "first_image", "informs", "none", "the first image and its receipt", FINE, NOTHING),
    Known("first-image-missing", "first_image", "warns", "auto", "the first image", "nothing is proven yet", "made",
          PACKED),
    Known("first-image-stale", "first_image", "warns", "auto", "what it was made with against what is installed now",
          "what is installed now is not proven", "made again", PACKED),
    Known("first-image-rough", "first_image", "warns", "hint", "how the picture was judged",
          "the picture may not show what was asked for", "look at it"),
    Known("image-proven", "first_image", "informs", "none", "an image that is made just now (`--deep`)", FINE, NOTHING),
    Known("image-rejected", "first_image", "spoils", "auto", "the same: how it was judged",
          "black, of one colour, or noise",
          "tried again with `--force-upcast-attention`, then `--fp32-vae`, then stable torch; what helps is kept"),
    Known("engine-error", "first_image", "spoils", "hint", "the `execution_error` of ComfyUI's last prompt",
          "an error of a node that is not known here", "`provision logs`; for a custom node, disable it"),
    Known("black-image", "first_image", "spoils", "hint", LOG, "a black picture; `invalid value encountered in cast`",
          "`--force-upcast-attention`, then `--fp32-vae`, in `comfyui.args`; the first image tries them by itself"),
    Known("mps-oom", "first_image", "spoils", "hint", LAST, "`MPS backend out of memory`",
          "close other programs; a smaller picture"),
    Known("mem-out", "first_image", "spoils", "hint", LAST, "`out of memory`, `Cannot allocate memory`",
          "close other programs; a smaller picture"),
    Known("mem-killed", "first_image", "spoils", "hint", LOG,
          "`zsh: killed`; the server is gone in the middle of a picture",
          "close other programs; a smaller picture"),
    Known("mps-placeholder", "first_image", "spoils", "hint", LAST,
          "`Placeholder storage has not been allocated on MPS`",
          "disable the custom node that is named, or move them all aside"),
    Known("mps-op-missing", "first_image", "spoils", "hint", LAST,
          "`The operator '...' is not currently implemented for`",
          "a newer torch: `provision all --torch nightly`"),
    Known("mps-abort", "first_image", "spoils", "hint", LOG, "`LLVM ERROR`, `NDArray dimension length > INT_MAX`",
          "a newer torch or macOS"),
    Known("half-missing", "first_image", "spoils", "hint", LAST, "`not implemented for 'Half'`",
          "leave out `--force-fp16`"),
    Known("shape-mismatch", "first_image", "spoils", "hint", LAST, "`mat1 and mat2 shapes cannot be multiplied`",
          "`provision doctor --deep`; move the custom nodes aside"),
    Known("ckpt-damaged", "first_image", "spoils", "hint", LAST, "`MetadataIncompleteBuffer`, `invalid JSON in header`",
          "`provision doctor --deep --fix`"),
    Known("ckpt-unlisted", "first_image", "spoils", "hint", LOG, "`Value not in list: ckpt_name`",
          "`provision doctor --fix`"),
    Known("node-error", "first_image", "spoils", "hint", LOG, "an error of a node that is not known here",
          "`provision logs`"),
    # -- lock
    Known("lock-ready", "lock", "informs", "none", "provision.lock against what is here", FINE, NOTHING),
    Known("lock-missing", "lock", "warns", "auto", "whether there is a provision.lock",
          "the same set cannot be had again, here or elsewhere", "it is written"),
    Known("lock-stale", "lock", "warns", "auto", "versions, commit, weights and flags in it against what is here",
          "`--locked` would rebuild something else", "it is written anew", (*RUN, "models")),
    Known("lock-partial", "lock", "warns", "hint", "whether every package in it has a hash",
          "`--locked` refuses it", "remove it, with the package index at hand"),
    # -- words that only a log shows
    Known("origin-403", ONLY_IN_LOGS, "warns", "hint", "refused requests", "an empty 403 in the browser",
          "open the address that ComfyUI shows"),
    Known("nightly-gap", ONLY_IN_LOGS, "blocks", "auto", "pip's words",
          "`No matching distribution found for torchvision`",
          "`provision all` takes the newest day that has all packages"),
    Known("pip-managed", ONLY_IN_LOGS, "blocks", "auto", "pip's words", "`externally-managed-environment`",
          "`provision all` uses an environment of its own"),
)  # fmt: skip


def known(id: str) -> Known | None:
    """A finding by its id, None when no step has it."""
    return next((entry for entry in CATALOGUE if entry.id == id), None)


def must_know(ids: Iterable[str]) -> None:
    """Raise UsageError for an id that is none, with the nearest."""
    names = [entry.id for entry in CATALOGUE]
    for id in ids:
        if id not in names:
            near = difflib.get_close_matches(id.lower(), names, n=1, cutoff=0.4)
            hint = f"provision doctor --only {near[0]}" if near else "provision doctor --list"
            raise UsageError(f"There is no finding {id!r}.", hint=hint)


def steps_with_findings() -> list[str]:
    """The steps in the order of the catalogue."""
    return list(dict.fromkeys(entry.step for entry in CATALOGUE))
