"""Whose certificates are trusted."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

from contrib.mac_checks.check import IS_MAC, Bench, Skipped, answer, said

AUTHORITY = "provision checks"


@contextmanager
def served_by_a_company(bench: Bench) -> Iterator[tuple[Path, int]]:
    """A server on localhost whose certificate an authority of our own has signed: that one, and the port."""
    authority, key, request, leaf = (bench.folder / name for name in ("ca.pem", "ca.key", "leaf.csr", "leaf.pem"))
    leaf_key, extensions = bench.folder / "leaf.key", bench.folder / "extensions"
    extensions.write_text("subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n")
    new = ("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-sha256", "-subj")
    said(*new, f"/CN={AUTHORITY}", "-x509", "-days", "2", "-keyout", key, "-out", authority)
    said(*new, "/CN=localhost", "-keyout", leaf_key, "-out", request)
    signed = ("openssl", "x509", "-req", "-sha256", "-days", "2", "-CAcreateserial", "-extfile", extensions)
    said(*signed, "-in", request, "-CA", authority, "-CAkey", key, "-out", leaf)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(leaf, leaf_key)
    server = HTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(bench.folder)))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield authority, server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def is_trusted(port: int) -> str:
    """Why the tool's own context does not trust the server; empty where it does."""
    from provision.system.tls import trusted

    bare = {name: value for name, value in os.environ.items() if "CERT" not in name and "CA_BUNDLE" not in name}
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
            trusted(bare).wrap_socket(plain, server_hostname="localhost").close()
    except OSError as error:
        return str(error)
    return ""


def keychain(bench: Bench) -> str:
    """A company's authority in the system's keychain is trusted by us; before it is there, it is not."""
    with served_by_a_company(bench) as (authority, port):
        before = is_trusted(port)
        assert before, "a server that nobody vouches for is trusted"
        if not IS_MAC or not bench.may_change:
            raise Skipped(f"untrusted as it should be ({before[:80]}); the rest is for a Mac, with --change")
        store = ("-d", "-r", "trustRoot", "-k", "/Library/Keychains/System.keychain")
        said("sudo", "-n", "security", "add-trusted-cert", *store, authority)
        try:
            after = is_trusted(port)
            fetched, _ = answer("/usr/bin/curl", "-sSo", os.devnull, f"https://localhost:{port}/")
        finally:
            said("sudo", "-n", "security", "remove-trusted-cert", "-d", authority)
            said("sudo", "-n", "security", "delete-certificate", "-c", AUTHORITY, "/Library/Keychains/System.keychain")
        assert not after, f"it is in the keychain, and yet: {after}"
        return f"trusted once it is in the keychain; curl ends with {fetched}"
