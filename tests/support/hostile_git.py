"""Repositories whose configuration runs a program: each way that git knows, as data, with the plain git that falls
for it.

A vector puts its trap into a checkout of ComfyUI; `proof` is what a person would type, and runs the program.
"""

from __future__ import annotations

import os
import subprocess
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ENV = {
    "PATH": os.environ.get("PATH", os.defpath),
    "HOME": "/nowhere",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@b",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@b",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}
SOURCES = ("main.py", "nodes.py", "folder_paths.py", "comfyui_version.py", "comfy/model.py")
STATUS = ("status", "--porcelain")


@dataclass(frozen=True)
class Trap:
    """A checkout, the program that its configuration is to run, and what that program leaves behind."""

    folder: Path
    program: Path
    canary: Path
    login: str
    """The address of a server that asks for a password."""

    @property
    def git_dir(self) -> Path:
        return self.folder / ".git"

    def config(self, key: str, value: str | None = None) -> None:
        """Set a key of the repository; without a value, to the program."""
        git(self.folder, "config", "--add", key, str(self.program) if value is None else value)

    def hook(self, name: str, folder: Path | None = None) -> None:
        """Have the program be a hook."""
        place = (folder or self.git_dir / "hooks") / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(self.program)

    def touch(self) -> None:
        """Let git take a file for changed until it has read it."""
        os.utime(self.folder / "main.py", (1, 1))

    def lose_tree(self) -> None:
        """Take the commit's tree away, as where a partial clone would fetch it."""
        tree = git(self.folder, "rev-parse", "HEAD^{tree}").strip()
        (self.git_dir / "objects" / tree[:2] / tree[2:]).unlink()

    def promise(self, url: str, **keys: str) -> None:
        """Have what is missing fetched from `url`."""
        self.lose_tree()
        self.config("remote.origin.promisor", "true")
        self.config("remote.origin.url", url)
        for key, value in keys.items():
            self.config(f"remote.origin.{key}", value)

    @property
    def ran(self) -> bool:
        return self.canary.exists()


@dataclass(frozen=True)
class Vector:
    """A way to have git run a program: how it is laid, and the words of plain git that show it."""

    lay: Callable[[Trap], None]
    proof: tuple[str, ...] = STATUS
    keeps_tree: bool = True
    """Whether the checkout is still one that can be read."""

    @property
    def name(self) -> str:
        return self.lay.__name__


VECTORS: list[Vector] = []
Lay = Callable[[Trap], None]


def vector(*proof: str, keeps_tree: bool = True) -> Callable[[Lay], Lay]:
    """Put a function into the table."""

    def put(lay: Lay) -> Lay:
        VECTORS.append(Vector(lay, proof or STATUS, keeps_tree))
        return lay

    return put


def git(folder: Path, *words: str, env: dict[str, str] | None = None, check: bool = True) -> str:
    """Plain git, as a person has it, in a folder."""
    done = subprocess.run(
        ("git", *words), cwd=folder, env=ENV | (env or {}), check=check, capture_output=True, text=True, timeout=60
    )
    return done.stdout


def make_checkout(folder: Path) -> Path:
    """A clone of something that looks like ComfyUI, with loose objects."""
    for name in SOURCES:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('__version__ = "0.38.1"\n' if "version" in name else f"# {name}\n", encoding="utf-8")
    git(folder, "init", "-q", "-b", "master", "--template=")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "ComfyUI")
    git(folder, "tag", "v0.38.1")
    return folder


