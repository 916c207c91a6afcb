"""What bin/provision and install.sh's `provision` have Python run first: `python -I -S -c LINE start.py WORDS...`.

Python answers a Ctrl-C with a traceback until a program says otherwise, and reads its packages first of all. So the
line sees to that (a Ctrl-C ends it), and packages are read after these (-S, site.main), which need only what is built
in. With `-X stderr=N` what Python says before goes elsewhere, and N is standard error from here on. The folder of this
package comes first: a .pth may be gone, or hidden by iCloud, which newer Pythons then pass over (cpython 113659).
"""

import posix
import sys

if "stderr" in sys._xoptions:
    given = int(sys._xoptions["stderr"])
    posix.dup2(given, 2)
    posix.close(given)
    sys.stderr = sys.__stderr__ = open(2, "w", 1, "utf-8", "backslashreplace", closefd=False)  # type: ignore[misc]  # noqa: SIM115
try:  # noqa: SIM105
    posix.waitpid(-1, posix.WNOHANG)  # what the shell left behind that this program was
except OSError:
    pass

import runpy
import site

sys.path.insert(0, __file__.removesuffix("/provision/start.py"))
site.main()
runpy.run_module("provision", run_name="__main__", alter_sys=True)
