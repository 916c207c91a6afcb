"""What the shell that starts the tool hands on: variables, limits, streams, signals, a terminal."""

from __future__ import annotations

import subprocess

from tests.states.state import Place, State

TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
SHADOWS = {
    f"shadows/{name}.py": f"raise SystemExit('{name} of the person')\n"
    for name in ("typing", "torch", "sitecustomize", "usercustomize", "json", "numpy")
}


def _in_terminal(at: Place, script: str = "") -> None:
    at.around += ["python3", "-c", TERMINAL]
    at.shell(script)


def _foreign_repository(at: Place) -> None:
    theirs = at.folder / "theirs"
    subprocess.run(("git", "init", "--quiet", theirs), check=True)
    (theirs / "file").write_text("mine\n", encoding="utf-8")
    subprocess.run(("git", "-C", theirs, "add", "file"), check=True)
    at.give({"GIT_DIR": f"{theirs}/.git", "GIT_WORK_TREE": str(theirs), "GIT_INDEX_FILE": f"{theirs}/.git/index"}, {})
    at.untouched = lambda: {path: path.read_bytes() for path in sorted(theirs.rglob("*")) if path.is_file()}


SHELL = (
    State(
        "LC_ALL=C, PYTHONUTF8=0, ASCII, TERM=dumb",
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii", "TERM": "dumb"},
    ),
    State("a locale that is not installed", {"LANG": "xx_YY.UTF-8", "LC_ALL": "xx_YY.UTF-8"}),
    State("a time zone that does not exist", {"TZ": "Nowhere/Odd"}),
    State("USER, LOGNAME and SHELL are not set", {"USER": None, "LOGNAME": None, "SHELL": None}),
    State("CDPATH, IFS and BASH_ENV steer shells", {"CDPATH": "/tmp", "BASH_ENV": "/nope", "ENV": "/nope", "IFS": "/"}),
    State("PYTHONHOME is /nope", {"PYTHONHOME": "/nope"}),
    State("PYTHONPATH shadows typing, torch, json", {"PYTHONPATH": "{folder}/person/shadows"}, SHADOWS),
    State("PYTHONWARNINGS=error, PYTHONOPTIMIZE=2", {"PYTHONWARNINGS": "error", "PYTHONOPTIMIZE": "2"}),
    State(
        "PYTHONUSERBASE with a sitecustomize",
        {"PYTHONUSERBASE": "{folder}/person/base"},
        {f"base/lib/python3.{minor}/site-packages/usercustomize.py": "raise SystemExit(3)\n" for minor in range(9, 16)},
    ),
    State("VIRTUAL_ENV and CONDA_PREFIX name nothing", {"VIRTUAL_ENV": "/nope", "CONDA_PREFIX": "/nope"}),
    State(
        "NO_COLOR, FORCE_COLOR and CLICOLOR_FORCE at once", {"NO_COLOR": "1", "FORCE_COLOR": "3", "CLICOLOR_FORCE": "1"}
    ),
    State("GIT_DIR, GIT_WORK_TREE and GIT_INDEX_FILE of another repository", set_up=_foreign_repository),
    State("umask 0", set_up=lambda at: at.shell("umask 0")),
    State("64 open files at most", set_up=lambda at: at.shell("ulimit -n 64")),
    State("a stack of 1 MB", set_up=lambda at: at.shell("ulimit -s 1024")),
    State("standard input is closed", set_up=lambda at: at.shell("exec 0<&-")),
    State("standard output is closed", set_up=lambda at: at.shell("exec 1>&-")),
    State("standard error is closed", set_up=lambda at: at.shell("exec 2>&-")),
    State("all three are closed", set_up=lambda at: at.shell("exec 0<&- 1>&- 2>&-")),
    State("standard error is full", set_up=lambda at: at.shell("exec 2>/dev/full")),
    State(
        "SIGHUP, SIGPIPE and SIGCHLD are ignored by who starts it", set_up=lambda at: at.shell("trap '' HUP PIPE CHLD")
    ),
    State("a terminal of 1 x 1", {"TERM": "xterm-256color"}, set_up=lambda at: _in_terminal(at, "stty cols 1 rows 1")),
    State("a terminal of 0 x 0", {"TERM": "xterm"}, set_up=lambda at: _in_terminal(at, "stty cols 0 rows 0")),
    State("a terminal of a kind that nobody knows", {"TERM": "nope-9000"}, set_up=_in_terminal),
    State("a terminal without TERM", {"TERM": None, "COLUMNS": "abc", "LINES": "-1"}, set_up=_in_terminal),
)
