"""A hub with one large file on loopback: nginx for the bytes where there is one, the rehearsal's hub for git."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from provision.rehearsal.model_repo import make_model_repo
from tests.support.hub import Faults, Hub
from tests.support.xet import CHUNK_BYTES, XetStorage

REPO, FILE = "made/up-model", "model_fp16.safetensors"
MIB = 1 << 20
TENSORS = ("model.diffusion_model", "conditioner.embedders.0", "conditioner.embedders.1", "first_stage_model")
NGINX = """
daemon off; master_process off; pid {work}/nginx.pid; error_log {work}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off; default_type application/octet-stream; sendfile on; tcp_nopush on; keepalive_requests 100000;
  client_body_temp_path {work}/t1; proxy_temp_path {work}/t2; fastcgi_temp_path {work}/t3;
  uwsgi_temp_path {work}/t4; scgi_temp_path {work}/t5;
  {servers}
}}
"""
SERVER = """
  server {{
    listen 127.0.0.1:{port}{tls};
    location ~ /(resolve|lfs)/.+/{file}$ {{
      add_header X-Repo-Commit {commit};
      add_header X-Linked-Etag '"{sha256}"';
      add_header X-Linked-Size {size};
      {limit}
      alias {path};
    }}
  }}
"""


@dataclass(frozen=True)
class Served:
    """The file, and the hubs that have it: without a limit, with one for each connection, for git, with Xet, and over
    https, where there is nginx; `issuer` is its certificate."""

    size: int
    sha256: str
    commit: str
    free: str
    limited: str
    git: str
    xet: str
    tls: str = ""
    issuer: Path = Path()

    def url(self, hub: str) -> str:
        """Its address on one of them."""
        return f"{hub}/{REPO}/resolve/{self.commit}/{FILE}"


@contextmanager
def served(work: Path, size: int, limit_mib: int) -> Iterator[Served]:
    """Make the file and serve it from `work` until the block ends."""
    path, root = work / "served" / FILE, work / "hub"
    path.parent.mkdir()
    make_file(path, size)
    repo = make_model_repo(root, REPO, {FILE: path})
    size, sha256 = repo.files[FILE]
    with ExitStack() as stack:
        xet = stack.enter_context(_WithXet(root)).url
        nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/opt/homebrew/bin")
        if nginx is None:
            tied = stack.enter_context(Hub(root, faults=Faults(rate_bytes_s=limit_mib * MIB)))
            free = stack.enter_context(Hub(root))
            yield Served(size, sha256, repo.commit, free.url, tied.url, free.url, xet)
            return
        known = {"file": FILE.replace(".", "[.]"), "commit": repo.commit, "sha256": sha256, "size": size, "path": path}
        issuer = make_certificate(work)
        urls = stack.enter_context(_nginx(nginx, work, f"limit_rate {limit_mib}m;", known))
        front = stack.enter_context(_Front(root, urls[0]))
        yield Served(size, sha256, repo.commit, urls[0], urls[1], front.url, xet, urls[2], issuer)


def make_certificate(work: Path) -> Path:
    """A certificate for loopback, signed by itself, `tls.key` beside it."""
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    words += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(work / "tls.key"), "-out", str(work / "tls.pem")]
    subprocess.run(["openssl", *words], check=True, capture_output=True)  # noqa: S607
    return work / "tls.pem"


class _Front(Hub):
    """A hub whose large files lie elsewhere."""

    def __init__(self, root: Path, origin: str) -> None:
        super().__init__(root)
        self.serve_objects(origin)


class _WithXet(Hub):
    """A hub that offers Xet, in blocks as large as the real ones: 64 MiB."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, faults=Faults(xet=True))
        self._xet = XetStorage(root, self.cdn_url, url_ttl_s=3600, xorb_chunks=64 * MIB // CHUNK_BYTES)


@contextmanager
def _nginx(nginx: str, work: Path, limit: str, known: dict[str, object]) -> Iterator[list[str]]:
    """One nginx with three servers: free, limited, and https; their addresses."""
    tls = f" ssl; ssl_certificate {work}/tls.pem; ssl_certificate_key {work}/tls.key"
    kinds = [(_free_port(), "", ""), (_free_port(), limit, ""), (_free_port(), "", tls)]
    servers = "".join(SERVER.format(port=port, limit=held, tls=secured, **known) for port, held, secured in kinds)
    config = work / "nginx.conf"
    config.write_text(NGINX.format(work=work, servers=servers))
    child = subprocess.Popen([nginx, "-p", str(work), "-c", str(config), "-e", str(work / "error.log")])
    try:
        for port, _, _ in kinds:
            _wait_for(port)
        yield [f"http{'s' if secured else ''}://127.0.0.1:{port}" for port, _, secured in kinds]
    finally:
        child.terminate()
        child.wait()


def make_file(path: Path, size: int) -> None:
    """A checkpoint by its header, of random bytes, `size` bytes or a few less."""
    data = size - 8 - 1024
    small, large = 2048, (data - 3 * 2048) // 2 * 2
    stops = [large, large + small, large + 2 * small, large + 3 * small]
    tensors = {
        f"{name}.in.weight": {"dtype": "F16", "shape": [(stop - start) // 2], "data_offsets": [start, stop]}
        for name, start, stop in zip(TENSORS, [0, *stops[:-1]], stops, strict=True)
    }
    header = json.dumps(tensors).encode().ljust(1024)
    with path.open("wb") as stream:
        stream.write(struct.pack("<Q", len(header)) + header)
        left = stops[-1]
        while left:
            left -= stream.write(os.urandom(min(left, 4 * MIB)))


def is_right(path: Path, it: Served, *, fully: bool) -> bool:
    """Whether a file is the one that is served: by its size, or `fully` by its hash."""
    if not path.is_file() or path.stat().st_size != it.size:
        return False
    with path.open("rb") as stream:
        return not fully or hashlib.file_digest(stream, "sha256").hexdigest() == it.sha256


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
