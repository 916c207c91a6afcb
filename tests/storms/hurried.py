"""The tool with short time-outs and without waits, as a program of its own:  python hurried.py WORDS...

The bounds are the tool's own; here they are only reached sooner.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from dataclasses import replace

from provision import download as backends
from provision.cli import app as cli
from provision.download import retry
from provision.download.backends import http, wget
from provision.system import bounded_http
from provision.system.local_machine import LocalMachine

SHORTER = {
    "STALL_TIMEOUT_S": 1,
    "READ_TIMEOUT_S": 2,
    "TIMEOUT_S": 1,
    "SILENT_MS": 500,
    "RETRIES": 1,
    "RETRY_DELAY_MS": 20,
    "HEAD_S": 1.0,
    "BODY_S": 2.0,
    "LISTING_S": 3.0,
    "CRAWL_S": 2.0,
    "MEMORY_LOOK_S": 0.2,
    "ASKING_S": 4.0,
    "MEMORY_MAX_BYTES": 400 << 20,
    "SLOWEST_S": 3.0,
}


def hurry() -> None:
    found = pkgutil.walk_packages(backends.__path__, "provision.download.")
    modules = [importlib.import_module(each.name) for each in found if not each.name.endswith("_program")]
    for module in (*modules, bounded_http):
        for name, value in SHORTER.items():
            if hasattr(module, name):
                setattr(module, name, value)
    retry.IDLE_S = 1.5
    wget.OPTIONS = tuple("--read-timeout=1" if "read-timeout" in word else word for word in wget.OPTIONS)
    http.SETTINGS = replace(http.SETTINGS, stall_s=1, segment_bytes=1 << 20)
    os.environ["PROVISION_PATIENCE"] = "15"
    sleep = LocalMachine.sleep
    LocalMachine.sleep = lambda self, seconds: sleep(self, min(seconds, 0.01))  # type: ignore[method-assign]


if __name__ == "__main__":
    hurry()
    cli.main()