@contextmanager
def trap(place: Path, folder: Path) -> Iterator[Trap]:
    """A trap for a checkout; the program passes on what it is given, so that no filter ends with an error."""
    place.mkdir(parents=True, exist_ok=True)
    canary, program = place / "canary", place / "program"
    program.write_text(f'#!/bin/sh\necho "$0 $*" >>"{canary}"\n[ $# -gt 0 ] || exec cat\n', encoding="utf-8")
    program.chmod(0o755)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Login)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Trap(folder, program, canary, f"http://127.0.0.1:{server.server_address[1]}/a/b.git")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Login(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="x"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


# -- what a look falls for ----------------------------------------------------------------------------------------


@vector()
def fsmonitor(at: Trap) -> None:
    at.config("core.fsmonitor")


@vector()
def clean_filter(at: Trap) -> None:
    (at.folder / ".gitattributes").write_text("*.py filter=x\n", encoding="utf-8")
    at.config("filter.x.clean")
    at.touch()


@vector()
def process_filter_by_info_attributes(at: Trap) -> None:
    (at.git_dir / "info").mkdir(exist_ok=True)
    (at.git_dir / "info" / "attributes").write_text("* filter=x\n", encoding="utf-8")
    at.config("filter.x.process")
    at.touch()


@vector()
def filter_by_attributes_file(at: Trap) -> None:
    listed = at.program.with_name("attributes")
    listed.write_text("* filter=x\n", encoding="utf-8")
    at.config("core.attributesFile", str(listed))
    at.config("filter.x.clean")
    at.touch()


def _included(at: Trap) -> Path:
    (at.folder / ".gitattributes").write_text("* filter=x\n", encoding="utf-8")
    at.touch()
    included = at.program.with_name("included")
    included.write_text(f'[filter "x"]\n\tclean = {at.program}\n[core]\n\tfsmonitor = {at.program}\n', encoding="utf-8")
    return included


@vector()
def include(at: Trap) -> None:
    at.config("include.path", str(_included(at)))


@vector()
def include_if(at: Trap) -> None:
    at.config("includeIf.gitdir:**.path", str(_included(at)))


@vector()
def worktree_config(at: Trap) -> None:
    included = _included(at)
    at.config("extensions.worktreeConfig", "true")
    (at.git_dir / "config.worktree").write_bytes(included.read_bytes())


@vector()
def git_file(at: Trap) -> None:
    at.config("core.fsmonitor")
    elsewhere = at.program.with_name("elsewhere")
    at.git_dir.rename(elsewhere)
    at.git_dir.write_text(f"gitdir: {elsewhere}\n", encoding="utf-8")


@vector()
def common_dir(at: Trap) -> None:
    at.config("core.fsmonitor")
    other = at.program.with_name("worktree")
    git(at.folder, "worktree", "add", "--detach", str(other), env={"GIT_CONFIG_COUNT": "0"})
    at.canary.unlink(missing_ok=True)
    at.git_dir.rename(at.folder.with_name("real"))
    real = at.folder.with_name("real")
    (linked,) = (real / "worktrees").iterdir()
    (linked / "gitdir").write_text(f"{at.folder}/.git\n", encoding="utf-8")
    at.git_dir.write_text(f"gitdir: {linked}\n", encoding="utf-8")


@vector()
def post_index_change(at: Trap) -> None:
    at.hook("post-index-change")
    at.touch()


@vector()
def hooks_path(at: Trap) -> None:
    at.hook("post-index-change", at.program.with_name("hooks"))
    at.config("core.hooksPath", str(at.program.with_name("hooks")))
    at.touch()


def _submodule(at: Trap) -> Path:
    node = at.folder / "custom_nodes" / "node"
    node.mkdir(parents=True)
    (node / "a.py").write_text("a\n", encoding="utf-8")
    (node / ".gitattributes").write_text("* filter=x\n", encoding="utf-8")
    git(node, "init", "-q", "--template=")
    git(node, "add", "-A")
    git(node, "commit", "-q", "-m", "node")
    git(at.folder, "-c", "advice.addEmbeddedRepo=false", "add", "custom_nodes/node")
    git(at.folder, "commit", "-q", "-m", "with a node")
    return node


@vector()
def filter_of_a_submodule(at: Trap) -> None:
    node = _submodule(at)
    git(node, "config", "filter.x.clean", str(at.program))
    os.utime(node / "a.py", (1, 1))


@vector()
def fsmonitor_of_a_submodule(at: Trap) -> None:
    git(_submodule(at), "config", "core.fsmonitor", str(at.program))


# -- what a missing object has git fetch --------------------------------------------------------------------------


@vector(keeps_tree=False)
def promisor_with_uploadpack(at: Trap) -> None:
    at.promise(str(at.folder), uploadpack=str(at.program))


@vector(keeps_tree=False)
def partial_clone(at: Trap) -> None:
    at.lose_tree()
    at.config("core.repositoryformatversion", "1")
    at.config("extensions.partialClone", "origin")
    at.config("remote.origin.url", str(at.folder))
    at.config("remote.origin.uploadpack")


@vector(keeps_tree=False)
def promisor_with_ext(at: Trap) -> None:
    at.config("protocol.ext.allow", "always")
    at.promise(f"ext::{at.program} %S")


@vector(keeps_tree=False)
def promisor_with_every_protocol(at: Trap) -> None:
    at.config("protocol.allow", "always")
    at.promise(f"ext::{at.program} %S")


@vector(keeps_tree=False)
def promisor_with_a_helper(at: Trap) -> None:
    at.config("protocol.ext.allow", "always")
    at.promise(f"{at.program} %S", vcs="ext")


@vector(keeps_tree=False)
def promisor_with_ssh_command(at: Trap) -> None:
    at.config("core.sshCommand")
    at.promise("ssh://127.0.0.1/a/b")


@vector(keeps_tree=False)
def promisor_with_git_proxy(at: Trap) -> None:
    at.config("core.gitProxy")
    at.promise("git://127.0.0.1/a/b")


@vector(keeps_tree=False)
def promisor_with_credential_helper(at: Trap) -> None:
    at.config("credential.helper")
    at.promise(at.login)


@vector(keeps_tree=False)
def promisor_with_askpass(at: Trap) -> None:
    at.config("core.askPass")
    at.promise(at.login)


@vector(keeps_tree=False)
def promisor_with_instead_of(at: Trap) -> None:
    at.config("protocol.ext.allow", "always")
    at.config(f"url.ext::{at.program} %S .insteadOf", "https://github.com")
    at.promise("https://github.com/a/b")


# -- what showing, or a change, falls for -------------------------------------------------------------------------


@vector("checkout", "-q", "--", "main.py")
def smudge_filter(at: Trap) -> None:
    (at.folder / ".gitattributes").write_text("* filter=x\n", encoding="utf-8")
    at.config("filter.x.smudge")
    (at.folder / "main.py").unlink()


@vector("checkout", "-q", "--detach")
def post_checkout(at: Trap) -> None:
    at.hook("post-checkout")


@vector("update-ref", "refs/heads/other", "HEAD")
def reference_transaction(at: Trap) -> None:
    at.hook("reference-transaction")


@vector("diff")
def external_diff(at: Trap) -> None:
    at.config("diff.external")
    (at.folder / "main.py").write_text("mine\n", encoding="utf-8")


@vector("diff")
def diff_driver(at: Trap) -> None:
    (at.folder / ".gitattributes").write_text("* diff=x\n", encoding="utf-8")
    at.config("diff.x.command")
    (at.folder / "main.py").write_text("mine\n", encoding="utf-8")


@vector("diff")
def text_conversion(at: Trap) -> None:
    (at.folder / ".gitattributes").write_text("* diff=x\n", encoding="utf-8")
    at.config("diff.x.textconv")
    (at.folder / "main.py").write_text("mine\n", encoding="utf-8")


@vector("log", "-1")
def signature(at: Trap) -> None:
    at.config("log.showSignature", "true")
    at.config("gpg.program")
    raw = git(at.folder, "cat-file", "commit", "HEAD")
    head, _, rest = raw.partition("\n\n")
    begin, end = "-----BEGIN PGP SIGNATURE-----", "-----END PGP SIGNATURE-----"
    signed = f"{head}\ngpgsig {begin}\n \n x\n {end}\n\n{rest}".encode()
    import hashlib

    whole = b"commit %d\0" % len(signed) + signed
    name = hashlib.sha1(whole, usedforsecurity=False).hexdigest()
    place = at.git_dir / "objects" / name[:2] / name[2:]
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(zlib.compress(whole))
    (at.git_dir / "refs" / "heads" / "master").write_text(f"{name}\n", encoding="ascii")


@vector("gc", "--auto")
def pre_auto_gc(at: Trap) -> None:
    at.hook("pre-auto-gc")
    at.config("gc.auto", "1")
    for number in range(600):  # more than one in the folder that git counts
        path = at.git_dir / "objects" / "17" / f"{number:038x}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")


