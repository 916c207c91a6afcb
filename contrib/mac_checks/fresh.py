"""From nothing to the image."""

from __future__ import annotations

import os
import time

from contrib.mac_checks.check import CHECKOUT, Bench, answer, in_one_line


def install(bench: Bench) -> str:
    """install.sh in an empty home with the system's own PATH, then the rehearsal twice, then all of it removed."""
    home = bench.folder / "a home"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if "proxy" in name.lower() or "CERT" in name}
    environ = {**kept, "HOME": str(home), "PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "SHELL": "/bin/zsh"}

    def run(line: str, *words: str) -> str:
        code, text = answer("/bin/sh", "-c", f"cd && {line}", "sh", *words, timeout_s=900, env=environ)
        assert code == 0, f"`{line}` ended with {code}: {in_one_line(text)[-900:]}"
        return text

    started = time.monotonic()
    told = run('sh "$1"', str(CHECKOUT / "install.sh"))
    installed = time.monotonic()
    program = home / ".local" / "bin" / "provision"
    run('"$1" all --rehearse --yes', str(program))
    image = home / "provision-rehearsal" / "first-image.png"
    assert image.is_file(), "there is no image"
    rehearsed = time.monotonic()
    run('"$1" all --rehearse --yes --stop', str(program))
    run(told.partition("Remove it:")[2].splitlines()[0].strip())
    assert not program.is_symlink()
    return f"installed in {installed - started:.0f} s, rehearsed to the image in {rehearsed - installed:.0f} s, removed"
