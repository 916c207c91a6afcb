"""What there is to type: commands by group, their examples, and the flags that all take. Read at every start, so it
imports nothing; `bin/provision` holds the same help, for it needs no Python (a test compares them)."""

from __future__ import annotations

GROUPS = {
    "Set up": {
        "all": "Install everything and make the first image, or repair it.",
        "plan": "Show what `all` would do, with sizes; change nothing.",
        "check": "Check whether this machine is good enough.",
        "doctor": "Check everything; repair it with --fix; explain a LOGFILE.",
    },
    "Use": {
        "generate": "Generate images from prompts; starts ComfyUI if needed.",
        "launch": "Start ComfyUI in the background and wait until it answers.",
        "stop": "Stop ComfyUI.",
        "status": "Show what is installed and running.",
        "logs": "Show ComfyUI's log.",
        "bench": "Measure seconds per image, and compare with published figures.",
        "report": "Write the last run as one HTML page.",
    },
    "Maintain": {
        "update": "Update ComfyUI, and torch with --torch; tested before it is used.",
        "rollback": "Return to an earlier generation: ComfyUI, torch and packages.",
        "history": "List the generations that can be gone back to.",
        "clean": "Free disk space: caches, old generations, doubles.",
        "nodes": "List, add, remove and update custom nodes; tested before they are used.",
        "config": "Show every setting and where it comes from.",
        "uninstall": "Remove what provision made; what you added is kept.",
    },
    "Many, offline": {
        "bundle": "Write everything to a disk, to install Macs without internet.",
        "serve": "Serve a bundle, or this Mac's model, to other Macs over the LAN.",
        "fleet": "Do the same on many Macs over SSH: all, plan, status, stop.",
    },
    "More": {
        "download": "Download only the model, and verify it.",
        "manifests": "List, show, write and validate manifests.",
        "completion": "Print or install shell completion.",
    },
}
COMMANDS = {name: about for group in GROUPS.values() for name, about in group.items()}
"""Each is the `app` of the module of its name in `commands`."""
ANSWERED = {"help": "Show help on a COMMAND.", "version": "Show the version."}
"""Commands that are answered at once, in the last group."""
ALIASES = {"install": "all", "setup": "all", "up": "all"}
ABOUT = "From a new Mac to its first SDXL-Turbo image in ComfyUI. To begin: provision all"
GLOBAL = {
    "--home DIR": "The folder for everything (PROVISION_HOME, ~/provision).",
    "--manifest NAME|FILE": "What to install.",
    "--set KEY=VALUE": "Override a key of the manifest.",
    "--json": "NDJSON events, then one report.",
    "-y, --yes": "Answer yes to every question.",
    "-v, --verbose": "Show the output of the programs that are run.",
    "-q, --quiet": "Show only the answer, and what fails.",
    "--plain": "Plain lines without animation, for screen readers.",
    "--color WHEN": "auto, always or never (default: auto; NO_COLOR).",
}
"""Flags of most commands, which may also stand before the command."""
EXAMPLES = {
    "all": ("provision all", "provision all --rehearse", "provision all --comfyui ~/ComfyUI"),
    "plan": ("provision plan", "provision plan --for m1-16gb", "provision plan --commands > install.sh"),
    "check": ("provision check", "provision check --hosts"),
    "doctor": (
        "provision doctor",
        "provision doctor --fix",
        "provision doctor ComfyUI/user/comfyui.log",
    ),
    "generate": ('provision generate "a red fox in snow"', 'provision generate "a red fox" --seed 7 -o fox.png'),
    "launch": ("provision launch --open",),
    "logs": ("provision logs -f", "provision logs --tool"),
    "bench": ("provision bench", "provision bench --size 512 --steps 1"),
    "report": ("provision report", "provision report -o run.html"),
    "clean": ("provision clean", "provision clean --dry-run", "provision clean --only cache --yes"),
    "nodes": ("provision nodes", "provision nodes add https://github.com/OWNER/NAME", "provision nodes update"),
    "config": ("provision config",),
    "serve": ("provision serve /Volumes/Disk/bundle", "provision serve --for 30m"),
    "fleet": ("provision fleet macs.toml", "provision fleet macs.toml all --retry", "provision fleet macs.toml report"),
    "download": ("provision download", "provision download stabilityai/sdxl-turbo --to ~/models"),
    "manifests": ("provision manifests show > my.toml", "provision manifests new my.toml"),
    "bundle": ("provision bundle /Volumes/USB", "provision bundle --check /Volumes/USB"),
    "completion": ("provision completion --install", "provision completion zsh"),
}
VALUES = ("DIR", "FILE", "VALUE", "WHEN")
"""How a flag ends that takes a value."""


def help_text() -> str:
    """What `provision --help` prints."""
    lines = ["Usage: provision COMMAND [OPTIONS]", "", ABOUT]
    for group, commands in GROUPS.items():
        shown = {**commands, **ANSWERED} if group == "More" else commands
        lines += ["", f"{group}:", *(f"  {name:<12}{about}" for name, about in shown.items())]
    lines += ["", "Options of most commands, before or after their names:"]
    lines += [f"  {flag:<22}{about}" for flag, about in GLOBAL.items()]
    examples = [EXAMPLES[name][0] for name in ("all", "plan", "generate")]
    lines += ["", "Examples:", *(f"  {example}" for example in examples)]
    return "\n".join([*lines, "", "`provision help COMMAND` has a command's options and examples."])


def is_help(words: list[str]) -> bool:
    """Whether these words ask for the help on everything."""
    return not words or words in (["help"], ["-h"], ["--help"])


def is_version(words: list[str]) -> bool:
    """Whether these words ask for the version."""
    return words in (["version"], ["-V"], ["--version"])


def arranged(words: list[str]) -> list[str]:
    """Words with the flags that stand before a command behind its name: `--json status` is `status --json`."""
    names = {flag: known.endswith(VALUES) for known in GLOBAL for flag in known.replace(",", "").split()}
    moved, rest = [], list(words)
    while rest and (flag := rest[0].partition("=")[0]) in names:
        takes = names[flag] and "=" not in rest[0]
        moved += rest[: 1 + takes]
        rest = rest[1 + takes :]
    return [rest[0], *moved, *rest[1:]] if rest else []


def translated(words: list[str]) -> list[str]:
    """Words with other names of commands replaced, and `help COMMAND` as its flag."""
    if words[:1] == ["help"]:
        return [*translated(words[1:]), "--help"]
    if words[:1] == ["version"]:
        return ["--version", *words[1:]]
    return [ALIASES.get(words[0], words[0]), *words[1:]] if words else []
