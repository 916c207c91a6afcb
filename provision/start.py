"""What bin/provision and install.sh's `provision` have Python run: `python -I -S -X utf8 start.py WORDS...`.

Python answers a Ctrl-C with a traceback until a program says otherwise, and reads its packages first of all. So they
are read after these lines (-S, site.main), which need only what is built in. With `-X stderr=N` what Python says before
goes elsewhere, and N is standard error from here on. The folder of this package comes first: a .pth may be gone, or
hidden by iCloud, which newer Pythons then pass over (cpython 113659).
"""

import _signal  # type: ignore[import-not-found]
import posix
import sys

_signal.signal(_signal.SIGINT, _signal.SIG_DFL)
if "stderr" in sys._xoptions:
    given = int(sys._xoptions["stderr"])
    posix.dup2(given, 2)
    posix.close(given)
    sys.stderr = sys.__stderr__ = open(2, "w", 1, "utf-8", "backslashreplace", closefd=False)  # type: ignore[misc]  # noqa: SIM115
try:  # noqa: SIM105
    posix.waitpid(-1, posix.WNOHANG)  # what the shell left behind that this program was
except OSError:
    pass

import runpy  # noqa: E402
import site  # noqa: E402

sys.path.insert(0, __file__.removesuffix("/provision/start.py"))
site.main()
runpy.run_module("provision", run_name="__main__", alter_sys=True)
