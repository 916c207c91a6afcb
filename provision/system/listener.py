"""Where a server of ours listens: one address of this machine, in the network that its default route uses."""

from __future__ import annotations

import errno
import re
import socket
from ipaddress import ip_address

from provision.command import Fix, program
from provision.errors import PortTaken, UsageError

LOOPBACK = "127.0.0.1"
ELSEWHERE = "192.0.2.1"
"""An address that nobody has (RFC 5737): to look up the route, nothing is sent there."""
LISTEN = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[\w.-]+)?(?::(?P<port>\d{1,5}))?")
BACKLOG = 128


def lan_address() -> str:
    """This machine's address on the way to the default route; the loopback one where there is no route."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trial:
        try:
            trial.connect((ELSEWHERE, 9))
        except OSError:
            return LOOPBACK
        return str(trial.getsockname()[0])


def parse_listen(text: str) -> tuple[str | None, int | None]:
    """Host and port of `ADDR:PORT`, `ADDR`, `:PORT` or `[IPV6]:PORT`. Raises UsageError."""
    found = LISTEN.fullmatch(text)
    if not text or found is None or int(found["port"] or 0) > 65535:
        raise UsageError(
            f"Invalid --listen {text!r}.", hint=Fix("An address of this Mac, a port or both: 192.168.1.20:8765, :8765")
        )
    return (found["host"] or "").strip("[]") or None, int(found["port"]) if found["port"] else None


def is_every_address(host: str) -> bool:
    """Whether listening there is listening in every network that the machine is in."""
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 is any free one. Raises PortTaken, and UsageError for another machine's address."""
    try:
        family, kind, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise _not_ours(host) from error
    listener = socket.socket(family, kind)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(
                f"Port {port} of {host} is in use by another program.",
                hint=Fix(f"Choose another one: --listen {url_host(host)}:{port + 1 if port < 65535 else 8765}"),
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM):
            raise PortTaken(
                f"Port {port} is reserved for the system.",
                hint=Fix(f"Choose one from 1024: --listen {url_host(host)}:8765"),
            ) from error
        raise _not_ours(host) from error
    return listener


def url_host(host: str) -> str:
    """A host as it stands in an address."""
    return f"[{host}]" if ":" in host else host


def _not_ours(host: str) -> UsageError:
    return UsageError(f"{host} is not an address of this machine.", hint=Fix("To list them:", program("ifconfig")))
