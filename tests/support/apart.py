"""A network of its own for a command, from which nothing but a few hosts can be reached."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

ENTER = """
import os, socket, subprocess, sys
subprocess.run([sys.argv[1], "link", "set", "lo", "up"], check=True)
with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket(fileno=int(sys.argv[2])) as outside:
    port = listening.getsockname()[1]
    socket.send_fds(outside, [b"listening"], [listening.fileno()])
os.environ["HTTPS_PROXY"] = os.environ["HTTP_PROXY"] = f"http://127.0.0.1:{port}"
os.execve(sys.argv[3], sys.argv[3:], os.environ)
"""
"""Run inside: gives the door, a listening socket of the network within, to the process outside of it."""


def why_not() -> str:
    """Why there can be no such network here; empty where there can."""
    if sys.platform != "linux" or shutil.which("unshare") is None or shutil.which("ip") is None:
        return "only a Linux with unshare and ip can be cut off from its network"
    ran = subprocess.run([*_unshared(), "true"], capture_output=True, text=True, check=False)
    return f"there can be no network namespace: {ran.stderr.strip()}" if ran.returncode else ""


def _unshared() -> list[str]:
    return [str(shutil.which("unshare")), "--net", *([] if os.geteuid() == 0 else ["--map-root-user"])]


@dataclass
class Door:
    """A proxy (CONNECT) that lets only some hosts through; `asked` has each host, `bytes_in` what came of them."""

    hosts: frozenset[str]
    asked: set[str] = field(default_factory=set)
    bytes_in: int = 0

    def serve(self, listening: socket.socket) -> None:
        """Until the socket is closed."""
        with suppress(OSError):
            while True:
                caller, _ = listening.accept()
                threading.Thread(target=self._answer, args=(caller,), daemon=True).start()

    def _answer(self, caller: socket.socket) -> None:
        with caller, suppress(OSError):
            asked = b""
            while not asked.endswith(b"\r\n\r\n"):
                asked += caller.recv(1)
            method, target, _ = asked.split(b" ", 2)
            host, _, port = target.decode().rpartition(":")
            self.asked.add(host or target.decode())
            if method != b"CONNECT" or host not in self.hosts:
                caller.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                return
            with socket.create_connection((host, int(port)), timeout=60) as there:
                caller.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                threading.Thread(target=self._pass_on, args=(caller, there, False), daemon=True).start()
                self._pass_on(there, caller, True)

    def _pass_on(self, source: socket.socket, target: socket.socket, is_counted: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                self.bytes_in += len(data) * is_counted
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


def without_a_route(script: str) -> list[str]:
    """A script of sh, in a network that has its own loopback alone."""
    up = f"{shutil.which('ip')} link set lo up\n"
    return [*_unshared(), str(shutil.which("sh")), "-ec", up + script]


@contextmanager
def cut_off(
    argv: Sequence[str], environ: Mapping[str, str], hosts: Sequence[str], folder: Path
) -> Iterator[tuple[subprocess.Popen[str], Door]]:
    """The command, where only `hosts` can be reached, by the proxy that HTTPS_PROXY names; its words on one stream."""
    ours, theirs = socket.socketpair()
    door, ip = Door(frozenset(hosts)), str(shutil.which("ip"))
    inside = [*_unshared(), sys.executable, "-I", "-c", ENTER, ip, str(theirs.fileno()), *argv]
    with ours, theirs:
        running = subprocess.Popen(
            inside,
            pass_fds=[theirs.fileno()],
            env=dict(environ),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        theirs.close()
        ours.settimeout(60)
        _, fds, _, _ = socket.recv_fds(ours, 16, 1)
    with closing(socket.socket(fileno=fds[0])) as listening:
        threading.Thread(target=door.serve, args=(listening,), daemon=True).start()
        try:
            yield running, door
        finally:
            running.kill()
            running.wait()
