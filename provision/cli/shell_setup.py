"""Completion scripts of shells, and how one is put where a shell finds it: a file of ours and one line in an rc file.

Source of the scripts' protocol: typer's `_completion_classes`, as of 0.27. zsh is given what fish is given, a word and
its sentence in a line, since typer's own zsh answer loses apostrophes.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from provision.system.disk_errors import unusable

BASH = """\
_provision_completion() {
  local IFS=$'\\n'
  COMPREPLY=($(COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD _PROVISION_COMPLETE=complete_bash "$1" 2>/dev/null))
}
complete -o default -F _provision_completion provision
"""
ZSH = """\
#compdef provision
_provision() {
  local -a offered
  local answer word
  answer=$(_PROVISION_COMPLETE=complete_fish _TYPER_COMPLETE_FISH_ACTION=get-args \\
    _TYPER_COMPLETE_ARGS="${(j: :)words[1,CURRENT]}" ${~words[1]} 2>/dev/null)
  for word in ${(f)answer}; do
    word=${word//:/\\\\:}
    offered+=("${word/$'\\t'/:}")
  done
  if (( $#offered )); then
    _describe provision offered
  else
    _files
  fi
}
if [[ ${funcstack[1]} == _provision ]]; then
  _provision "$@"
else
  (( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i }
  compdef _provision provision
fi
"""
FISH = """\
function __provision_complete
  _PROVISION_COMPLETE=complete_fish _TYPER_COMPLETE_FISH_ACTION=$argv[1] \\
    _TYPER_COMPLETE_ARGS=(commandline -cp) command provision 2>/dev/null
end
complete --command provision --no-files --arguments "(__provision_complete get-args)" \\
  --condition "__provision_complete is-args"
"""
SCRIPTS: Mapping[str, str] = {"bash": BASH, "zsh": ZSH, "fish": FISH}
MARK = b"# provision: completion"
"""How our line in an rc file ends, by which it is found again."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a shell finds a script: the file of ours, and the rc file that reads it, which fish needs none of."""

    script: Path
    rc: Path | None = None

    @property
    def line(self) -> bytes:
        """Our line in the rc file."""
        script = shlex.quote(str(self.script))
        return f"if [ -r {script} ]; then . {script}; fi ".encode() + MARK

    def install(self, script: str) -> bool:
        """Write the script and the line; False where both were there. Raises HomeError, DiskFull."""
        text = script.encode()
        try:
            new = not self.script.is_file() or self.script.read_bytes() != text
            if new:
                self.script.parent.mkdir(parents=True, exist_ok=True)
                self.script.write_bytes(text)
            if self.rc is None:
                return new
            before = self.rc.read_bytes() if self.rc.exists() else b""
            if self.line in before.splitlines():
                return new
            gap = b"" if not before or before.endswith(b"\n") else b"\n"
            with self.rc.open("ab") as stream:  # what is there is not written anew
                stream.write(gap + self.line + b"\n")
        except OSError as error:
            raise unusable(Path(error.filename or self.script), error) from error
        return True

    def remove(self) -> bool:
        """Take both away; False where there was nothing. Raises HomeError, DiskFull."""
        try:
            there = self.script.is_file()
            self.script.unlink(missing_ok=True)
            before = self.rc.read_bytes() if self.rc is not None and self.rc.exists() else b""
            kept = b"".join(line for line in before.splitlines(keepends=True) if not line.rstrip().endswith(MARK))
            if self.rc is None or kept == before:
                return there
            aside = self.rc.resolve()  # a link to it stays a link
            new = aside.with_name(f".{aside.name}.provision")
            new.write_bytes(kept)
            new.chmod(aside.stat().st_mode)
            new.replace(aside)
        except OSError as error:
            raise unusable(Path(error.filename or self.script), error) from error
        return True


def place_for(shell: str, environ: Mapping[str, str], *, mac: bool) -> Place:
    """Where this person's shell looks: bash into `.bashrc`, on a Mac `.bash_profile`, since terminals log in there."""
    home = Path(environ.get("HOME") or Path.home())
    data = Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "provision"
    if shell == "fish":
        return Place(
            Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "fish" / "completions" / "provision.fish"
        )
    if shell == "zsh":
        return Place(data / "completion.zsh", Path(environ.get("ZDOTDIR") or home) / ".zshrc")
    return Place(data / "completion.bash", home / (".bash_profile" if mac else ".bashrc"))
