"""The ways to a git server: as the person's configuration of git leads there, then without it.

A person's configuration is read as data. Of it git is given what says how a server is reached (a proxy, certificates, a
mirror by `url.*.insteadOf`, an ssh), and never the files themselves: hooks, filters, templates, credential helpers and
the like do not exist for it. Git asks nobody: no terminal, no window, no ssh that waits for a word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from provision.command import Fix, program
from provision.system.git_program import NOWHERE, GitFailed, environment, plain, run_git
from provision.system.tls import named_bundle

T = TypeVar("T")

PROTOCOLS = {"https": "https", "http": "http:https", "ssh": "ssh", "file": "file"}
HTTP = re.compile(
    r"http\.(?:.*\.)?(?:proxy|proxyauthmethod|proxyssl\w+|ssl(?:verify|cert|key|ca\w+|backend|version|cipherlist)"
    r"|version|extraheader|useragent|cookiefile|curloptresolve|emptyauth|pinnedpubkey)"
)
"""The settings of `http` that lead to a server (git-config(1)); redirects and time limits are ours."""
INSTEAD_OF = re.compile(r"url\.(.*)\.insteadof", re.DOTALL)
SSH = re.compile(r"((?:\S*/)?ssh)(?=\s|$)")
NO_QUESTIONS = "-o BatchMode=yes -o ConnectTimeout=20 -o ServerAliveInterval=15 -o ServerAliveCountMax=4"
PERSONS = (
    "GIT_SSH_VARIANT",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "GIT_SSL_CERT",
    "GIT_SSL_KEY",
    "GIT_SSL_NO_VERIFY",
    "GIT_PROXY_SSL_CAINFO",
    "GIT_HTTP_PROXY_AUTHMETHOD",
)
"""What a person's environment may say of the way to a server."""
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of a person's configuration: git's name for it (small letters but for the middle), and its file."""

    key: str
    value: str
    file: str


class Misled(GitFailed):
    """The server did not answer as the person's configuration leads there, nor without; `fix` names the setting."""

    def __init__(self, message: str, fix: Fix) -> None:
        super().__init__(message)
        self.fix = fix


def read_settings(environ: Mapping[str, str]) -> tuple[Setting, ...]:
    """What the person's and the system's configuration say; nothing where git cannot read it. Raises CommandMissing."""
    words = ("config", "--null", "--show-origin", "--includes", "--list")
    try:
        told = run_git(words, environment(persons=environ)).split("\0")[:-1]
    except GitFailed:
        return ()
    pairs = [(file, entry.partition("\n")) for file, entry in zip(told[::2], told[1::2], strict=False)]
    return tuple(
        Setting(key, value if has_value else "true", file.removeprefix("file:"))
        for file, (key, has_value, value) in pairs
        if file.startswith("file:")
    )


def by_each_way(url: str, environ: Mapping[str, str], ask: Callable[[dict[str, str]], T], git_dir: Path | None) -> T:
    """Do `ask` with the environment in which git reaches `url`: the person's way, and where that fails the plain one.

    Raises Misled where both fail, else GitFailed, CommandMissing and what `ask` raises.
    """
    said = read_settings(environ)
    leading = tuple(each for each in said if HTTP.fullmatch(each.key) or INSTEAD_OF.fullmatch(each.key))
    ssh = next((each.value for each in reversed(said) if each.key == "core.sshcommand"), "")
    try:
        return ask(_environment(url, environ, leading, ssh, git_dir))
    except GitFailed as error:
        if not leading:
            raise
        first = error
    try:
        return ask(_environment(url, environ, (), "", git_dir))
    except GitFailed as error:
        if (guilty := _in_the_way(url, leading)) is None:
            raise first from error
        says = f"{plain(guilty.file)} sets {plain(guilty.key)} to {plain(_shown(guilty))}"
        command = program("git", "config", "--file", guilty.file, "--unset-all", guilty.key)
        fix = Fix("Correct or remove that setting:", command)
        raise Misled(f"{first}. {says}; without it: {error}", fix) from error


def _in_the_way(url: str, leading: Sequence[Setting]) -> Setting | None:
    """The setting that most likely leads astray: one that changes the address, else a proxy."""
    for each in leading:
        if INSTEAD_OF.fullmatch(each.key) and each.value and url.startswith(each.value):
            return each
    return next((each for each in reversed(leading) if each.key.endswith(".proxy") and each.value), None)


def _shown(setting: Setting) -> str:
    """A value without the name and password that an address may have."""
    return re.sub(r"//[^/@]*@", "//", setting.value)


def _environment(
    url: str, environ: Mapping[str, str], leading: Sequence[Setting], ssh: str, git_dir: Path | None
) -> dict[str, str]:
    """What git is started with to ask the server at `url`: one protocol, and the settings that lead there.

    Raises GitFailed where these make something else of the address.
    """
    settings = [(each.key, each.value) for each in leading]
    if bundle := named_bundle(environ):
        settings.append(("http.sslCAInfo", bundle))
    reached = url
    if any(INSTEAD_OF.fullmatch(key) for key, _ in settings):
        reached = run_git(("ls-remote", "--get-url", "--", url), environment(settings=settings)).strip()
    protocols = protocols_for(reached)
    if not protocols:
        raise GitFailed(f"git's configuration redirects to {reached}, which is not an https, http, ssh or file address")
    persons = {name: environ[name] for name in PERSONS if name in environ}
    proxies = {name: environ[name] for each in PROXIES for name in (each, each.upper()) if name in environ}
    asked = environ.get("GIT_SSH_COMMAND") or ssh or environ.get("GIT_SSH") or "ssh"
    return {
        **proxies,
        **environment(git_dir or NOWHERE, protocols=protocols, settings=settings),
        **persons,
        "GIT_SSH_COMMAND": without_questions(asked),
        "SSH_ASKPASS_REQUIRE": "never",
    }


def without_questions(ssh: str) -> str:
    """A command that runs ssh, so that it fails where it would ask; another program is left as it is."""
    return SSH.sub(rf"\1 {NO_QUESTIONS}", ssh, count=1) if SSH.match(ssh) else ssh


def protocols_for(url: str) -> str:
    """The protocols that git may speak for an address, joined by colons; empty where it is not asked at all."""
    return PROTOCOLS.get(scheme_of(url), "")


def scheme_of(url: str) -> str:
    """The protocol of an address as git reads it: `https`, `ssh` (also `host:path`), `file` (also a path), `ext` ..."""
    if found := re.match(r"([A-Za-z0-9+.-]+)::", url):
        return found[1]
    if found := re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", url):
        return found[1].lower()
    colon, slash = url.find(":"), url.find("/")
    return "ssh" if colon > 0 and (slash < 0 or colon < slash) else "file"
