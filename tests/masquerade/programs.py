"""What the programs of a Mac answer: `programs.py MAC NAME WORDS...`, for the Mac of the folder MAC.

What was recorded is printed as it was. The others do what their namesakes do, as far as the product asks for it, with
the programs of this Linux.
"""

import json
import os
import sys
from pathlib import Path

STUB = "xcode-select: note: No developer tools were found, requesting install.\n"
"""The begin of what Apple's stubs of git and python3 say, after which they open a window and end with 1."""
TOOLS = "/Library/Developer/CommandLineTools/usr/bin/xcrun"
NONE = {"xattr": 1, "defaults": 1, "scutil": 0, "ipconfig": 1, "softwareupdate": 0}
"""Programs with nothing to say, and how they end."""


def main(folder: Path, name: str, words: list[str]) -> int:
    mac = json.loads((folder / "python/mac.json").read_text(encoding="utf-8"))
    with (folder / "called").open("a", encoding="utf-8") as log:
        log.write(" ".join([name, *words]) + "\n")
    for each in mac["commands"]:
        if (Path(each["command"][0]).name, each["command"][1:]) == (name, words):
            sys.stdout.write(each["out"])
            sys.stderr.write(each["err"])
            return int(each["code"])
    if name == "git" and TOOLS not in mac["programs"]:
        sys.stderr.write(STUB)
        return 1
    answer = ANSWERS.get(name.replace("-", "_"))
    return answer(folder, mac, words) if answer else NONE.get(name, 0)


def sysctl(folder: Path, mac: dict, words: list[str]) -> int:
    """As Apple's: `-i` passes over names that it does not know, `-n` leaves the names out."""
    values = mac["sysctl"]["values"]
    flags, names = words[0] if words[0].startswith("-") else "", [word for word in words if not word.startswith("-")]
    for name in names:
        if name in values:
            print(values[name] if "n" in flags else f"{name}: {values[name]}")
        elif "i" not in flags:
            sys.stderr.write(f"sysctl: unknown oid '{name}'\n")
    return 0


def git(folder: Path, mac: dict, words: list[str]) -> int:
    return run(folder / "real/git", "git", *words)


def xcode_select(folder: Path, mac: dict, words: list[str]) -> int:
    print(Path(TOOLS).parents[2])
    return 0


def launchctl(folder: Path, mac: dict, words: list[str]) -> int:
    """`managername`: a session at the screen."""
    print("Aqua")
    return 0


def sudo(folder: Path, mac: dict, words: list[str]) -> int:
    """Without a password."""
    return run(Path("/usr/bin/env"), "env", *(word for word in words if word != "-n"))


def cp(folder: Path, mac: dict, words: list[str]) -> int:
    """macOS's `-c` clones, where Linux's copies."""
    flags = [word.replace("c", "") if word.startswith("-") else word for word in words]
    return run(folder / "real/cp", "cp", *(word for word in flags if word != "-"))


def caffeinate(folder: Path, mac: dict, words: list[str]) -> int:
    """`-w PID`: until that process ends."""
    return run(folder / "real/tail", "caffeinate", "-f", "/dev/null", f"--pid={words[words.index('-w') + 1]}")


def lsof(folder: Path, mac: dict, words: list[str]) -> int:
    """`-iTCP:PORT -sTCP:LISTEN -t`: the processes that listen there, by /proc."""
    port = next(int(word.partition(":")[2]) for word in words if word.startswith("-iTCP:"))
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    sockets = {f"socket:[{row[9]}]" for row in rows if row[3] == "0A" and int(row[1].partition(":")[2], 16) == port}
    held = {link.parts[2] for link in Path("/proc").glob("[0-9]*/fd/*") if _leads_to(link) in sockets}
    print("\n".join(sorted(held)))
    return 0 if held else 1


def _leads_to(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


def uname(folder: Path, mac: dict, words: list[str]) -> int:
    print({"-m": mac["arch"], "-r": "25.0.0"}.get(words[0] if words else "", "Darwin"))
    return 0


def arch(folder: Path, mac: dict, words: list[str]) -> int:
    print(mac["arch"])
    return 0


def uv(folder: Path, mac: dict, words: list[str]) -> int:
    """The real one, to whose eyes this is Linux: a Mac's Python is asked for by its version.

    It finds that Python alone which takes this for a Mac: others, and those that it would download, know better.
    """
    os.environ["MASQUERADE_OFF"] = "1"
    os.environ |= {"UV_PYTHON_SEARCH_PATH": str(Path(sys.executable).parent), "UV_PYTHON_DOWNLOADS": "never"}
    plain = [word.removeprefix("cpython-").partition("-macos-")[0] if "-macos-" in word else word for word in words]
    return run(folder / "real-uv", "uv", *plain)


def run(program: Path, *argv: str) -> int:
    os.execv(program, argv)


ANSWERS = {
    each.__name__: each for each in (sysctl, git, xcode_select, launchctl, sudo, cp, caffeinate, lsof, uname, arch, uv)
}


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