@vector("commit", "--allow-empty")
def editor(at: Trap) -> None:
    at.config("core.editor")


@vector("rebase", "-i", "--root")
def sequence_editor(at: Trap) -> None:
    at.config("sequence.editor")


@vector("interpret-trailers", "--trailer", "x: y", "main.py")
def trailer(at: Trap) -> None:
    at.config("trailer.x.command")


@vector("commit", "-q", "-S", "--allow-empty", "-m", "x")
def signing(at: Trap) -> None:
    at.config("gpg.program")
    at.config("commit.gpgSign", "true")
    at.config("tag.gpgSign", "true")


@vector("submodule", "update")
def submodule_update(at: Trap) -> None:
    node = _submodule(at)
    (at.folder / ".gitmodules").write_text(
        f'[submodule "node"]\n\tpath = custom_nodes/node\n\turl = {node}\n', encoding="utf-8"
    )
    at.config("submodule.node.url", str(node))
    at.config("submodule.node.active", "true")
    at.config("submodule.node.update", f"!{at.program}")
    git(node, "commit", "-q", "--allow-empty", "-m", "newer")


@vector("x")
def alias(at: Trap) -> None:
    for name in ("x", "status", "rev-parse", "lfs"):
        at.config(f"alias.{name}", f"!{at.program}")


# -- what asking a server falls for -------------------------------------------------------------------------------


@vector("fetch", "origin")
def upload_pack(at: Trap) -> None:
    at.config("remote.origin.url", str(at.folder))
    at.config("remote.origin.uploadpack")


@vector("ls-remote", "https://github.com/a/b")
def instead_of_ext(at: Trap) -> None:
    at.config("protocol.ext.allow", "always")
    for scheme in ("https://", "http://", "/", "file:///"):
        at.config(f"url.ext::{at.program} %S .insteadOf", scheme)


@vector("ls-remote", "https://github.com/a/b")
def instead_of_ssh(at: Trap) -> None:
    at.config("core.sshCommand")
    for scheme in ("https://", "http://", "/", "file:///"):
        at.config("url.ssh://127.0.0.1/.insteadOf", scheme)


@vector("ls-remote", "LOGIN")
def credential_helper(at: Trap) -> None:
    at.config("credential.helper")


@vector("ls-remote", "LOGIN")
def askpass(at: Trap) -> None:
    at.config("core.askPass")


@vector("fetch", "OTHER")
def alternate_refs(at: Trap) -> None:
    other = at.program.with_name("alternate")
    git(at.folder, "clone", "-q", "--bare", str(at.folder), str(other))
    (at.git_dir / "objects" / "info").mkdir(exist_ok=True)
    (at.git_dir / "objects" / "info" / "alternates").write_text(f"{other}/objects\n", encoding="utf-8")
    at.config("core.alternateRefsCommand")
    make_checkout(at.program.with_name("other"))
