"""What is told apart of a host that does not serve, and that nothing is waited for beyond the deadline."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests

from provision.command import ours
from provision.download import host_check
from provision.download.host_check import Host, Trouble, trouble_of, troubles_of
from provision.download.web import session_for, unreachable
from provision.errors import NetworkError
from provision.system.machine import LOOPBACK
from tests.support.hints import said
from tests.support.paths import CHECKOUT
from tests.support.strangers import COMMIT, TOKEN, Answer, black_hole, hub, of_another_time, own_certificate


def asked(url: str, environ: Mapping[str, str] | None = None, *, token: str = "") -> Trouble | None:
    host = Host(url, "the model", vital=True, file=f"{url}/a/b/resolve/main/c", token=token)
    return trouble_of(host, environ or {}, 2)


@pytest.mark.parametrize(
    "proxy",
    ["http://me:secret@firm:eighty", "http://me:secret@firm:99999", "me:secret@firm:8a", "http://[::1", "http://"],
)
def test_a_proxy_that_is_no_address_is_named_by_its_variable_and_not_shown(proxy: str) -> None:
    trouble = trouble_of(Host("https://host.invalid", "", vital=True), {"https_proxy": proxy}, 2)
    assert trouble is not None
    assert (trouble.kind.id, trouble.says) == (
        "proxy",
        "host.invalid cannot be reached: https_proxy is not a proxy address.",
    )


@pytest.mark.parametrize("proxy", ["https://firm:443", "HTTPS://me:secret@firm", "ss://firm:1"])
def test_a_proxy_of_a_kind_that_is_not_spoken_to_is_refused_at_the_start(proxy: str) -> None:
    environ = {"https_proxy": proxy}
    trouble = trouble_of(Host("https://host.invalid", "", vital=True), environ, 2)
    assert trouble is not None
    assert trouble.kind.id == "proxy"
    kind = proxy.partition("://")[0].lower()
    assert trouble.says == (
        f"The proxy for host.invalid is named with {kind}://; this tool speaks http:// and socks5://."
    )
    with pytest.raises(NetworkError, match="this tool speaks"):
        session_for("https://host.invalid", environ)


# -- a hub --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        (200, COMMIT),
        (302, {**COMMIT, "Location": "https://cdn.invalid/x"}),
        (307, {"Location": "/a/renamed"}),
        (404, {"X-Error-Code": "RepoNotFound"}),
        (401, {}),
        (503, {}),
    ],
)
def test_what_a_hub_says_and_a_download_knows_better(answer: Answer) -> None:
    with hub(answer) as url:
        assert asked(url) is None


@pytest.mark.parametrize("answer", [(200, {"Content-Type": "text/html"}), (302, {"Location": "http://login.invalid/"})])
def test_a_login_page_is_told_from_a_hub(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    with hub(answer) as url:
        trouble = asked(url)
        assert trouble is not None
        assert (trouble.kind.id, trouble.passes) == ("hf-endpoint", False)
        monkeypatch.setattr(host_check, "HUGGING_FACE", url)
        trouble = asked(url)
        assert trouble is not None
        assert trouble.kind.id == "captive"
        assert ("sends on to login.invalid" if answer[0] == 302 else "answers 200") in trouble.says


def test_a_bad_token_matters_only_where_the_model_is_not_public() -> None:
    for plain, passes in (((200, COMMIT), True), ((401, {}), False)):
        with hub(plain, with_token=(401, {})) as url:
            trouble = asked(url, token=TOKEN)
            assert trouble is not None
            assert (trouble.kind.id, trouble.passes) == ("hf-badtoken", passes)
            assert TOKEN not in trouble.says + repr(Host(url, "", vital=True, token=TOKEN))


def test_terms_and_patience() -> None:
    with hub((403, {"X-Error-Code": "GatedRepo"})) as url:
        trouble = asked(url)
        assert trouble is not None
        assert (trouble.kind.id, trouble.passes) == ("hf-gated", False)
    with hub((429, {})) as url:
        trouble = asked(url)
        assert trouble is not None
        assert (trouble.kind.id, trouble.passes) == ("hf-429", True)


# -- where the bytes come from ------------------------------------------------------------------------------------


def storage(target: str) -> Trouble | None:
    """What a look sees of a hub that sends on to `target`."""
    with hub((302, {**COMMIT, "Location": target})) as url:
        (trouble,) = troubles_of([Host(url, "the model", vital=True, file=f"{url}/a/b/resolve/main/c")], {}, 2)
    return trouble


def test_storage_that_answers_serves() -> None:
    with hub((403, {"Content-Type": "application/xml"})) as there:
        assert storage(f"{there}/signed?for=get") is None


def test_storage_that_nobody_reaches_is_named_with_what_to_let_through() -> None:
    trouble = storage("http://127.0.0.1:1/file?Signature=secret")
    assert trouble is not None
    assert (trouble.kind.id, trouble.passes) == ("net-storage", False)
    assert "answers, but 127.0.0.1:1, where its files are stored, cannot be reached: " in trouble.says
    assert trouble.fix is not None
    assert "for these hosts to be allowed" in trouble.fix.says
    assert trouble.fix.command == ours("check", "--hosts")
    assert "secret" not in f"{trouble}"


def test_a_page_in_the_place_of_storage_is_no_storage() -> None:
    with hub((200, {"Content-Type": "text/html; charset=utf-8"})) as there:
        trouble = storage(f"{there}/blocked")
    assert trouble is not None
    assert trouble.kind.id == "net-storage"
    assert "it sent a web page instead of the file (200)" in trouble.says


def test_storage_that_is_silent_ends_with_the_deadline() -> None:
    with black_hole() as hole, hub((302, {**COMMIT, "Location": f"{hole}/file"})) as url:
        host = Host(url, "the model", vital=True, file=f"{url}/a/b/resolve/main/c")
        (trouble,) = troubles_of([host], {}, 0.5)
    assert trouble is not None
    assert trouble.kind.id == "net-storage"
    assert "no answer within" in trouble.says


def test_each_site_is_asked_where_its_files_come_from() -> None:
    behind = [each.name for url in ("https://pypi.org/simple", "https://github.com/x/y") for each in plain(url).behind]
    assert behind == ["files.pythonhosted.org", "release-assets.githubusercontent.com"]
    assert plain("https://mirror.example/simple").behind == ()


# -- certificates -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A server whose certificate is its own, and that certificate."""
    certificate, tls = own_certificate(tmp_path_factory.mktemp("tls"))
    with hub((204, {}), tls=tls) as url:
        yield url, certificate


