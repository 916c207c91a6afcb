"""ComfyUI's source without git, from a host that answers as GitHub does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from provision.comfyui.git_remote import Revision
from provision.comfyui.git_remote import find_revision as by_git
from provision.core.events import Event, Progress
from provision.core.patience import Patience
from provision.core.step import Context
from provision.download import source_archive
from provision.download.source_archive import (
    archive_address,
    by_archive,
    fetch_archive,
    find_revision,
    list_refs,
    parse_refs,
    read_remote_file,
)
from provision.errors import GitError, NetworkError, ProvisionError, WrongFile
from provision.rehearsal.engine_repo import EngineRepo, make_engine_repo
from provision.rehearsal.git_repo import ARCHIVES
from provision.rehearsal.replies import Reply, Request, refusal
from provision.system.local_machine import LocalMachine
from tests.support.hub import Hub

Make = Callable[..., Context]


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> EngineRepo:
    return make_engine_repo(tmp_path_factory.mktemp("root") / "git/Comfy-Org/ComfyUI.git")


@pytest.fixture
def hub(repo: EngineRepo) -> Iterator[Hub]:
    with Hub(repo.path.parents[2]) as served:
        yield served


@pytest.fixture
def url(hub: Hub) -> str:
    return f"{hub.url}/Comfy-Org/ComfyUI"


@pytest.fixture
def ctx(context: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """A machine without git, and without patience."""
    monkeypatch.setattr("provision.system.local_machine.EXTRA_PATH", ())
    (tmp_path / "programs").mkdir()
    made = context(machine=LocalMachine({"PATH": str(tmp_path / "programs")}))
    return replace(made, patience=Patience(0, 0, 0, 0))


def without_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """For the hub, which runs git where there is one."""
    monkeypatch.setenv("PATH", str(tmp_path / "programs"))


@pytest.mark.parametrize("ref", ["latest", "v0.38.0", "master", "latest-test", "0" * 40])
def test_a_revision_is_the_same_by_git_and_without(ctx: Context, url: str, ref: str) -> None:
    assert find_revision(ctx, url, ref) == by_git(url, ref)
    assert find_revision(ctx, f"{url}.git", ref) == by_git(url, ref)


def test_the_hub_lists_the_same_without_git_itself(
    ctx: Context, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = list_refs(ctx, url)
    without_git(monkeypatch, tmp_path)
    assert list_refs(ctx, url) == listed
    assert "refs/tags/v0.38.1" in listed


@pytest.mark.parametrize("ref", ["nonsense", "v0.38", "abcdef1", "--upload-pack=x"])
def test_what_is_no_revision_is_one_sentence(ctx: Context, url: str, ref: str) -> None:
    with pytest.raises(GitError):
        find_revision(ctx, url, ref)


def test_an_archive_is_fetched_from_where_the_host_leads(
    ctx: Context, hub: Hub, url: str, tmp_path: Path, repo: EngineRepo, events: list[Event]
) -> None:
    revision = find_revision(ctx, url, "latest")
    fetch_archive(ctx, f"{url}.git", revision, tmp_path / "a.tar.gz")
    assert (tmp_path / "a.tar.gz").read_bytes() == (repo.path / ARCHIVES / f"{revision.commit}.tar.gz").read_bytes()
    assert [seen.origin for seen in hub.requests if "tar.gz" in seen.path] == ["hub", "cdn"]
    told = [event for event in events if isinstance(event, Progress)]
    assert told[-1].done == told[-1].total == (tmp_path / "a.tar.gz").stat().st_size


def test_one_file_is_read_of_an_archive(ctx: Context, url: str) -> None:
    found = read_remote_file(ctx, url, "v0.38.0", "requirements.txt")
    assert "torch" in found.text
    assert (found.revision, found.date) == ("v0.38.0", "2026-11-03T12:00:00+00:00")
    with pytest.raises(GitError, match=r"no-such\.txt of v0\.38\.0 cannot be read"):
        read_remote_file(ctx, url, "v0.38.0", "no-such.txt")


ANSWERS: dict[str, tuple[Reply, type[ProvisionError], str]] = {
    "none": (refusal(404, "Not Found"), GitError, "has no archive of v1"),
    "busy": (refusal(503, "busy"), NetworkError, "is busy"),
    "forbidden": (refusal(403, "no"), GitError, "403"),
    "a circle": (Reply(302, {"Location": "/x/y/archive/a.tar.gz"}), ProvisionError, "circle"),
    "too much": (Reply(200, {}, bytes(5000)), WrongFile, "more than 4,000 bytes"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_what_a_host_says_in_place_of_an_archive(
    ctx: Context, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    answer, kind, says = ANSWERS[name]
    monkeypatch.setattr(source_archive, "ARCHIVE_BYTES", 4000)
    monkeypatch.setattr(hub, "answer", lambda request: answer)
    with pytest.raises(kind, match=says):
        fetch_archive(ctx, f"{hub.url}/x/y", Revision("v1", "tag", "a" * 40), tmp_path / "a.tar.gz")


def test_a_login_page_is_no_list_of_revisions(ctx: Context, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def page(request: Request) -> Reply:
        return Reply(200, {"Content-Type": "text/html"}, b"<html>log in</html>")

    monkeypatch.setattr(hub, "answer", page)
    with pytest.raises(GitError, match="does not answer like a git server"):
        list_refs(ctx, f"{hub.url}/x/y")


A, B = b"a" * 40, b"b" * 40


def packet(line: bytes) -> bytes:
    return b"%04x%b" % (len(line) + 4, line)


HEAD = packet(b"# service=git-upload-pack\n") + b"0000"


def test_a_list_is_read_packet_by_packet() -> None:
    caps = packet(A + b" HEAD\0multi_ack symref=HEAD:refs/heads/main\n")
    tag = packet(B + b" refs/tags/v1\n") + packet(A + b" refs/tags/v1^{}\n")
    assert parse_refs(HEAD + caps + packet(A + b" refs/heads/main\n") + tag + b"0000") == {
        "refs/heads/main": A.decode(),
        "refs/tags/v1": B.decode(),
        "refs/tags/v1^{}": A.decode(),
    }
    assert parse_refs(HEAD + packet(A + b" refs/tags/\x1b[31m\n") + packet(b"noise\n") + b"0000") == {}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>",
        b"0000",
        b"zzzz",
        b"0003",
        HEAD + b"00",
        HEAD + b"ffff" + A,
        packet(b"# service=other\n") + b"0000",
    ],
)
def test_what_is_no_list_is_none(content: bytes) -> None:
    assert parse_refs(content) is None


def test_only_without_git_and_from_the_web_it_is_an_archive(ctx: Context, context: Make) -> None:
    assert by_archive(ctx, "https://github.com/Comfy-Org/ComfyUI")
    for url in ("git@github.com:Comfy-Org/ComfyUI", "ssh://host/x", "/a/folder", "file:///a/folder"):
        assert not by_archive(ctx, url)
    assert not by_archive(context(), "https://github.com/Comfy-Org/ComfyUI")


def test_the_address_of_an_archive_is_githubs() -> None:
    revision = Revision("v1", "tag", "a" * 40)
    for url in ("https://github.com/o/n", "https://github.com/o/n.git", "https://github.com/o/n/"):
        assert archive_address(url, revision) == f"https://github.com/o/n/archive/{'a' * 40}.tar.gz"
