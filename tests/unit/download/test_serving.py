"""A bundle over HTTP: what is answered, what never is, and who read."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from provision.core.bundle import ABOUT, SUMS, parse_sums
from provision.core.home import Home
from provision.core.step import Context
from provision.download.serving.offer import Offer, bundle_offer, home_offer
from provision.download.serving.readers import QUIET_S, Readers
from provision.download.serving.server import Served, serving
from provision.errors import BundleError, HomeError
from provision.system.listener import listen
from tests.support.bundles import COMMIT, FILES, MODEL, write_bundle

HELLO = "Type this.\n"


class Site:
    """A bundle that is served."""

    def __init__(self, folder: Path, offer: Offer) -> None:
        self.folder, self.readers = folder, Readers()
        self.app = Served(offer, self.readers, HELLO)
        self.listener = listen("127.0.0.1", 0)
        self.port = self.listener.getsockname()[1]

    def ask(self, path: str, method: str = "GET", **headers: str) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            return session.request(method, f"http://127.0.0.1:{self.port}/{path}", headers=names, timeout=30)

    def raw(self, *lines: str) -> bytes:
        """The answer to a request as it is typed, to the end of the connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as link:
            link.sendall("".join(f"{line}\r\n" for line in (*lines, "Host: x", "Connection: close", "")).encode())
            return b"".join(iter(lambda: link.recv(65536), b""))