def plain(url: str) -> Host:
    return Host(url, "Python packages", vital=True)


def test_a_certificate_of_a_stranger_is_named_until_it_is_trusted(stranger: tuple[str, Path]) -> None:
    url, certificate = stranger
    trouble = trouble_of(plain(url), {}, 2)
    assert trouble is not None
    assert trouble.kind.id == "tls-intercept"
    assert "is not trusted here (" in trouble.says
    assert trouble_of(plain(url), {"SSL_CERT_FILE": str(certificate)}, 2) is None


def test_certificates_that_are_not_there_do_not_stand_in_the_way(
    stranger: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = str(tmp_path / "gone.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", gone)
    environ = {"REQUESTS_CA_BUNDLE": gone, "SSL_CERT_FILE": str(stranger[1])}
    assert trouble_of(plain(stranger[0]), environ, 2) is None


# -- the deadline -------------------------------------------------------------------------------------------------


def test_a_connection_that_never_opens() -> None:
    with black_hole() as url:
        started = time.monotonic()
        found = troubles_of([plain(url)] * 3, {}, 0.3)
        seconds = time.monotonic() - started
    assert [trouble.kind.id for trouble in found if trouble] == ["net-down"] * 3
    assert all(trouble and "no answer within" in trouble.says for trouble in found)
    assert seconds < 3 * (0.3 + host_check.GRACE_S), "all at once, by one deadline"


def test_a_resolver_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def hang(*_: object, **__: object) -> list[Any]:
        over.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    started = time.monotonic()
    (trouble,) = troubles_of([plain("https://hub.invalid")], {}, 0.3)
    seconds = time.monotonic() - started
    over.set()
    assert trouble is not None
    assert "no answer within" in trouble.says
    assert seconds < 5


def test_ipv6_that_leads_nowhere_is_slow_and_not_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first address never answers, the second does: as where a network's IPv6 ends in a hole."""
    with black_hole() as hole, hub((200, {})) as url:
        dead, alive = (int(address.rpartition(":")[2]) for address in (hole, url))
        tried = socket.socket

        class Mapped(tried):  # type: ignore[valid-type, misc]
            """IPv6 of this test is the hole: nothing here depends on the machine's own IPv6."""

            def __init__(self, family: int = socket.AF_INET, *rest: Any, **named: Any) -> None:
                self.is_six = family == socket.AF_INET6
                super().__init__(socket.AF_INET, *rest, **named)

            def connect(self, at: Any) -> None:
                super().connect((LOOPBACK, dead) if self.is_six else at[:2])

            def connect_ex(self, at: Any) -> int:
                return int(super().connect_ex((LOOPBACK, dead) if self.is_six else at[:2]))

        six = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", alive, 0, 0))
        four = (socket.AF_INET, socket.SOCK_STREAM, 6, "", (LOOPBACK, alive))
        monkeypatch.setattr(socket, "socket", Mapped)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [six, four])
        (trouble,) = troubles_of([plain("http://both.invalid")], {}, 0.4)
    assert trouble is not None
    assert (trouble.kind.id, trouble.passes) == ("ipv6-dead", True)


