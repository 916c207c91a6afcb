"""The person's own settings of git, uv, pip, wget, curl and the hub's clients."""

from __future__ import annotations

import subprocess
from typing import Any

from tests.states.state import ALL, Place, State, Stops

GONE = "http://127.0.0.1:9"
"""A port at which nobody listens."""
HOOK = '#!/bin/sh\necho "git-lfs was not found on your path" >&2\nexit 2\n'


def _git(name: str, *lines: str, **more: Any) -> State:
    """A state of ~/.gitconfig; each line is `section.key=value`, as git itself writes them."""

    def write(at: Place) -> None:
        for line in lines:
            key, _, value = line.replace("{folder}", str(at.folder)).partition("=")
            path = at.person / ".gitconfig"
            subprocess.run(("git", "config", "--file", path, "--add", key, value), check=True)

    return State(f"git: {name}", set_up=write, **more)


def _hooks(*keys: str) -> State:
    def write(at: Place) -> None:
        at.give(
            {},
            {
                f"{folder}/{hook}": HOOK
                for folder in ("hooks", "template/hooks")
                for hook in ("post-checkout", "post-merge", "reference-transaction")
            },
        )
        for hook in at.person.glob("**/hooks/*"):
            hook.chmod(0o755)
        for key in keys:
            name, _, value = key.partition("=")
            subprocess.run(
                ("git", "config", "--file", at.person / ".gitconfig", name, f"{at.person}/{value}"), check=True
            )

    return State(f"git: hooks that fail, of {keys[0].partition('=')[0]}", set_up=write)


def _ssh(script: str, name: str) -> State:
    def write(at: Place) -> None:
        at.program("ssh", script)
        at.give({}, {".gitconfig": '[url "ssh://git@127.0.0.1/"]\n\tinsteadOf = http://127.0.0.1\n'})

    return State(f"git: addresses lead to {name}", set_up=write)


def _uv(name: str, text: str, **more: Any) -> State:
    return State(f"uv.toml: {name}", {"XDG_CONFIG_HOME": None}, {".config/uv/uv.toml": text}, **more)


