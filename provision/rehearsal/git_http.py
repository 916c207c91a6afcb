"""The hub's git side: clone and fetch through `git http-backend`, archives of commits, the LFS batch API, LFS objects.

Without git its list of revisions and its archives are served all the same, which is what a client without git asks for.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path

from provision.errors import CommandMissing
from provision.rehearsal.git_repo import ARCHIVES, GIT_S, git_environment, refs_of
from provision.rehearsal.model_repo import REPO_ID, git_folder, model_folder, read_model_repo
from provision.rehearsal.replies import FileSlice, Reply, Request, json_reply, refusal
from provision.rehearsal.signed_urls import SignedAddresses
from provision.system.git_program import real_git

_LFS_JSON = "application/vnd.git-lfs+json"
_OBJECT = re.compile(rf"/lfs/(?P<repo>{REPO_ID})/(?P<oid>[0-9a-f]{{64}})/(?P<path>.+)")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_ROUTE = re.compile(rf"/(?P<repo>{REPO_ID}?)(?:\.git)?/(?P<rest>info/refs|git-upload-pack|info/lfs/objects/batch)")
_ARCHIVE = re.compile(rf"/(?P<repo>{REPO_ID}?)(?:\.git)?/archive/(?P<ref>[^/].*)\.tar\.gz")
_PACKED = re.compile(rf"/(?P<repo>{REPO_ID})/tar\.gz/(?P<ref>[^/].*)")
_LISTING = "application/x-git-upload-pack-advertisement"


class LfsObjects:
    """The cdn: large files at signed addresses, each valid for one file and `url_ttl_s` seconds."""

    def __init__(self, root: Path, origin: str, *, url_ttl_s: float) -> None:
        self.url_ttl_s = url_ttl_s
        self._root = root
        self._addresses = SignedAddresses(origin, ttl_s=url_ttl_s)

    def sign(self, repo: str, oid: str, path: str) -> str:
        """An address of its own for each who asks."""
        return self._addresses.sign(f"/lfs/{repo}/{oid}/{path}")

    def answer(self, request: Request) -> Reply:
        """The object or the part of it that is asked for; no Authorization is needed or looked at."""
        if refused := self._addresses.refused(request):
            return refused
        found = _OBJECT.fullmatch(request.path)
        if found is None:
            return refusal(404, "NoSuchKey")
        source = model_folder(self._root, found["repo"]) / found["path"]
        return file_reply(request, source, found["oid"], file=found["path"])


class GitHttp:
    """Answers git and git-lfs for the repositories under `root`, each as `/ns/name` and `/ns/name.git`.

    Archives are at the host `origin`.
    """

    def __init__(self, root: Path, objects: LfsObjects, origin: str) -> None:
        self._root = root.resolve()
        self._objects, self._origin = objects, origin
        self._lock = threading.Lock()
        self._children: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    def answer(self, request: Request) -> Reply | None:
        """The reply; None where the path is not one of git's or git-lfs's."""
        if found := _ARCHIVE.fullmatch(request.path):  # codeload.github.com has them
            return Reply(302, {"Location": f"{self._origin}/{found['repo']}/tar.gz/{found['ref']}"})
        route = _ROUTE.fullmatch(request.path)
        if route is None:
            return None
        if route["rest"].endswith("/batch"):
            return self._batch(request, route["repo"])
        bare = git_folder(self._root, route["repo"])
        if not bare.is_dir():
            return refusal(404, "Repository not found", "RepoNotFound")
        try:
            git = real_git()
        except CommandMissing:
            return _listing(bare) if route["rest"] == "info/refs" else refusal(501, "There is no git here")
        return self._http_backend(request, git, f"/{route['repo']}.git/{route['rest']}")

    def archive(self, request: Request) -> Reply | None:
        """An archive of a commit, as the host has it to which `archive/REF.tar.gz` leads; None for other paths."""
        found = _PACKED.fullmatch(request.path)
        if found is None:
            return None
        bare, ref = git_folder(self._root, found["repo"]), found["ref"]
        names = (ref, f"refs/tags/{ref}", f"refs/heads/{ref}")
        refs = refs_of(bare) if bare.is_dir() else {}
        commit = next((refs[name] for name in names if name in refs), ref)
        path = bare / ARCHIVES / f"{commit}.tar.gz"
        if "/" in commit or not path.is_file():
            return refusal(404, "Not Found")
        return Reply(200, {"Content-Type": "application/x-gzip"}, path.read_bytes())

    def close(self) -> None:
        """End every `git http-backend` that still runs."""
        with self._lock:
            self._closed = True
            for child in self._children:
                if child.poll() is None:
                    os.killpg(child.pid, signal.SIGKILL)  # with the upload-pack that it started

    def _http_backend(self, request: Request, git: Path, path_info: str) -> Reply:
        headers = request.headers
        environment = git_environment() | {
            "GIT_PROJECT_ROOT": str(self._root / "git"),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": headers.get("git-protocol", ""),
            "REQUEST_METHOD": request.method,
            "PATH_INFO": path_info,
            "QUERY_STRING": request.query,
            "CONTENT_TYPE": headers.get("content-type", ""),
            "CONTENT_LENGTH": str(len(request.body)),
            "HTTP_CONTENT_ENCODING": headers.get("content-encoding", ""),
            "REMOTE_ADDR": "127.0.0.1",
        }
        pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
        words = [str(git), "http-backend"]
        with self._lock:
            if self._closed:
                return refusal(503, "The hub is closing")
            child = subprocess.Popen(
                words, env=environment, stdin=pipe, stdout=pipe, stderr=nowhere, start_new_session=True
            )
            self._children.add(child)
        try:
            output, _ = child.communicate(request.body, timeout=GIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            output, _ = child.communicate()
        finally:
            with self._lock:
                self._children.discard(child)
        return parse_cgi(output)

    def _batch(self, request: Request, repo: str) -> Reply:
        model = read_model_repo(self._root, repo)
        if model is None:
            return json_reply({"message": "Repository not found"}, _LFS_JSON, 404)
        try:
            asked = json.loads(request.body)
            download = asked["operation"] == "download"
            wanted = [(str(item["oid"]), int(item["size"])) for item in asked["objects"]]
        except (ValueError, KeyError, TypeError):
            return json_reply({"message": "Not a batch request"}, _LFS_JSON, 422)
        if not download:
            return json_reply({"message": "This hub is read only"}, _LFS_JSON, 403)
        paths = {oid: path for path, (_, oid) in model.files.items()}
        objects = [self._object(repo, oid, size, paths.get(oid)) for oid, size in wanted]
        return json_reply({"transfer": "basic", "hash_algo": "sha256", "objects": objects}, _LFS_JSON)

    def _object(self, repo: str, oid: str, size: int, path: str | None) -> dict[str, object]:
        if path is None:
            return {"oid": oid, "size": size, "error": {"code": 404, "message": "Object does not exist"}}
        href = self._objects.sign(repo, oid, path)
        download = {"href": href, "expires_in": max(1, int(self._objects.url_ttl_s))}
        return {"oid": oid, "size": size, "authenticated": True, "actions": {"download": download}}


def _listing(bare: Path) -> Reply:
    """The revisions of a repository, as a git server of the first protocol lists them (gitprotocol-http)."""
    head, *others = [f"{commit} {name}".encode() for name, commit in refs_of(bare).items()]
    lines = [_packet(head + b"\0agent=rehearsal"), *map(_packet, others)]
    content = _packet(b"# service=git-upload-pack") + b"0000" + b"".join(lines) + b"0000"
    return Reply(200, {"Content-Type": _LISTING, "Cache-Control": "no-cache"}, content)


def _packet(line: bytes) -> bytes:
    return b"%04x%b\n" % (len(line) + 5, line)


def parse_cgi(output: bytes) -> Reply:
    """The reply that a CGI program wrote (RFC 3875, section 6); 500 when it wrote none."""
    head, found, body = output.partition(b"\r\n\r\n")
    if not found:
        return refusal(500, "git http-backend ended without an answer")
    lines = (line.partition(":") for line in head.decode("latin-1").split("\r\n"))
    headers = {name: value.strip() for name, _, value in lines}
    status = int(headers.pop("Status", "200").split()[0])
    headers.pop("Content-Length", None)
    return Reply(status, headers, body)


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """`start, stop` of a single byte range (RFC 9110, section 14); None when the header is to be ignored.

    A range that cannot be satisfied comes back empty, as `(size, size)`.
    """
    found = _RANGE.fullmatch(header.strip())
    if found is None or found[0] == "bytes=-":
        return None
    first, last = found[1], found[2]
    if not first:
        return size - min(size, int(last)), size
    if last and int(last) < int(first):
        return None
    start = min(int(first), size)
    return start, min(int(last) + 1, size) if last else size


def file_reply(
    request: Request, path: Path, sha256: str, *, file: str = "", headers: Mapping[str, str] | None = None
) -> Reply:
    """A file, or the part of it that Range (with If-Range) asks for: 200, 206 or 416."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return refusal(404, "NoSuchKey")
    etag = f'"{sha256}"'
    types = {".json": "application/json", ".txt": "text/plain; charset=utf-8"}
    kind = types.get(path.suffix, "application/octet-stream")
    described = {"ETag": etag, "Accept-Ranges": "bytes", "Content-Type": kind, **(headers or {})}
    wanted = None
    if request.method == "GET" and request.headers.get("if-range", etag) == etag:
        wanted = byte_range(request.headers.get("range", ""), size)
    if wanted is None:
        return Reply(200, described, FileSlice(path, 0, size, size), file)
    start, stop = wanted
    span, status = (f"{start}-{stop - 1}", 206) if start < stop else ("*", 416)
    described["Content-Range"] = f"bytes {span}/{size}"
    return Reply(status, described, FileSlice(path, start, stop, size), file)