HANGING = """
import socket, sys, time
right = socket.getaddrinfo
socket.getaddrinfo = lambda name, *a, **k: right(name, *a, **k) if name == "127.0.0.1" else time.sleep(120)
from provision.steps.tools import network
network.DEADLINE_S = 0.5
sys.argv = ["provision", *sys.argv[1:]]
from provision.cli.app import main
main()
"""


@pytest.mark.parametrize("command", ["doctor", "plan", "all"])
def test_the_whole_program_ends_while_names_are_still_being_resolved(tmp_path: Path, command: str) -> None:
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(CHECKOUT)}
    ran = subprocess.run(
        [sys.executable, "-c", HANGING, command, "--home", str(tmp_path / "home")],
        capture_output=True,
        text=True,
        timeout=40,
        env=environ,
        check=False,
    )
    assert ran.returncode == 1, ran.stderr
    assert "huggingface.co cannot be reached: no answer within" in " ".join(f"{ran.stdout} {ran.stderr}".split())


def test_what_asks_is_read_before_the_time_runs() -> None:
    script = (
        "import sys\nfrom provision.download.host_check import troubles_of\ntroubles_of([], {}, 1)\nprint(*sys.modules)"
    )
    ran = subprocess.run((sys.executable, "-c", script), cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert {"requests", "truststore"} <= set(ran.stdout.split())


# -- the clock ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("begins", "ends"), [("20010101", "20020101"), ("20500101", "20510101")])
def test_certificates_that_are_not_valid_now_mean_the_clock(begins: str, ends: str, tmp_path: Path) -> None:
    certificate, tls = of_another_time(tmp_path, begins, ends)
    environ = {"SSL_CERT_FILE": str(certificate)}
    with hub((204, {}), tls=tls) as url:
        one = trouble_of(Host(url, "", vital=True), environ, 5)
        both = troubles_of([Host(url, "", vital=True)] * 2, environ, 5)
        with session_for(url, environ) as session, pytest.raises(requests.exceptions.SSLError) as failed:
            session.head(url, timeout=5)
    assert one is not None
    assert (one.kind.id, one.says.endswith("the clock is wrong, or the certificate has expired.")) == (
        "clock-wrong",
        True,
    )
    assert all(each is not None and each.says.endswith(": the clock is wrong.") for each in both)
    assert "timedatectl" in said(one.fix)
    error = unreachable(url, failed.value)
    assert "is not valid at this computer's current time" in error.message
    assert "timedatectl" in said(error.hint)
