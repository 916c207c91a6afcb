"""Git servers that send what they like: it is bounded in bytes and time, harmless on the screen, and one GitError."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from provision.comfyui import git_remote
from provision.comfyui.git_remote import (
    Revision,
    fetch_into,
    find_revision,
    new_repository,
    parse_receiving,
    read_remote_file,
)
from provision.comfyui.git_ways import scheme_of
from provision.core.runner import run_step
from provision.core.step import Context
from provision.errors import GitError
from provision.steps.comfyui.step import COMFYUI
from provision.system import git_program
from provision.system.git_program import GitFailed, environment, plain, run_git
from provision.system.listening import Limits
from tests.support.hints import said
from tests.support.hostile_git import git, make_checkout

COMMIT = "1" * 40
Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def server(answer: Answer, tls: tuple[Path, Path] | None = None) -> Iterator[str]:
    """A server on loopback that answers every request in one way; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with_suppressed(lambda: answer(self))

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.daemon_threads = True
    if tls is not None:
        about = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        about.load_cert_chain(*tls)
        made.socket = about.wrap_socket(made.socket, server_side=True)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{made.server_address[1]}/a/b.git"
    finally:
        made.shutdown()
        made.server_close()
        thread.join()


def with_suppressed(act: Callable[[], None]) -> None:
    """Do it for a caller that may hang up."""
    try:
        act()
    except (BrokenPipeError, ConnectionError, ssl.SSLError):
        return


def refs(*names: bytes, dumb: bool = True) -> Answer:
    """A list of revisions, as a plain file or as git's own protocol has it."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        lines = [COMMIT.encode() + (b"\t" if dumb else b" ") + name + b"\n" for name in names]
        kind = "text/plain" if dumb else "application/x-git-upload-pack-advertisement"
        body = b"".join(lines) if dumb else smart(lines)
        if request.path.endswith("/HEAD"):
            body = b"ref: refs/heads/master\n"
        request.send_response(200)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


def smart(lines: list[bytes]) -> bytes:
    first, *rest = lines
    named = [first.rstrip(b"\n") + b"\0 agent=git/2\n", *rest]
    return b"001e# service=git-upload-pack\n0000" + b"".join(b"%04x" % (len(x) + 4) + x for x in named) + b"0000"


NAMES = (
    b"refs/tags/v0.38.1", b"refs/tags/--upload-pack=touch canary", b"refs/tags/-v9.9.9", b"refs/tags/../../v9.9.8",
    b"refs/tags/v99999999999.0.0", b"refs/tags/v" + b"9" * 5000 + b".0.0", b"refs/tags/\x1b]0;owned\x07v9.9.7",
    b"refs/tags/\xff\xfev9.9.6", "refs/tags/v9.9.5\u202e".encode(), b"refs/tags/v9.9.4;touch canary",
    b"refs/tags/$(touch canary)", b"refs/heads/master", b"refs/tags/v\xd9\xa1.2.3",
)  # fmt: skip


def found_or_refused(url: str) -> str:
    """The newest release; nothing where git itself refuses the list, in plain words."""
    try:
        return find_revision(url, "latest").name
    except GitError as error:
        return "" if plain(error.message) == error.message else error.message


@pytest.mark.parametrize("dumb", [True, False], ids=["dumb", "smart"])
def test_hostile_names_are_passed_over(dumb: bool) -> None:
    with server(refs(*NAMES, dumb=dumb)) as url:
        assert found_or_refused(url) in ("v0.38.1", "")


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_one_hostile_name(name: bytes) -> None:
    with server(refs(b"refs/tags/v0.38.1", name)) as url:
        assert found_or_refused(url) in ("v0.38.1", "")


def test_a_hundred_thousand_names() -> None:
    many = (b"refs/tags/v0.%d.%d" % (n // 1000, n % 1000) for n in range(100_000))
    with server(refs(*many, dumb=False)) as url:
        assert find_revision(url, "latest").name == "v0.99.999"


def test_more_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git_remote, "LISTING_BYTES", 100_000)
    with (
        server(refs(*(b"refs/tags/v0.%d.0" % n for n in range(5000)), dumb=False)) as url,
        pytest.raises(GitError, match="more than 100,000 bytes"),
    ):
        find_revision(url, "latest")


def endless(request: BaseHTTPRequestHandler) -> None:
    """One line that never ends."""
    request.send_response(200)
    request.send_header("Content-Type", "text/plain")
    request.end_headers()
    while True:
        request.wfile.write(b"1" * (1 << 20))


def test_a_line_without_end_is_ended_by_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git_program, "MEMORY_BYTES", 200_000_000)
    with server(endless) as url, pytest.raises(GitError, match="of memory"):
        find_revision(url, "latest")


def test_a_server_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git_remote, "ASK_S", 1.0)
    done = threading.Event()
    with server(lambda _: done.wait() and None) as url:
        with pytest.raises(GitError, match="timed out after 1 seconds") as refused:
            find_revision(url, "latest")
        assert "network" in said(refused.value.hint)
        done.set()


@pytest.mark.parametrize("body", [b"", b"<html>sign in</html>", b"\x1b[2J" * 100, b"\0" * 1000, b"0000", b"zzzz"])
def test_something_else_in_place_of_a_list(context: Callable[..., Context], body: bytes) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "application/x-git-upload-pack-advertisement")
        request.end_headers()
        request.wfile.write(body)

    with server(answer) as url:
        report = run_step(COMFYUI, context(f"comfyui.url={url}"), apply=True)
    assert report.error is not None
    assert report.error.code == "git"
    assert plain(report.error.message) == report.error.message


def test_another_commit_than_the_one_asked_for_is_refused(tmp_path: Path) -> None:
    """A server that names one commit and hands out another."""
    upstream = make_checkout(tmp_path / "upstream")
    place = tmp_path / "place.git"
    new_repository(place, str(upstream))
    with pytest.raises(GitFailed, match="another commit"):
        fetch_into(place, str(upstream), Revision("v0.38.1", "tag", COMMIT))


# -- where an address leads ---------------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A certificate of a server here and its key; the person trusts it."""
    folder = tmp_path / "tls"
    folder.mkdir()
    made = folder / "cert.pem", folder / "key.pem"
    openssl = shutil.which("openssl")
    assert openssl is not None
    words = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-addext")
    more = ("subjectAltName=IP:127.0.0.1", "-days", "2", "-out", str(made[0]), "-keyout", str(made[1]))
    subprocess.run((openssl, *words, *more), check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(made[0]))
    monkeypatch.delenv("GIT_SSL_CAINFO", raising=False)
    return made


