"""The loopback hub, seen by the real clients: requests, huggingface_hub, git, git-lfs, uv."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import requests
from uv import find_uv_bin

from provision.rehearsal.git_http import byte_range
from provision.rehearsal.git_repo import git_environment
from provision.rehearsal.model_repo import (
    ModelRepo,
    git_folder,
    make_model_repo,
    pointer_text,
    read_model_repo,
)
from tests.support.faults import KINDS, Fault, Kind
from tests.support.hub import Faults, Hub

REPO = "made/up-model"
BIG, TWIN, SMALL = "weights_fp16.safetensors", "unet/weights.safetensors", "model_index.json"
DATA = random.Random(7).randbytes(700_001)
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sources = tmp_path_factory.mktemp("sources")
    contents = {BIG: DATA, TWIN: DATA[::-1] * 2, SMALL: b'{"_class_name": "Made"}\n'}
    files = {path: sources / path.replace("/", "-") for path in contents}
    for path, content in contents.items():
        files[path].write_bytes(content)
    folder = tmp_path_factory.mktemp("hub")
    make_model_repo(folder, REPO, files)
    return folder


@pytest.fixture(scope="module")
def model(root: Path) -> ModelRepo:
    made = read_model_repo(root, REPO)
    assert made is not None
    return made


@pytest.fixture
def hub(root: Path) -> Iterator[Hub]:
    with Hub(root) as running:
        yield running


@pytest.fixture
def web() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


def address(hub: Hub, path: str = BIG, rev: str = "main") -> str:
    return f"{hub.url}/{REPO}/resolve/{rev}/{path}"


def get(web: requests.Session, url: str, **headers: str) -> requests.Response:
    return web.get(url, headers={"Accept-Encoding": "identity", **headers}, timeout=5)


def clean_environment(home: Path, **more: str) -> dict[str, str]:
    return git_environment() | {"GIT_ALLOW_PROTOCOL": "http", "HOME": str(home), **more}


def run(*argv: str, cwd: Path, env: Mapping[str, str]) -> str:
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


# -- the Hugging Face protocol ------------------------------------------------------------------------------


def test_a_large_file_is_redirected_to_the_cdn_which_never_sees_the_token(
    hub: Hub, web: requests.Session, model: ModelRepo
) -> None:
    url = address(hub, rev=model.commit)
    redirect = web.head(url, allow_redirects=False, timeout=5)
    assert redirect.status_code == 302
    assert redirect.headers["X-Repo-Commit"] == model.commit
    assert redirect.headers["X-Linked-Etag"] == f'"{SHA256}"'
    assert redirect.headers["X-Linked-Size"] == str(len(DATA))
    assert redirect.headers["Location"].startswith(hub.cdn_url)

    assert get(web, url, Authorization="Bearer made-up").content == DATA
    asked, given = hub.requests[-2:]
    assert (asked.origin, asked.headers["authorization"], asked.sent_bytes) == ("hub", "Bearer made-up", 0)
    assert (given.origin, given.status, given.sent_bytes) == ("cdn", 200, len(DATA))
    assert "authorization" not in given.headers
    assert hub.sent_by_file() == {BIG: len(DATA)}
    assert hub.sent_bytes() == len(DATA)


def test_a_small_file_comes_from_the_hub_itself(hub: Hub, web: requests.Session, model: ModelRepo) -> None:
    answer = get(web, address(hub, SMALL))
    assert (answer.status_code, answer.json()) == (200, {"_class_name": "Made"})
    assert answer.headers["ETag"] == f'"{model.files[SMALL][1]}"'
    assert answer.headers["X-Repo-Commit"] == model.commit
    assert [seen.origin for seen in hub.requests] == ["hub"]


@pytest.mark.parametrize(
    ("header", "status", "start", "stop"),
    [
        ("bytes=0-9", 206, 0, 10),
        ("bytes=700000-", 206, 700_000, 700_001),
        ("bytes=5-99999999", 206, 5, 700_001),
        ("bytes=-3", 206, 699_998, 700_001),
        ("bytes=-99999999", 206, 0, 700_001),
        ("bytes=700001-", 416, 0, 0),
        ("bytes=-0", 416, 0, 0),
        ("bytes=9-5", 200, 0, 700_001),
        ("bytes=0-1,4-5", 200, 0, 700_001),
        ("lines=0-1", 200, 0, 700_001),
    ],
)
def test_ranges(hub: Hub, web: requests.Session, header: str, status: int, start: int, stop: int) -> None:
    answer = get(web, address(hub), Range=header)
    assert answer.status_code == status
    assert answer.content == DATA[start:stop]
    expected = {206: f"bytes {start}-{stop - 1}/700001", 416: "bytes */700001"}.get(status)
    assert answer.headers.get("Content-Range") == expected
    assert hub.requests[-1].range == header
    assert hub.sent_bytes() == stop - start


def test_an_empty_file_has_no_satisfiable_range() -> None:
    assert byte_range("bytes=0-", 0) == (0, 0)
    assert byte_range("bytes=-", 10) is None


def test_if_range_gives_the_whole_file_when_it_is_another(hub: Hub, web: requests.Session) -> None:
    same = get(web, address(hub), **{"Range": "bytes=9-", "If-Range": f'"{SHA256}"'})
    other = get(web, address(hub), **{"Range": "bytes=9-", "If-Range": f'"{"0" * 64}"'})
    assert (same.status_code, same.content) == (206, DATA[9:])
    assert (other.status_code, other.content) == (200, DATA)


def test_the_model_api(hub: Hub, web: requests.Session, model: ModelRepo) -> None:
    api = f"{hub.url}/api/models/{REPO}"
    for url in (api, f"{api}/revision/main", f"{api}/revision/{model.commit}"):
        answer = get(web, url).json()
        assert (answer["id"], answer["sha"]) == (REPO, model.commit)
        assert [sibling["rfilename"] for sibling in answer["siblings"]] == sorted(model.files)
    tree = {entry["path"]: entry for entry in get(web, f"{api}/tree/{model.commit}?recursive=true").json()}
    assert tree.keys() == model.files.keys()
    assert tree[BIG]["lfs"] == {"oid": SHA256, "size": len(DATA), "pointerSize": 131}
    assert "lfs" not in tree[SMALL]
    top = [entry["path"] for entry in get(web, f"{api}/tree/main").json()]
    assert top == ["unet", ".gitattributes", SMALL, BIG]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (f"/{REPO}/resolve/main/absent.bin", "EntryNotFound"),
        (f"/{REPO}/resolve/v9/{BIG}", "RevisionNotFound"),
        (f"/nobody/nothing/resolve/main/{BIG}", "RepoNotFound"),
        ("/api/models/nobody/nothing", "RepoNotFound"),
        (f"/api/models/{REPO}/revision/v9", "RevisionNotFound"),
        (f"/{REPO}/resolve/main/%2e%2e/up-model.json", "EntryNotFound"),
        ("/../../etc/passwd", None),
        ("/whl/%2e%2e/models/", None),
        ("/api/agent-harnesses", None),
    ],
)
def test_what_is_not_there(hub: Hub, path: str, code: str | None) -> None:
    # requests would tidy the path up before it asks.
    connection = HTTPConnection(hub.url.removeprefix("http://"), timeout=5)
    connection.request("GET", path)
    answer = connection.getresponse()
    assert (answer.status, answer.headers.get("X-Error-Code")) == (404, code)
    connection.close()


def test_the_cdn_wants_a_true_signature_that_has_not_expired(root: Path, web: requests.Session) -> None:
    with Hub(root, faults=Faults(url_ttl_s=-1)) as hub:
        late = get(web, address(hub))
        assert (late.status_code, late.text) == (403, "Request has expired")
        assert get(web, late.url[:-1] + "g").status_code == 403
        assert get(web, late.url.replace("Expires=1", "Expires=9")).text == "SignatureDoesNotMatch"
        assert get(web, hub.cdn_url + "/").status_code == 403


def test_a_token_opens_the_repository(root: Path, web: requests.Session) -> None:
    basic = "Basic " + base64.b64encode(b"anyone:secret").decode()
    with Hub(root, faults=Faults(token="secret")) as hub:
        shut = get(web, address(hub))
        assert (shut.status_code, shut.headers["X-Error-Code"]) == (401, "RepoNotFound")
        assert get(web, address(hub), Authorization="Bearer wrong").status_code == 401
        assert get(web, f"{hub.url}/{REPO}/info/refs?service=git-upload-pack").status_code == 401
        assert get(web, address(hub), Authorization="Bearer secret").content == DATA
        assert get(web, address(hub, SMALL), Authorization=basic).status_code == 200
    with Hub(root, faults=Faults(token="secret", gated=True)) as hub:
        for headers, status in (({}, 401), ({"Authorization": "Bearer secret"}, 403)):
            refused = get(web, address(hub), **headers)
            assert (refused.status_code, refused.headers["X-Error-Code"]) == (status, "GatedRepo")


def test_the_rate_limit_holds(root: Path, web: requests.Session) -> None:
    with Hub(root, faults=Faults(rate_bytes_s=2_000_000)) as hub:
        began = time.monotonic()
        assert get(web, address(hub)).content == DATA
        # All but the last piece (a twentieth of a second) is paced.
        assert time.monotonic() - began > len(DATA) / 2_000_000 - 0.06


# -- faults -------------------------------------------------------------------------------------------------


class Outcome:
    """What a client sees of one download: the answer, the bytes that came, and the error that ended it."""

    def __init__(self, web: requests.Session, url: str, *, quiet_s: float = 5, **headers: str) -> None:
        self.status, self.body, self.error = 0, b"", ""
        self.headers: Mapping[str, str] = {}
        try:
            with web.get(url, headers=headers, stream=True, timeout=(5, quiet_s)) as answer:
                self.status, self.headers = answer.status_code, answer.headers
                for piece in answer.iter_content(4096):
                    self.body += piece
        except requests.RequestException as error:
            self.error = type(error).__name__


def test_every_kind_of_fault_has_a_test() -> None:
    named = set(Path(__file__).read_text("utf-8").split('"'))
    assert set(KINDS) <= named
    with pytest.raises(ValueError, match="unknown fault kind"):
        Fault("*", "typo")  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [401, 403, 404, 416, 429, 500, 503])
def test_fault_status(hub: Hub, web: requests.Session, status: int) -> None:
    hub.arm(Fault("*.safetensors", "status", value=status, origin="cdn"))
    refused = get(web, address(hub))
    assert (refused.status_code, len(refused.history)) == (status, 1)
    assert refused.headers.get("Retry-After") == ("1" if status == 429 else None)
    assert get(web, address(hub)).content == DATA


def test_fault_status_with_a_wait(hub: Hub, web: requests.Session) -> None:
    hub.arm(Fault("*", "status", value="429 7", origin="hub", method="HEAD"))
    assert get(web, address(hub, SMALL)).status_code == 200
    refused = web.head(address(hub, SMALL), timeout=5)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "7")


def test_fault_rate_limit_as_the_hub_says_it(hub: Hub, web: requests.Session) -> None:
    hub.arm(Fault("*", "rate_limit", value=42, origin="hub", method="HEAD"))
    refused = web.head(address(hub, SMALL), timeout=5)
    assert (refused.status_code, "Retry-After" in refused.headers) == (429, False)
    assert refused.headers["RateLimit"] == '"resolvers";r=0;t=42'
    assert refused.headers["RateLimit-Policy"] == '"fixed window";"resolvers";q=3000;w=300'


@pytest.mark.parametrize(
    ("kind", "content_type", "start"),
    [
        ("html", "text/html; charset=utf-8", "<!doctype html>"),
        ("json", "application/json; charset=utf-8", '{"error"'),
        ("pointer", "text/plain; charset=utf-8", pointer_text(SHA256, len(DATA))),
    ],
)
@pytest.mark.parametrize("origin", ["hub", "cdn"])
def test_faults_of_another_body(
    hub: Hub, web: requests.Session, kind: Kind, content_type: str, start: str, origin: Any
) -> None:
    hub.arm(Fault("*.safetensors", kind, origin=origin))
    answer = get(web, address(hub))
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, content_type)
    assert answer.text.startswith(start)
    assert hub.sent_bytes() == 0


@pytest.mark.parametrize("kind", ["truncate", "reset", "stall"])
@pytest.mark.parametrize(("value", "sent"), [(5000, 5000), (0.5, 350_000), (0, 0)])
def test_faults_that_stop_early(hub: Hub, web: requests.Session, kind: Kind, value: int | float, sent: int) -> None:
    hub.arm(Fault("*.safetensors", kind, value=value))
    assert web.head(address(hub), allow_redirects=True, timeout=5).status_code == 200
    seen = Outcome(web, address(hub), quiet_s=0.5 if kind == "stall" else 5)
    assert seen.error in ("ChunkedEncodingError", "ConnectionError", "ReadTimeout")
    assert DATA.startswith(seen.body)
    if kind != "reset":  # a reset may overtake what was sent before it, the head included
        assert (seen.status, seen.headers["Content-Length"]) == (200, str(len(DATA)))
        assert sent - 4096 < len(seen.body) <= sent
    assert hub.sent_bytes() == sent
    assert Outcome(web, address(hub)).body == DATA


@pytest.mark.parametrize(("value", "coding"), [("chunked", "chunked"), ("close", None)])
def test_fault_no_length(hub: Hub, web: requests.Session, value: str, coding: str | None) -> None:
    hub.arm(Fault("*", "no_length", value=value))
    seen = Outcome(web, address(hub))
    assert "Content-Length" not in seen.headers
    assert seen.headers.get("Transfer-Encoding") == coding
    assert seen.body == DATA


@pytest.mark.parametrize(("value", "body"), [(-1, DATA[:-1]), (2, DATA + b"\0\0")])
def test_fault_wrong_length(hub: Hub, web: requests.Session, value: int, body: bytes) -> None:
    hub.arm(Fault("*.safetensors", "wrong_length", times=-1, value=value))
    head = web.head(address(hub), allow_redirects=False, timeout=5)
    assert head.headers["X-Linked-Size"] == str(len(body))
    seen = Outcome(web, address(hub))
    assert (seen.error, seen.headers["Content-Length"], seen.body) == ("", str(len(body)), body)
    part = Outcome(web, address(hub), Range="bytes=700000-")
    assert part.headers["Content-Range"] == f"bytes 700000-{len(body) - 1}/{len(body)}"
    assert part.body == body[700_000:]


def test_fault_corrupt(hub: Hub, web: requests.Session) -> None:
    hub.arm(Fault("*", "corrupt", times=2, value=600_000))
    body = get(web, address(hub)).content
    assert body[:600_000] == DATA[:600_000]
    assert [body[at] ^ DATA[at] for at in (600_000, 700_000)] == [255, 255]
    assert get(web, address(hub), Range="bytes=500000-").content == body[500_000:]
    assert get(web, address(hub)).content == DATA


def test_faults_of_ranges(hub: Hub, web: requests.Session) -> None:
    hub.arm(Fault("*", "no_range"), Fault("*", "wrong_range", value=2))
    hub.arm(Fault("*", "wrong_range", value="bytes 0-9/*"))
    assert get(web, address(hub)).content == DATA  # has no range: nothing is spent
    whole = get(web, address(hub), Range="bytes=10-19")
    assert (whole.status_code, whole.content) == (200, DATA)
    for claim in ("bytes 12-21/700001", "bytes 0-9/*"):
        part = get(web, address(hub), Range="bytes=10-19")
        assert (part.status_code, part.headers["Content-Range"]) == (206, claim)
        assert part.content == DATA[10:20]


def test_fault_gzip(hub: Hub, web: requests.Session) -> None:
    hub.arm(Fault("*.safetensors", "gzip"))
    coded = get(web, address(hub))  # which asked for identity
    assert coded.headers["Content-Encoding"] == "gzip"
    assert "Content-Length" not in coded.headers
    assert coded.content == DATA


def test_fault_etag_changes(hub: Hub, web: requests.Session) -> None:
    hub.arm(Fault("*", "etag_changes", times=-1, origin="cdn"))
    etags = {get(web, address(hub)).headers["ETag"] for _ in range(3)}
    assert len(etags | {f'"{SHA256}"'}) == 4
    resumed = get(web, address(hub), **{"Range": "bytes=9-", "If-Range": f'"{SHA256}"'})
    assert (resumed.status_code, resumed.content) == (200, DATA)


def test_faults_of_redirects(root: Path, hub: Hub, web: requests.Session) -> None:
    hub.arm(Fault("*.safetensors", "redirect_loop", times=-1))
    assert Outcome(web, address(hub)).error == "TooManyRedirects"
    hub.disarm()
    with Hub(root) as other:
        hub.arm(Fault("*.json", "redirect_out", value=other.url))
        assert get(web, address(hub, SMALL), Authorization="Bearer made-up").status_code == 200
        (seen,) = other.requests
        assert seen.path == f"/{REPO}/resolve/main/{SMALL}"
        assert "authorization" not in seen.headers


def test_fault_silent(hub: Hub, web: requests.Session) -> None:
    hub.arm(Fault("*", "silent"))
    assert Outcome(web, address(hub), quiet_s=0.5).error == "ReadTimeout"
    assert hub.requests[-1].status == 0
    assert Outcome(web, address(hub)).body == DATA


def test_fault_expire(hub: Hub, web: requests.Session) -> None:
    hub.arm(Fault("*", "expire", value=1000))
    signed = web.head(address(hub), allow_redirects=False, timeout=5).headers["Location"]
    assert Outcome(web, signed).error == "ChunkedEncodingError"
    assert hub.sent_bytes() == 1000
    assert Outcome(web, signed, Range="bytes=1000-").status == 403
    assert Outcome(web, address(hub), Range="bytes=1000-").body == DATA[1000:]


def test_faults_happen_in_order_and_as_often_as_told(hub: Hub, web: requests.Session) -> None:
    hub.arm(Fault("*/absent", "html", times=-1), Fault("*.json", "status", times=2, value=500))
    hub.arm(Fault("*.json", "status", value=503))
    statuses = [get(web, address(hub, SMALL)).status_code for _ in range(4)]
    assert statuses == [500, 500, 503, 200]


# -- closing ------------------------------------------------------------------------------------------------


def test_close_waits_for_nobody(root: Path) -> None:
    before = set(threading.enumerate())
    faults = (Fault("*.json", "stall", value=3), Fault("*.gitattributes", "silent"))
    hub = Hub(root, faults=Faults(faults, rate_bytes_s=10)).start()
    clients = [socket.create_connection(("127.0.0.1", int(hub.url.rpartition(":")[2]))) for _ in range(4)]
    try:
        # Stalled, silent, slow; the last client never asks.
        for client, path in zip(clients[:3], (SMALL, ".gitattributes", SMALL), strict=True):
            client.sendall(f"GET /{REPO}/resolve/main/{path} HTTP/1.1\r\nHost: hub\r\n\r\n".encode())
            assert path != SMALL or client.recv(1) == b"H"
        began = time.monotonic()
        hub.close()
        hub.close()
        assert time.monotonic() - began < 10, "none of them would ever end"
        assert set(threading.enumerate()) <= before
    finally:
        for client in clients:
            client.close()
    with pytest.raises(requests.ConnectionError):
        requests.get(address(hub), timeout=5)


def test_a_port_that_is_taken_is_an_error_at_once(root: Path, hub: Hub) -> None:
    taken = int(hub.cdn_url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        Hub(root, cdn_port=taken)


# -- model repositories -------------------------------------------------------------------------------------


def test_the_same_files_make_the_same_commit(tmp_path: Path, root: Path, model: ModelRepo) -> None:
    kept = {path: root / "models" / REPO / path for path in model.files}
    again = make_model_repo(tmp_path, REPO, kept)
    assert again == model == read_model_repo(tmp_path, REPO)
    assert (tmp_path / "models" / REPO / BIG).samefile(kept[BIG])
    # Made anew out of itself, with a file less.
    own = {BIG: tmp_path / "models" / REPO / BIG}
    assert set(make_model_repo(tmp_path, REPO, own).files) == {BIG, ".gitattributes"}
    assert (tmp_path / "models" / REPO / BIG).read_bytes() == DATA


@pytest.mark.parametrize("path", ["../out.bin", "/out.bin", "a/../b", "", "a//b", './a"'])
def test_a_path_that_leaves_the_repository_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(ValueError, match="not a relative path"):
        make_model_repo(tmp_path, REPO, {path: tmp_path})
    with pytest.raises(ValueError, match="namespace/name"):
        make_model_repo(tmp_path, "../up", {})


# -- real clients -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", ".git"])
def test_git_fetches_one_commit(tmp_path: Path, hub: Hub, model: ModelRepo, suffix: str) -> None:
    env = clean_environment(tmp_path)
    run("git", "init", "-q", ".", cwd=tmp_path, env=env)
    run("git", "remote", "add", "origin", f"{hub.url}/{REPO}{suffix}", cwd=tmp_path, env=env)
    run("git", "fetch", "-q", "--depth", "1", "origin", model.commit, cwd=tmp_path, env=env)
    pointer = run("git", "cat-file", "blob", f"{model.commit}:{BIG}", cwd=tmp_path, env=env)
    assert pointer == pointer_text(SHA256, len(DATA))
    assert hub.sent_bytes() == 0


def test_git_clones_with_a_token(tmp_path: Path, root: Path, model: ModelRepo) -> None:
    env = clean_environment(tmp_path, GIT_LFS_SKIP_SMUDGE="1")
    with Hub(root, faults=Faults(token="secret")) as hub:
        url = f"{hub.url}/{REPO}"
        shut = subprocess.run(["git", "clone", "-q", url, "shut"], cwd=tmp_path, env=env, capture_output=True)
        assert shut.returncode == 128
        bearer = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"http.{hub.url}/.extraHeader"}
        bearer["GIT_CONFIG_VALUE_0"] = "Authorization: Bearer secret"
        run("git", "clone", "-q", url, "open", cwd=tmp_path, env=env | bearer)
    assert (tmp_path / "open" / SMALL).read_bytes() == b'{"_class_name": "Made"}\n'
    assert git_folder(root, REPO).is_dir()


def test_git_lfs_fetches_one_object(tmp_path: Path, hub: Hub, model: ModelRepo) -> None:
    env = clean_environment(tmp_path)
    run("git", "init", "-q", ".", cwd=tmp_path, env=env)
    run("git", "remote", "add", "origin", f"{hub.url}/{REPO}", cwd=tmp_path, env=env)
    run("git", "fetch", "-q", "--depth", "1", "origin", model.commit, cwd=tmp_path, env=env)
    lfs = ("git", "lfs", "fetch", "--include", BIG, "--exclude", "", "origin", model.commit)
    run(*lfs, cwd=tmp_path, env=env)
    stored = tmp_path / ".git/lfs/objects" / SHA256[:2] / SHA256[2:4] / SHA256
    assert stored.read_bytes() == DATA
    assert hub.sent_by_file() == {BIG: len(DATA)}


@pytest.mark.parametrize("suffix", ["", ".git"])
def test_the_lfs_batch_api(hub: Hub, web: requests.Session, suffix: str) -> None:
    url = f"{hub.url}/{REPO}{suffix}/info/lfs/objects/batch"
    wanted = [{"oid": oid, "size": 1} for oid in (SHA256, "0" * 64)]
    answer = web.post(url, json={"operation": "download", "objects": wanted}, timeout=5)
    assert answer.headers["Content-Type"] == "application/vnd.git-lfs+json"
    found, missing = answer.json()["objects"]
    assert get(web, found["actions"]["download"]["href"], Range="bytes=-5").content == DATA[-5:]
    assert missing["error"]["code"] == 404
    assert web.post(url, json={"operation": "upload", "objects": wanted}, timeout=5).status_code == 403
    # A body of unknown length comes in chunks; this one is not a batch.
    assert web.post(url, data=iter([b"[", b"]"]), timeout=5).status_code == 422


_HF_DOWNLOAD = """
import json, sys
from huggingface_hub import hf_hub_download
endpoint, repo, file, commit, folder = sys.argv[1:]
print(json.dumps(hf_hub_download(repo, file, revision=commit, endpoint=endpoint, local_dir=folder)))
"""


def test_huggingface_hub_downloads_a_file(tmp_path: Path, hub: Hub, model: ModelRepo) -> None:
    env = clean_environment(tmp_path, HF_HUB_DISABLE_XET="1", HF_HUB_DISABLE_TELEMETRY="1", HF_TOKEN="made-up")
    arguments = (hub.url, REPO, TWIN, model.commit, str(tmp_path / "to"))
    out = run(sys.executable, "-c", _HF_DOWNLOAD, *arguments, cwd=tmp_path, env=env)
    assert Path(json.loads(out)).read_bytes() == DATA[::-1] * 2
    assert hub.sent_by_file() == {TWIN: 2 * len(DATA)}
    assert {seen.headers.get("authorization") for seen in hub.requests if seen.origin == "cdn"} == {None}


def make_wheel(folder: Path, name: str, version: str) -> Path:
    folder.mkdir(parents=True)
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    members = {
        f"{name}.py": "answer = 42\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    members[f"{info}/RECORD"] = "".join(f"{member},,\n" for member in [*members, f"{info}/RECORD"])
    with zipfile.ZipFile(wheel, "w") as archive:
        for member, text in members.items():
            archive.writestr(member, text)
    return wheel


def test_uv_installs_from_the_index(tmp_path: Path, web: requests.Session) -> None:
    wheel = make_wheel(tmp_path / "hub/index/nightly/cpu/made-up", "made_up", "1.0.dev20260101+cpu")
    env = clean_environment(tmp_path, UV_CACHE_DIR=str(tmp_path / "cache"), UV_NO_CONFIG="1")
    with Hub(tmp_path / "hub") as hub:
        index = f"{hub.url}/whl/nightly/cpu"
        assert ">made-up</a>" in get(web, index + "/").text
        page = get(web, index + "/made-up/").text
        assert f"%2Bcpu-py3-none-any.whl#sha256={hashlib.sha256(wheel.read_bytes()).hexdigest()}" in page
        assert get(web, index + "/absent/").status_code == 404
        install = (find_uv_bin(), "pip", "install", "--python", sys.executable, "--target", "to", "--pre")
        run(*install, "--index-url", index, "made-up", cwd=tmp_path, env=env)
        assert hub.sent_bytes() == 0  # wheels are not model files
    assert (tmp_path / "to/made_up.py").read_text() == "answer = 42\n"
