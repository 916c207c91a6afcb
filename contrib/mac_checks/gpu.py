"""The GPU, and from where it is seen."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time

from contrib.mac_checks.check import CHECKOUT, Bench, Skipped, in_one_line, said

ASK_MPS = """
import torch
mps = torch.backends.mps
print("torch", torch.__version__, "MPS built" if mps.is_built() else "MPS not built", end=", ")
print(float((torch.ones(9, device="mps") * 2).sum()) if mps.is_available() else "MPS not available")
"""


def mps(bench: Bench) -> str:
    """torch's device compared with the CPU, by the product's own probe."""
    from provision.environment.torch_probe_result import describe_failure, parse_torch_probe

    probe = CHECKOUT / "provision" / "environment" / "torch_probe.py"
    ran = subprocess.run(
        [bench.python_with_torch(), "-I", probe], capture_output=True, text=True, timeout=900, check=False
    )
    if "MPS backend out of memory" in ran.stderr:  # smaller runners (actions/runner-images issues 9918, 11899)
        raise Skipped("MPS gives no memory on this machine: nothing was compared")
    assert ran.returncode == 0, in_one_line(ran.stderr)[-600:]
    found = parse_torch_probe(ran.stdout)
    assert not found.failed, describe_failure(found)
    return f"torch {found.torch} on {found.device}: all comparisons are right"


def ssh(bench: Bench) -> str:
    """Whether a session over SSH sees the GPU: an sshd of our own, with a key of our own."""
    python, sshd = bench.python_with_torch(), shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
    if sshd is None:
        raise Skipped("there is no sshd")
    for name in ("host", "user"):
        said("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", bench.folder / name)
    (bench.folder / "user.pub").rename(bench.folder / "authorized")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    server = ("-D", "-f", "/dev/null", "-p", port, "-h", bench.folder / "host", "-o", "StrictModes=no")
    only = (
        "-o",
        "UsePAM=no",
        "-o",
        f"AuthorizedKeysFile={bench.folder / 'authorized'}",
        "-o",
        "ListenAddress=127.0.0.1",
    )
    client = ("ssh", "-i", bench.folder / "user", "-p", port, "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes")
    with subprocess.Popen([sshd, *server, *only, "-e"], stderr=subprocess.PIPE, text=True) as running:
        try:
            time.sleep(2)
            told = said(*client, "127.0.0.1", f"'{python}' -c '{ASK_MPS.replace(chr(39), '')}'", timeout_s=120)
        finally:
            running.terminate()
    return f"over SSH: {in_one_line(told.splitlines()[-1])}"


AGENT = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict><key>Label</key><string>{label}</string><key>RunAtLoad</key><true/>
<key>ProgramArguments</key><array><string>{python}</string><string>{script}</string></array>
<key>StandardOutPath</key><string>{out}</string><key>StandardErrorPath</key><string>{out}</string></dict></plist>
"""


def launch_agent(bench: Bench) -> str:
    """Whether what launchd starts for the person sees the GPU."""
    out, script, plist = bench.folder / "out", bench.folder / "ask.py", bench.folder / "agent.plist"
    label, domain = f"provision.checks.{os.getpid()}", f"gui/{os.getuid()}"
    script.write_text(ASK_MPS if bench.torch else "print('it ran, without torch')\n")
    plist.write_text(AGENT.format(label=label, python=bench.torch or sys.executable, script=script, out=out))
    said("/bin/launchctl", "bootstrap", domain, plist)
    try:
        until = time.monotonic() + 90
        while time.monotonic() < until and not (out.exists() and out.read_text().endswith("\n")):
            time.sleep(0.5)
    finally:
        said("/bin/launchctl", "bootout", f"{domain}/{label}")
    assert out.exists(), "it wrote nothing in 90 s"
    return f"as a LaunchAgent: {in_one_line(out.read_text())[-300:]}"