def leads_to(url: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("Location", url + request.path.removeprefix("/a/b.git"))
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def test_https_does_not_lead_to_http(certificate: tuple[Path, Path]) -> None:
    asked: list[str] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        refs(b"refs/tags/v9.9.9")(request)

    with server(answer) as plain_url, server(leads_to(plain_url), certificate) as url:
        trusting = {"GIT_SSL_CAINFO": str(certificate[0])}
        assert "v9.9.9" in git(Path("/"), "ls-remote", url, env=trusting)  # plain git goes there
        asked.clear()
        with pytest.raises(GitError, match=r"(?i)protocol"):
            find_revision(url, "latest")
    assert asked == []


def test_https_leads_to_https_and_http_to_either(certificate: tuple[Path, Path]) -> None:
    with server(refs(b"refs/tags/v1.2.3"), certificate) as url:
        with server(leads_to(url), certificate) as first:
            assert find_revision(first, "latest").name == "v1.2.3"
        with server(leads_to(url)) as first:
            assert find_revision(first, "latest").name == "v1.2.3"


@pytest.mark.parametrize("place", ["file:///etc", "ext::sh -c touch% canary", "ssh://127.0.0.1/x", "ftp://127.0.0.1/x"])
def test_no_other_protocol_is_led_to(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with server(leads_to(place)) as url, pytest.raises(GitError):
        find_revision(url, "latest")
    assert list(tmp_path.iterdir()) == []


def test_a_mirror_of_the_persons_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`url.*.insteadOf` in the person's own configuration is how a company reaches its mirror."""
    upstream = make_checkout(tmp_path / "mirror" / "a" / "b")
    (Path.home() / ".gitconfig").write_text(
        f'[url "file://{tmp_path}/mirror/"]\n\tinsteadOf = https://github.com/\n', encoding="utf-8"
    )
    found = find_revision("https://github.com/a/b", "latest")
    assert found.commit == git(upstream, "rev-parse", "v0.38.1").strip()
    assert "0.38.1" in read_remote_file("https://github.com/a/b", "latest", "comfyui_version.py").text


def test_a_program_of_the_persons_configuration_is_no_mirror(tmp_path: Path) -> None:
    (Path.home() / ".gitconfig").write_text(
        f'[protocol]\n\tallow = always\n[url "ext::touch {tmp_path}/canary "]\n\tinsteadOf = https://github.com/\n',
        encoding="utf-8",
    )
    with pytest.raises(GitError, match="no https, http, ssh or file address"):
        find_revision("https://github.com/a/b", "latest")
    assert not (tmp_path / "canary").exists()


def test_schemes() -> None:
    schemes = {
        "https://a/b": "https", "HTTP://a/b": "http", "ssh://a/b": "ssh", "git@a:b/c": "ssh", "/a/b:c": "file",
        "./a:b": "file", "file:///a": "file", "ext::sh -c x": "ext", "git://a/b": "git", "a::https://b": "a",
    }  # fmt: skip
    assert {url: scheme_of(url) for url in schemes} == schemes


# -- the program itself -------------------------------------------------------------------------------------------


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A program that stands for git, as a line of Python."""

    def put(code: str) -> None:
        program = tmp_path / "bin" / "git"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!{sys.executable}\nimport os, sys, time\n{code}\n", encoding="utf-8")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")

    return put


def test_what_it_says_is_plain_text_of_bounded_length(fake: Callable[[str], None]) -> None:
    fake(
        r"""
os.write(2, b"remote: \x1b]0;x\x07\xff\r")
os.write(2, b"a" * 5_000_000 + b"\nfatal: \x1b[31m\xe2\x80\xaeno\n")
sys.exit(1)"""
    )
    heard: list[str] = []
    with pytest.raises(GitFailed) as failed:
        run_git(("fetch",), environment(), on_line=heard.append)
    assert str(failed.value).endswith("fatal: ?[31m?no")
    assert len(str(failed.value)) < 1000
    assert heard[0] == "remote: ?]0;x?\\xff"
    assert max(map(len, heard)) < 5000


def test_an_interruption_ends_it_and_all_that_it_started(
    fake: Callable[[str], None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whatever is raised while it runs, nothing is left running, and no other thread says a word about it."""
    fake(f"""
import subprocess
child = subprocess.Popen(["sleep", "600"])
open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
while True:
    os.write(2, b"progress\\r"); time.sleep(0.01)""")
    heard: list[str] = []

    def alive() -> None:
        if heard and (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_git(("fetch",), environment(), on_line=heard.append, alive=alive)
    pid = int((tmp_path / "pid").read_text())
    while _runs(pid):
        time.sleep(0.01)
    assert capfd.readouterr() == ("", "")


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("Receiving objects:   3% (45/1500)", (45, 1500, "objects")),
        ("Receiving objects:  45% (675/1500), 4.50 MiB | 2.10 MiB/s", (4_718_592, None, "bytes")),
        ("Receiving objects: 100% (35/35), 512 bytes | 512.00 KiB/s, done.", (512, 512, "bytes")),
        ("remote: Receiving objects:   3% (45/1500)", None),
        ("Resolving deltas: 100% (3/3), done.", None),
    ],
)
def test_lines_of_a_fetch(line: str, told: tuple[int, int | None, str] | None) -> None:
    seen = parse_receiving(line, "ComfyUI")
    assert (seen and (seen.done, seen.total, seen.unit)) == told


def test_too_much_and_too_long(fake: Callable[[str], None]) -> None:
    fake("while True: os.write(1, b'x' * 65536)")
    with pytest.raises(GitFailed, match="more than 1,000 bytes"):
        run_git(("status",), environment(), limits=Limits(60, bytes=1000))
    fake("time.sleep(600)")
    with pytest.raises(GitFailed, match="timed out"):
        run_git(("status",), environment(), limits=Limits(0.2))
