"""Which hosts a run needs, and what is said of those that do not answer: on real servers of this machine."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from provision.command import ours, program
from provision.core.finding import Finding, Verdict
from provision.core.step import Context, Options
from provision.download.host_check import Host, trouble_of
from provision.steps.tools import network
from provision.steps.tools.network import check_network, needed_hosts
from provision.system.local_machine import LocalMachine
from provision.system.machine import LOOPBACK
from provision.system.proxies import SCUTIL
from tests.support.fake_machine import FakeMachine

Contexts = Callable[..., Context]


class Answers(BaseHTTPRequestHandler):
    """Says 404 to everything: an answer all the same."""

    def do_HEAD(self) -> None:
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def answering() -> Iterator[str]:
    with ThreadingHTTPServer((LOOPBACK, 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://{LOOPBACK}:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def refusing() -> str:
    """The address of a port on which nobody listens."""
    with socket.socket() as trial:
        trial.bind((LOOPBACK, 0))
        return f"http://{LOOPBACK}:{trial.getsockname()[1]}"


@contextmanager
def accepting(serve: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    """A server that accepts and then does as `serve` says, until the end of the test."""
    over = threading.Event()
    with socket.create_server((LOOPBACK, 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection, over), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://{LOOPBACK}:{listener.getsockname()[1]}"
        over.set()
        listener.shutdown(socket.SHUT_RDWR)


def says_nothing(connection: socket.socket, over: threading.Event) -> None:
    with connection:
        over.wait(20)


def trickles(connection: socket.socket, over: threading.Event) -> None:
    """A header that goes on for 3 s: each byte comes in time, the answer does not."""
    with connection:
        try:
            connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            for _ in range(60):
                if over.wait(0.05):
                    return
                connection.sendall(b"x")
        except OSError:
            return


def speaks_no_http(connection: socket.socket, over: threading.Event) -> None:
    with connection:
        connection.recv(100)
        connection.sendall(b"220 mail.example ESMTP\r\n")


def unreachable_because(url: str, environ: dict[str, str] | None = None) -> str | None:
    trouble = trouble_of(Host(url, "", vital=True), environ or {}, network.DEADLINE_S)
    return trouble.says if trouble is not None else None


# -- one host -------------------------------------------------------------------------------------------


def test_any_answer_is_an_answer(answering: str) -> None:
    assert unreachable_because(answering) is None


def test_a_port_where_nobody_listens(refusing: str) -> None:
    assert "Connection refused" in (unreachable_because(refusing) or "")


def test_a_server_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "DEADLINE_S", 0.2)
    with accepting(says_nothing) as url:
        assert "cannot be reached: no answer within" in (unreachable_because(url) or "")


def test_a_server_that_speaks_no_http() -> None:
    with accepting(speaks_no_http) as url:
        assert unreachable_because(url)


def test_a_server_without_tls(answering: str) -> None:
    reason = unreachable_because(answering.replace("http://", "https://"))
    assert reason is not None
    assert "TLS fails" in reason


def test_a_name_that_nobody_knows() -> None:
    reason = unreachable_because("http://no-such-host.invalid")
    assert reason == "no-such-host.invalid cannot be reached: its name cannot be resolved."


@pytest.mark.parametrize("url", ["http://", "http://[", f"http://{'a' * 70}.invalid", "http://a..b/"])
def test_an_address_that_is_none(url: str) -> None:
    assert unreachable_because(url)


def test_a_proxy_that_does_not_answer_is_the_proxys_fault(refusing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, refusing)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    trouble = trouble_of(Host("http://hub.invalid", "", vital=True), {"HTTP_PROXY": refusing}, 2)
    assert trouble is not None
    assert trouble.kind.id == "proxy"
    assert f"the proxy {refusing.removeprefix('http://')} does not answer" in trouble.says


def test_this_machine_is_never_asked_through_a_proxy(
    answering: str, refusing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, refusing)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert unreachable_because(answering) is None, "a rehearsal runs on loopback, behind whatever proxy"


# -- the hosts that a run needs -------------------------------------------------------------------------


def install_all(ctx: Context) -> None:
    """What makes every host superfluous: the model, the engine, torch."""
    for model, file in ctx.manifest.chosen("fp16"):
        path = ctx.home.comfyui / "models" / model.folder / file.name
        path.parent.mkdir(parents=True)
        path.touch()
    (ctx.home.comfyui / ".git").mkdir()
    info = ctx.home.venv / "lib" / "python3.12" / "site-packages" / "torch-2.11.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").touch()


def test_nothing_is_asked_when_everything_is_here(context: Contexts) -> None:
    ctx = context()
    install_all(ctx)
    assert needed_hosts(ctx) == []
    assert list(check_network(ctx, needed_hosts(ctx))) == []


def test_a_bare_home_needs_every_host(context: Contexts) -> None:
    hosts = needed_hosts(context(machine=LocalMachine({})))
    assert [(host.name, host.vital) for host in hosts] == [
        ("huggingface.co", True), ("github.com", True), ("pypi.org", True), ("download.pytorch.org", False),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"])
def test_the_index_that_was_named_is_asked_without_its_password(context: Contexts, name: str) -> None:
    machine = LocalMachine({name: "https://me:secret@mirror.example:8443/simple"})
    names = [host.name for host in needed_hosts(context("torch.channel=stable", machine=machine))]
    assert names == ["huggingface.co", "github.com", "mirror.example:8443"]


def test_an_engine_from_a_folder_needs_no_host(context: Contexts, tmp_path: Path) -> None:
    names = [host.name for host in needed_hosts(context(f"comfyui.url={tmp_path}", machine=LocalMachine({})))]
    assert "github.com" not in names


def looked(contexts: Contexts, hub: str, index: str, nightly: str, engine: str) -> list[Finding]:
    machine = LocalMachine({"UV_DEFAULT_INDEX": index})
    ctx = contexts(
        f"torch.nightly_index={nightly}", f"comfyui.url={engine}", machine=machine, options=Options(endpoint=hub)
    )
    return list(check_network(ctx, needed_hosts(ctx)))


def test_a_script_that_chooses_proxies_is_named_where_a_host_does_not_answer(context: Contexts, refusing: str) -> None:
    told = "<dictionary> {\n  ProxyAutoConfigEnable : 1\n  ProxyAutoConfigURLString : http://firm.example/p.pac\n}\n"
    machine = FakeMachine({" ".join(SCUTIL): told}, environ={"UV_DEFAULT_INDEX": refusing})
    ctx = context(f"torch.nightly_index={refusing}", f"comfyui.url={refusing}", machine=machine)
    (finding,) = check_network(ctx, [Host(refusing, "ComfyUI", vital=True)])
    assert finding.fix is not None
    assert "a script (http://firm.example/p.pac), which is not read here" in finding.fix.says
    assert finding.fix.command == program("export", "HTTPS_PROXY=http://HOST:PORT")


def test_all_answer(context: Contexts, answering: str) -> None:
    (finding,) = looked(context, answering, answering, answering, answering)
    assert (finding.id, finding.verdict) == ("net-up", Verdict.OK)
    assert finding.says == f"{answering.removeprefix('http://')} answers"


def test_a_vital_host_that_is_down_blocks_and_points_to_the_rehearsal(
    context: Contexts, answering: str, refusing: str
) -> None:
    (finding,) = looked(context, refusing, answering, answering, answering)
    assert (finding.id, finding.verdict) == ("net-down", Verdict.BLOCKED)
    assert finding.subject in finding.says
    assert "the model" in finding.says
    assert finding.fix is not None
    assert finding.fix.command == ours("all", "--rehearse")


def test_the_nightly_index_may_be_down(context: Contexts, answering: str, refusing: str) -> None:
    (finding,) = looked(context, answering, answering, refusing, answering)
    assert finding.verdict is Verdict.WARN
    assert "Stable torch" in finding.says


@pytest.mark.parametrize("serve", [says_nothing, trickles], ids=["silent", "trickle"])
def test_all_hosts_are_asked_at_once_and_by_one_deadline(
    context: Contexts, monkeypatch: pytest.MonkeyPatch, serve: Callable[[socket.socket, threading.Event], None]
) -> None:
    monkeypatch.setattr(network, "DEADLINE_S", 0.5)
    with accepting(serve) as url:
        started = time.monotonic()
        findings = looked(context, url, url, url, url)
        seconds = time.monotonic() - started
    assert [finding.verdict for finding in findings] == [Verdict.BLOCKED] * 3 + [Verdict.WARN]
    assert all("no answer within" in finding.says for finding in findings)
    assert seconds < 4 * 0.5, "whatever a host does, the person is told in time"