GIT = (
    _git("core.autocrlf and core.eol=crlf", "core.autocrlf=true", "core.eol=crlf", "core.safecrlf=true"),
    _git("color.ui=always, a pager", "color.ui=always", "core.pager=sleep 600", "pager.log=true"),
    _git("fsckObjects", "transfer.fsckObjects=true", "fetch.fsckObjects=true"),
    _git("safe.bareRepository=explicit", "safe.bareRepository=explicit"),
    _git(
        "a filter of a git-lfs that is gone",
        "filter.lfs.process=/nope/git-lfs filter-process",
        "filter.lfs.smudge=/nope/git-lfs smudge -- %f",
        "filter.lfs.required=true",
    ),
    _git(
        "an attributes file with eol=crlf and filters",
        "core.attributesFile={folder}/person/attributes",
        "filter.x.smudge=false",
        "filter.x.required=true",
        files={"attributes": "* text eol=crlf filter=x\n"},
    ),
    _git("a low speed limit", "http.lowSpeedLimit=1000000000", "http.lowSpeedTime=1"),
    _git("a credential helper that sleeps", "credential.helper=!sleep 600"),
    _git("a file system monitor that sleeps", "core.fsmonitor=sleep 600", "core.untrackedCache=true"),
    _git("commits and tags are to be signed", "commit.gpgSign=true", "tag.gpgSign=true", "gpg.program=/nope"),
    _git("protocol.allow=never", "protocol.allow=never"),
    _git(
        "partial clones, bundles, another format",
        "fetch.bundleURI=http://127.0.0.1:9/",
        "core.bigFileThreshold=1",
        "init.defaultObjectFormat=sha256",
        "init.defaultRefFormat=reftable",
        "clone.defaultRemoteName=theirs",
    ),
    _git("a dead http.proxy", f"http.proxy={GONE}"),
    _git("addresses lead to a dead mirror", f"url.{GONE}/.insteadOf=http://127.0.0.1"),
    _hooks("core.hooksPath=hooks"),
    _hooks("init.templateDir=template"),
    _ssh("exec sleep 600", "an ssh that waits"),
    _ssh("echo 'Permission denied (publickey).' >&2; exit 255", "an ssh that refuses"),
    State(
        "git: ~/.gitconfig is broken",
        files={".gitconfig": "this is no configuration\n"},
        warns=frozenset({"git-config"}),
    ),
    State("git: ~/.gitconfig includes what is not there", files={".gitconfig": "[include]\n\tpath = /proc/nope\n"}),
    State(
        "git: GIT_CONFIG_COUNT, GIT_SSH, GIT_ASKPASS and GIT_TRACE",
        {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{GONE}/.insteadOf",
            "GIT_CONFIG_VALUE_0": "http://127.0.0.1",
            "GIT_SSH": "/nope",
            "GIT_ASKPASS": "/nope",
            "GIT_TRACE": "1",
            "GIT_CURL_VERBOSE": "1",
        },
    ),
)
UV = (
    _uv("exclude-newer", 'exclude-newer = "2024-01-01T00:00:00Z"\n'),
    _uv("offline", "offline = true\n"),
    _uv("require-hashes", "[pip]\nrequire-hashes = true\n"),
    _uv("no-binary", '[pip]\nno-binary = [":all:"]\n'),
    _uv("no-build and only-binary", 'no-build = true\n[pip]\nonly-binary = [":none:"]\n'),
    _uv("a target, a Python, a resolution", '[pip]\ntarget = "/nope"\npython = "2.7"\nresolution = "lowest"\n'),
    _uv("link-mode, a cache that cannot be", 'link-mode = "symlink"\ncache-dir = "/proc/nope"\n'),
    _uv("python-downloads=never", 'python-downloads = "never"\npython-preference = "only-managed"\n'),
    _uv("constraints", 'constraint-dependencies = ["torch<2", "numpy<1"]\n'),
    _uv("it is no TOML", "this is = = no TOML\n", warns=frozenset({"uv-config"})),
    _uv("a key that this uv does not know", "never-heard-of = 7\n"),
    _uv(
        "an index that is dead",
        f'[[index]]\nurl = "{GONE}/simple"\ndefault = true\n',
        stops=Stops("net-down", ("127.0.0.1:9",), seen="net-down"),
    ),
    State(
        "uv: UV_OFFLINE, UV_EXCLUDE_NEWER, UV_NO_BINARY",
        {
            "UV_OFFLINE": "1",
            "UV_EXCLUDE_NEWER": "2024-01-01",
            "UV_NO_BINARY": "1",
            "UV_REQUIRE_HASHES": "1",
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_CONSTRAINT": "/nope",
            "UV_TARGET": "/nope",
            "UV_PROJECT": "/nope",
        },
    ),
)
OTHERS = (
    State(
        "pip.conf: require-hashes, no-binary, a target, user",
        files={
            ".config/pip/pip.conf": "[global]\nrequire-hashes = true\nno-binary = :all:\ntarget = /nope\nuser = true\n"
        },
    ),
    State(
        "pip: PIP_REQUIRE_VIRTUALENV, PIP_TARGET, PIP_NO_INDEX",
        {"PIP_REQUIRE_VIRTUALENV": "1", "PIP_TARGET": "/nope", "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": "/nope"},
    ),
    State("~/.netrc with a wrong default", files={".netrc": "default login nobody password wrong\n"}),
    State("~/.netrc is broken", files={".netrc": "machine\nlogin ] \x01 password\n"}),
    State("~/.curlrc with a dead proxy", files={".curlrc": f"proxy = {GONE}\noutput = /nope\n"}),
    State(
        "~/.wgetrc with a quota, recursion, another file, a dead proxy",
        files={
            ".wgetrc": f"quota = 1k\nrecursive = on\noutput_document = /nope\nhttp_proxy = {GONE}\nuse_proxy = on\n"
        },
        words=(*ALL, "--backend", "wget"),
    ),
    State("hub: HF_HOME on a disk that is gone", {"HF_HOME": "/proc/nope/hf"}, words=(*ALL, "--backend", "hf")),
    State(
        "hub: HF_HUB_OFFLINE", {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "yes"}, words=(*ALL, "--backend", "hf")
    ),
    State("hub: HF_TOKEN ends with a newline", {"HF_TOKEN": "hf_abcdefghijklmnop\n"}, words=(*ALL, "--backend", "hf")),
    State("hub: HF_TOKEN in quotes", {"HF_TOKEN": '"hf_abcdefghijklmnop"'}, words=(*ALL, "--backend", "hf")),
    State("hub: HF_TOKEN with letters that no token has", {"HF_TOKEN": "hf_größe…"}, words=(*ALL, "--backend", "hf")),
    State("hub: a token file that is a folder", {"HF_TOKEN_PATH": "/tmp"}, words=(*ALL, "--backend", "hf")),
    State(
        "hub: time limits that are no numbers",
        {"HF_HUB_DOWNLOAD_TIMEOUT": "10s", "HF_HUB_ETAG_TIMEOUT": "", "HF_XET_NUM_CONCURRENT_RANGE_GETS": "many"},
        words=(*ALL, "--backend", "hf"),
    ),
    State(
        "hub: HF_HUB_ENABLE_HF_TRANSFER, HF_DEBUG, no progress",
        {
            "HF_HUB_ENABLE_HF_TRANSFER": "1",
            "HF_DEBUG": "1",
            "HF_HUB_VERBOSITY": "nope",
            "HF_HUB_DISABLE_PROGRESS_BARS": "maybe",
        },
        words=(*ALL, "--backend", "hf"),
    ),
)