@contextmanager
def served(aside: Path) -> Iterator[Site]:
    """A bundle, with what is not of it in its folder."""
    folder = write_bundle(aside / "bundle")
    (folder / "notes.txt").write_text("not of the bundle")
    (folder / ".secret").write_text("secret")
    (aside / "outside").write_text("outside")
    (folder / "link").symlink_to(aside / "outside")
    site = Site(folder, bundle_offer(folder))
    with serving(site.listener, site.app):
        yield site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Served to all tests that change nothing."""
    with served(tmp_path_factory.mktemp("served")) as running:
        yield running


@pytest.fixture
def own_site(tmp_path: Path) -> Iterator[Site]:
    """Served to one test."""
    with served(tmp_path) as running:
        yield running


def test_every_listed_file_is_served_whole(site: Site) -> None:
    listed = parse_sums(site.ask(SUMS).text)
    assert listed.keys() == FILES.keys()
    for path, sha256 in listed.items():
        assert hashlib.sha256(site.ask(path).content).hexdigest() == sha256


def test_a_model_is_served_as_a_hub_serves_it(site: Site) -> None:
    head = site.ask(MODEL, "HEAD")
    assert head.content == b""
    assert int(head.headers["Content-Length"]) == len(FILES[MODEL])
    assert head.headers["X-Repo-Commit"] == COMMIT
    assert head.headers["ETag"] == f'"{hashlib.sha256(FILES[MODEL]).hexdigest()}"'
    assert "X-Repo-Commit" not in site.ask("kit/uv").headers


@pytest.mark.parametrize(
    ("asked", "status", "start", "stop"),
    [
        ("bytes=0-0", 206, 0, 1),
        ("bytes=1000-", 206, 1000, None),
        ("bytes=-5", 206, -5, None),
        ("bytes=5-99999999999", 206, 5, None),
        ("bytes=99999999999-", 416, 0, 0),
        ("bytes=9-5", 400, 0, 0),
        ("pages=1-2", 400, 0, 0),
        ("bytes=" + "0-0," * 200 + "1-1", 200, 0, None),
    ],
)
def test_ranges(site: Site, asked: str, status: int, start: int, stop: int | None) -> None:
    answered = site.ask(MODEL, Range=asked)
    assert answered.status_code == status
    if status in (200, 206):
        assert answered.content == FILES[MODEL][start:stop]


def test_a_range_of_another_version_is_the_whole_file(site: Site) -> None:
    assert site.ask(MODEL, Range="bytes=5-9", If_Range='"other"').content == FILES[MODEL]
    assert site.ask(MODEL, Range="bytes=5-9", If_Range=site.ask(MODEL).headers["ETag"]).content == FILES[MODEL][5:10]


def test_a_folder_is_its_page_and_the_top_says_what_to_type(site: Site) -> None:
    assert site.ask("wheels/").content == FILES["wheels/index.html"]
    assert site.ask("").text == HELLO
    assert site.ask("kit/").status_code == 404


@pytest.mark.parametrize(
    "target",
    [
        *("/notes.txt", "/.secret", "/link", "/..", "/../outside", "/kit/../notes.txt", "/%2e%2e/outside"),
        *("/kit/..%2f..%2foutside", "//notes.txt", "/etc/passwd", "/kit", "/kit/uv/", "/KIT/UV", "/kit/uv%00"),
        *("http://other/notes.txt", "/\\..\\outside", "/kit%2fuv?x=1#y"),
    ],
)
def test_nothing_else_is_served(site: Site, target: str) -> None:
    answered = site.raw(f"GET {target} HTTP/1.1")
    assert answered.startswith((b"HTTP/1.1 404", b"HTTP/1.1 400")) or b"\r\n\r\nuv\n" in answered
    assert b"secret" not in answered
    assert b"outside" not in answered
    assert b"not of the bundle" not in answered


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "CONNECT", "TRACE"])
def test_nothing_can_be_written(site: Site, method: str) -> None:
    before = {path: path.read_bytes() for path in site.folder.rglob("*") if path.is_file()}
    target = "x:1" if method == "CONNECT" else "/kit/uv"
    answered = site.raw(f"{method} {target} HTTP/1.1", "Content-Length: 0")
    assert answered.startswith((b"HTTP/1.1 405", b"HTTP/1.1 400"))
    assert {path: path.read_bytes() for path in site.folder.rglob("*") if path.is_file()} == before


def test_a_file_that_has_changed_is_no_longer_served(own_site: Site) -> None:
    site = own_site
    (site.folder / "kit" / "uv").write_bytes(b"changed\n")
    (site.folder / "wheels" / "x.whl").unlink()
    assert site.ask("kit/uv").status_code == 404
    assert site.ask("wheels/x.whl").status_code == 404
    assert site.ask("python/cpython.tar.gz").content == FILES["python/cpython.tar.gz"]


def test_many_readers_get_the_same_bytes_and_each_is_counted(own_site: Site) -> None:
    site = own_site
    got: list[bytes] = []
    threads = [threading.Thread(target=lambda: got.append(site.ask(MODEL).content)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert got == [FILES[MODEL]] * 8
    deadline = time.monotonic() + 30
    while site.readers.seen()[0].sent_bytes < 8 * len(FILES[MODEL]) and time.monotonic() < deadline:
        time.sleep(0.01)
    (reader,) = site.readers.seen()
    assert (reader.address, reader.sent_bytes) == ("127.0.0.1", 8 * len(FILES[MODEL]))
    assert (reader.file, reader.file_sent_bytes, reader.file_bytes) == (MODEL, len(FILES[MODEL]), len(FILES[MODEL]))


def test_the_end_does_not_wait_for_a_reader_that_reads_nothing(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle", {**FILES, MODEL: bytes(40_000_000)})
    site = Site(folder, bundle_offer(folder))
    with socket.socket() as stalled, serving(site.listener, site.app):
        stalled.connect(("127.0.0.1", site.port))
        stalled.sendall(f"GET /{MODEL} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert stalled.recv(100)
        began = time.monotonic()
    assert time.monotonic() - began < 20
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", site.port), timeout=5)


@pytest.mark.parametrize("how", ["missing", "a folder", "leads out", "above", "hidden", "no sum"])
def test_a_bundle_that_is_not_whole_is_refused(tmp_path: Path, how: str) -> None:
    folder = write_bundle(tmp_path / "bundle")
    place, sums = folder / "kit" / "uv", folder / SUMS
    other = {"above": "../outside", "hidden": "kit/.uv"}
    if how in other:
        (tmp_path / "outside").write_bytes(b"uv\n")
        (folder / "kit" / ".uv").write_bytes(b"uv\n")
        sums.write_text(sums.read_text().replace("kit/uv", other[how]))
    elif how == "no sum":
        sums.write_text("kit/uv\n")
    else:
        place.unlink()
    if how == "a folder":
        place.mkdir()
    if how == "leads out":
        (tmp_path / "outside").write_bytes(b"uv\n")
        place.symlink_to(tmp_path / "outside")
    with pytest.raises(BundleError):
        bundle_offer(folder)


def test_an_offer_says_its_parts_and_what_it_lacks(tmp_path: Path) -> None:
    offer = bundle_offer(write_bundle(tmp_path / "whole"))
    assert list(offer.parts) == ["model", "packages", "ComfyUI", "Python", "provision"]
    assert offer.parts["model"] == len(FILES[MODEL])
    assert offer.lacks == []
    some = {path: FILES[path] for path in (MODEL, ABOUT)}
    assert bundle_offer(write_bundle(tmp_path / "some", some)).lacks == ["packages", "ComfyUI", "Python", "provision"]


def test_an_install_folder_without_a_verified_model_has_nothing_to_serve(
    home: Home, context: Callable[..., Context]
) -> None:
    with pytest.raises(HomeError):
        home_offer(context())


def test_a_reader_is_gone_when_it_has_been_quiet_and_its_pauses_do_not_count() -> None:
    now = [100.0]
    readers = Readers(lambda: now[0])
    for pause in (0.0, QUIET_S + 50):
        now[0] += pause
        with readers.reading("10.0.0.7", "a", 10) as sent:
            now[0] += 2
            sent(10)
    assert [(each.seconds, each.gone) for each in readers.seen()] == [(4.0, False)]
    now[0] += QUIET_S
    assert [(each.sent_bytes, each.gone) for each in readers.seen()] == [(20, True)]


def test_a_request_without_an_answer_is_no_reader() -> None:
    readers = Readers()
    with readers.reading("10.0.0.7", "a", 10) as sent:
        sent(0)
    assert readers.seen() == []
