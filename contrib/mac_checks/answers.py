"""What the programs of macOS answer."""

from __future__ import annotations

import os
import re
import tempfile

from contrib.mac_checks.check import MIB, Bench, answer, in_one_line


def facts(_: Bench) -> str:
    """The product's own readers, on the real programs."""
    from provision.steps.hardware.step import PMSET, VM_STAT
    from provision.system import mac, parsers
    from provision.system.local_machine import LocalMachine

    machine = LocalMachine()
    chip = parsers.parse_chip(mac.read_sysctl(machine))
    available = parsers.parse_vm_stat(machine.run(VM_STAT).out)
    low_power = parsers.parse_pmset(machine.run(PMSET).out)
    return f"{mac.must_read_macos(machine)}, {chip}, {available / MIB:.0f} MiB available, Low Power Mode {low_power}"


def limits(bench: Bench) -> str:
    """What a test suite meets: paths of sockets, open files, names."""
    import resource

    (bench.folder / "Case").touch()
    blind = (bench.folder / "case").exists()
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return (
        f"TMPDIR has {len(tempfile.gettempdir())} characters, {files} open files, "
        f"names {'ignore' if blind else 'tell'} case, login shell {os.environ.get('SHELL')}"
    )


PLAYED = (
    (("/usr/bin/xattr", "-p", "com.apple.quarantine", "/etc/hosts"), 1, "No such xattr"),
    (("/usr/sbin/scutil", "--proxy"), 0, "<dictionary>"),
    (("/usr/sbin/ipconfig", "getpacket", "en99"), 1, ""),
    (("/usr/sbin/sysctl", "-i", "hw.no_such_name"), 0, "^$"),
    (("/usr/sbin/sysctl", "-n", "hw.memsize"), 0, r"^\d+$"),
    (("/usr/bin/xcode-select", "-p"), 0, "^/"),
    (("/bin/launchctl", "managername"), 0, r"^\w+$"),
    (("/usr/bin/defaults", "read", "/Library/Preferences/com.apple.dt.Xcode", "NoSuchKey"), 1, "does not exist"),
    (("/usr/sbin/ioreg", "-r", "-w0", "-c", "AppleSmartBattery"), 0, ""),
    (("/usr/bin/tmutil", "isexcluded", "/tmp"), 0, "cluded"),
    (("/sbin/route", "-n", "get", "default"), 0, "interface:"),
    (("/usr/bin/env", "DEVELOPER_DIR=/nowhere", "/usr/bin/git", "--version"), 1, "xcrun: error|xcode-select"),
)
"""What tests/masquerade takes for granted of programs that nobody recorded: words, exit code, a part of the text."""


def masquerade(_: Bench) -> str:
    """Whether the real programs answer as the played ones do."""
    wrong = []
    for argv, code, pattern in PLAYED:
        ended, text = answer(*argv)
        if ended != code or not re.search(pattern, text):
            wrong.append(f"`{' '.join(argv)}` ended with {ended}: {in_one_line(text)[:200]!r}")
    assert not wrong, "; ".join(wrong)
    return f"all {len(PLAYED)} programs answer as played"
