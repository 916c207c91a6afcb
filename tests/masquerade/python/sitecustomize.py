"""Python's own look at the machine, as on the Mac of `mac.json` beside this file.

Python imports this by itself, in every environment of the interpreter that it is laid over. What a platform decides
while it is imported (subprocess, ssl, psutil ...) is imported first, as it works on this Linux.
"""

import contextlib
import importlib
import json
import os
import sys
from pathlib import Path

FIRST = [
    "asyncio",
    "concurrent.futures",
    "ctypes.util",
    "multiprocessing",
    "psutil",
    "shutil",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "truststore",
    "urllib.request",
    "uuid",
    "webbrowser",
]
LINUXS_OWN = [
    "O_DIRECT",
    "copy_file_range",
    "memfd_create",
    "pidfd_open",
    "posix_fadvise",
    "posix_fallocate",
    "sched_getaffinity",
    "sched_setaffinity",
    "splice",
]
GUARDED = ("Documents", "Desktop", "Downloads", "Library")
F_NOCACHE, F_FULLFSYNC = 48, 51
"""macOS's sys/fcntl.h."""


def answer_as(mac):
    """Let `platform`, `os`, `psutil` and `shutil` tell of the Mac."""
    for name in FIRST:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    words = next(each["out"] for each in mac["commands"] if each["command"][0] == "/usr/bin/sw_vers").split()
    silicon = mac["sysctl"]["values"].get("hw.optional.arm64") == "1"
    own = sys.prefix == mac["tool"]  # under Rosetta the tool's Python is Intel's, and ComfyUI's is not
    tell_the_system("arm64" if silicon and not own else mac["arch"], words[words.index("ProductVersion:") + 1])
    tell_the_quantities(mac)
    tell_the_disk()
    watch_the_guarded(mac)


def tell_the_system(arch, version):
    import platform
    import sysconfig

    sysconfig.get_config_vars()
    sysconfig.get_platform = lambda: f"macosx-11.0-{arch}"
    platform.system = lambda: "Darwin"
    platform.machine = lambda: arch
    platform.mac_ver = lambda *_: (version, ("", "", ""), arch)
    seen = os.uname_result(("Darwin", os.uname().nodename, "25.0.0", "Darwin Kernel Version 25.0.0", arch))
    os.uname = lambda: seen
    sys.platform = "darwin"


def tell_the_quantities(mac):
    """Memory (None: psutil fails, as on a new macOS), the disk's free bytes, and programs that no path leads to."""
    import shutil

    which, usage = shutil.which, shutil.disk_usage
    shutil.disk_usage = lambda path: usage(path)._replace(free=mac["disk_free_bytes"])
    shutil.which = lambda name, **how: name if name in mac["programs"] and "/" in name else which(name, **how)
    psutil = sys.modules.get("psutil")
    if psutil is None:
        return
    memory = psutil.virtual_memory

    def virtual_memory():
        if mac["memory_bytes"] is None:
            raise RuntimeError("host_statistics64(HOST_VM_INFO64) syscall failed: (ipc/mig) array not large enough")
        total, available = mac["memory_bytes"]
        return memory()._replace(total=total, available=available)

    psutil.virtual_memory = virtual_memory


def tell_the_disk():
    """What only Linux can do with files is gone; what only macOS can is as good as done."""
    import fcntl

    for name in LINUXS_OWN:
        with contextlib.suppress(AttributeError):
            delattr(os, name)
    real = fcntl.fcntl
    fcntl.F_NOCACHE, fcntl.F_FULLFSYNC = F_NOCACHE, F_FULLFSYNC

    def control(handle, command, *more):
        if command in (F_NOCACHE, F_FULLFSYNC):
            return os.fsync(handle) or 0
        return real(handle, command, *more)

    fcntl.fcntl = control


def watch_the_guarded(mac):
    """Note every folder and file that is opened where macOS would ask the person first."""
    guarded = tuple(f"{mac['person']}/{name}" for name in GUARDED)

    def seen(event, given):
        if event in ("open", "os.scandir", "os.listdir") and isinstance(given[0], str) and given[0].startswith(guarded):
            handle = os.open(mac["opened"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(handle, f"{event} {given[0]}\n".encode())
            os.close(handle)

    sys.addaudithook(seen)


if "MASQUERADE_OFF" not in os.environ:
    answer_as(json.loads(Path(__file__).with_name("mac.json").read_text(encoding="utf-8")))
