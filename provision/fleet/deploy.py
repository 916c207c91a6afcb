"""The tool on a Mac, and a run of it, as a pyinfra deploy:

    from provision.fleet.deploy import provisioned
    provisioned(args=("all", "--yes"))

It needs nothing on the Mac but sh, tar and SSH; what is there already is not sent again.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence

from pyinfra import host
from pyinfra.api import FactBase, deploy
from pyinfra.operations import files, server

from provision.fleet.kit import kit_archive
from provision.fleet.messages import Look, Source
from provision.system.visible import shell_word, shell_words

TOOL = ".local/share/comfy-provision"
"""Where install.sh puts the tool, in the person's home folder."""
FOLDER = f"{TOOL}/fleet"
STAMP = f"{FOLDER}/kit.sha256"
SAYS_EVERY_S = 10
DIGITS_MAX = 18
NOWHERE = Source()
ALIVE = "still installing"
"""What is said while install.sh says nothing."""

LOOK = rf"""
say() {{ printf 'look %s=%s\n' "$1" "$2"; }}
say home "$HOME"
say kind "$(uname -sm)"
say chip "$(sysctl -n machdep.cpu.brand_string 2>/dev/null)"
say macos "$(sw_vers -productVersion 2>/dev/null)"
say memory_bytes "$(sysctl -n hw.memsize 2>/dev/null)"
say console "$(stat -f %Su /dev/console 2>/dev/null)"
say kit "$(cat "$HOME/{STAMP}" 2>/dev/null)"
[ ! -x "$HOME/{TOOL}/bin/provision" ] || say tool yes
where=@WHERE@
[ ! -e "$where/state/home.json" ] || say installed yes
while [ ! -d "$where" ] && [ "$where" != / ]; do where=$(dirname "$where"); done
say free_kb "$(df -Pk "$where" | tail -n 1 | awk '{{print $4}}')"
"""
"""Asks what a Mac is without changing anything; no program that Apple has only as a stub."""

INSTALL = rf"""
set -e
cd "$HOME/{FOLDER}"
rm -rf unpacked && mkdir unpacked && tar -xf kit.tar -C unpacked
( while sleep {SAYS_EVERY_S} >/dev/null 2>&1; do echo "{ALIVE}"; done ) & beat=$!
trap 'kill $beat 2>/dev/null' EXIT
@HOW@ 2>&1
rm -rf unpacked
printf '%s' @HASH@ > kit.sha256
"""
FROM_KIT = 'PROVISION_SOURCE=$(echo "$PWD"/unpacked/*.whl) sh unpacked/install.sh'
TIED = r"""
exec 3<&0
@LINE@ </dev/null 3<&- & run=$!
{ cat <&3 >/dev/null; kill -TERM "$run"; } 2>/dev/null & watch=$!
exec 3<&-
wait "$run"; code=$?
kill "$watch" 2>/dev/null
exit "$code"
"""
"""Runs a line until it ends, or until standard input is closed: then it is told to stop, which keeps its work."""


class ProvisionLook(FactBase[Look]):
    """What a Mac is and what it has, for an install folder there."""

    def command(self, home: str = "~/provision") -> str:
        return LOOK.replace("@WHERE@", expanded(home))

    def process(self, output: Iterable[str]) -> Look:
        return parse_look(output)


def parse_look(lines: Iterable[str]) -> Look:
    """What LOOK printed; what does not fit is left out."""
    said = dict(line[len("look ") :].partition("=")[::2] for line in lines if line.startswith("look "))
    texts = {name: said.get(name, "")[:200] for name in ("home", "kind", "chip", "macos", "kit", "console")}
    numbers = {name: int(text) for name, text in said.items() if text.isdecimal() and len(text) <= DIGITS_MAX}
    return Look(
        **texts,
        free_bytes=numbers.get("free_kb", 0) * 1024,
        memory_bytes=numbers.get("memory_bytes", 0),
        tool="tool" in said,
        installed="installed" in said,
    )


def expanded(folder: str) -> str:
    """A folder as a word of sh, with the person's home folder there for `~`."""
    return f'"$HOME"{shell_word(folder[1:])}' if folder.startswith("~/") else shell_word(folder)


def command_line(words: Sequence[str], *, home: str, tied: bool = False) -> str:
    """The line that runs the tool; `tied` to its standard input."""
    line = f'"$HOME/{TOOL}/bin/provision" {shell_words(tuple(words))} --home {expanded(home)}'
    return TIED.replace("@LINE@", line) if tied else line


def is_current(look: Look, kit: bytes) -> bool:
    """Whether the tool there came of this very kit."""
    return look.tool and look.kit == hashlib.sha256(kit).hexdigest()


@deploy("provision: install the tool")
def tool_installed(kit: io.BytesIO, look: Look, env: Mapping[str, str] | None = None, source: Source = NOWHERE) -> None:
    """Send the kit and install from it; with a `source`, from the bundle there, of which only the digest is sent."""
    files.put(name="Send the kit", src=kit, dest=f"{look.home}/{FOLDER}/kit.tar")
    how = FROM_KIT
    if source.url:
        how = f"sh unpacked/install.sh --from {shell_word(source.url)} --sha256 {shell_word(source.digest)}"
    line = INSTALL.replace("@HOW@", how).replace("@HASH@", hashlib.sha256(kit.getvalue()).hexdigest())
    server.shell(name="Install the tool", commands=[line], _env=dict(env or {}))


@deploy("provision")
def provisioned(
    args: Sequence[str] = ("all", "--yes"), home: str = "~/provision", env: Mapping[str, str] | None = None
) -> None:
    """This very tool, and one command of it: without `args`, everything up to the first image."""
    kit, look = kit_archive(), host.get_fact(ProvisionLook, home=home)
    if not is_current(look, kit):
        tool_installed(io.BytesIO(kit), look, env)
    line = command_line(args, home=home)
    server.shell(name=shell_words(("provision", *args)), commands=[line], _env=dict(env or {}))
