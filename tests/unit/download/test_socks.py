"""A SOCKS proxy is gone through, by every backend that can; the one that cannot says so in a sentence."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.core.step import Context
from provision.download.backend import Address
from provision.download.backends.registry import backend
from provision.download.host_check import Host, trouble_of
from provision.download.http.wire import Dialer, Line
from provision.download.hub.api import look_up
from provision.download.part_file import open_part
from provision.download.web import session_for, unreachable
from provision.errors import DownloadError
from provision.rehearsal.model_repo import ModelRepo
from tests.support.hub import Hub
from tests.support.small_model import FILE, REPO, Brisk, small_context
from tests.support.socks import socks_proxy
from tests.support.strangers import hub, own_certificate

Asked = list[tuple[str, int]]


@pytest.fixture
def asked() -> Asked:
    return []


@pytest.fixture
def proxy(asked: Asked) -> Iterator[str]:
    with socks_proxy(asked) as at:
        yield at


@pytest.fixture
def far(tmp_path: Path, world: tuple[Path, ModelRepo], proxy: str) -> Iterator[Context]:
    """A hub, and its storage, whose names only the proxy knows."""
    with Hub(world[0]) as real:
        real.serve_objects(real.cdn_url.replace("127.0.0.1", "files.invalid"))
        machine = Brisk(ALL_PROXY=f"socks5h://{proxy}", PATH=os.environ["PATH"])
        yield small_context(tmp_path, world[1], real.url.replace("127.0.0.1", "hub.invalid"), machine=machine)


@pytest.mark.parametrize("name", ["http", "hf", "git-lfs"])
def test_a_backend_brings_the_file_through_it(name: str, far: Context, asked: Asked) -> None:
    file = look_up(far, REPO, "main", FILE)
    backend(name).fetch(far, file, part := open_part(far.machine, far.home, file))
    assert part.stat().st_size == file.size
    assert {host for host, _ in asked} == {"hub.invalid", "files.invalid"}


def test_wget_says_that_it_cannot(far: Context, tmp_path: Path) -> None:
    file = look_up(far, REPO, "main", FILE)
    with pytest.raises(DownloadError, match="wget does not speak to SOCKS proxies"):
        backend("wget").fetch(far, file, tmp_path / "part")


@pytest.mark.parametrize("scheme", ["socks5h", "socks"])
def test_https_goes_through_it_too(scheme: str, tmp_path: Path, proxy: str, asked: Asked) -> None:
    certificate, tls = own_certificate(tmp_path, "DNS:localhost.invalid")
    environ = {"https_proxy": f"{scheme}://{proxy}", "SSL_CERT_FILE": str(certificate)}
    with hub((204, {}), tls=tls) as url:
        away = url.replace("127.0.0.1", "localhost.invalid")
        if scheme == "socks5h":
            line = Line(Dialer(environ), patience_s=5)
            with line.get(Address(away, {}), {}) as answer:
                assert answer.status_code == 204
            with session_for(away, environ) as session:
                assert session.head(away, timeout=5).status_code == 204
            assert len(asked) == 2


def test_one_that_is_dead_is_told_from_a_host_that_is() -> None:
    environ = {"ALL_PROXY": "socks5h://127.0.0.1:9"}
    trouble = trouble_of(Host("http://hub.invalid", "", vital=True), environ, 5)
    assert trouble is not None
    assert trouble.kind.id == "proxy"
    assert "hub.invalid cannot be reached: the proxy 127.0.0.1:9 does not answer" in trouble.says
    with session_for("http://hub.invalid", environ) as session, pytest.raises(OSError, match="refused") as failed:
        session.head("http://hub.invalid", timeout=5)
    assert unreachable("http://hub.invalid", failed.value).message.startswith("The proxy on the way to hub.invalid")


def test_a_host_that_it_cannot_reach_is_not_the_proxys_fault(proxy: str) -> None:
    trouble = trouble_of(Host("http://hub.invalid:1", "", vital=True), {"ALL_PROXY": f"socks5h://{proxy}"}, 5)
    assert trouble is not None
    assert trouble.kind.id == "net-down"
