"""Taking out of a text what tells who wrote it and what lets others in: pure.

What is recognised by its form (tokens, e-mail and IP addresses) goes whoever's it is; what is known by its value (the
home folder, the user, the host, tokens of this machine) goes in every spelling. Rather too much than too little: a
version of four numbers is taken for an address.
"""

from __future__ import annotations

import ipaddress
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, quote_plus

NAME_LEAST, SECRET_LEAST = 2, 4
"""Shorter names and secrets are in every text."""
WITHIN_LEAST = 5
"""A name of Latin letters goes within longer words from this length on: `mark` is in benchmark."""
PUBLIC_NAMES = frozenset({
    "root", "user", "admin", "localhost", "runner", "ubuntu", "host", "token", "mac", "home", "macbook", "email",
    "address", "query", "serial", "test", "guest", "python", "torch", "model", "models", "comfyui", "provision",
})  # fmt: skip
"""Names that tell nothing of a person, words of the placeholders themselves, and of every such report."""
TOKEN, EMAIL, ADDRESS, QUERY, USER, HOST = "[token]", "[email]", "[address]", "[query]", "[user]", "[host]"
SERIAL = "[serial]"


@dataclass(frozen=True, slots=True)
class Person:
    """What is known of whoever runs this: folders that become `~`, names, hosts, secret values."""

    folders: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()


# A value in quotes: as the shell quotes a quote (shlex), as JSON does, and plainly.
QUOTED = r"""'"'"'[^'\n]*(?:'"'"')?|\\+"[^"\\\n]*(?:\\+")?|"[^"\n]*"|'[^'\n]*'"""
# Each with what stands in its place; in this order, since what comes later would cut up what comes before.
FORMS: tuple[tuple[re.Pattern[str], str], ...] = (
    # A header that carries a secret, to the end of its line or of its quoted value.
    (re.compile(r"(?i)((?:proxy-)?authorization|(?:set-)?cookie|x-api-key|private-token)([\"']?\s*[:=]\s*)"
                rf"(?:{QUOTED}|[^\n\"',}}]+)"), rf"\1\2{TOKEN}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}"), rf"\1 {TOKEN}"),
    # Name and password in an address.
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/?#\"'<>]*@"), rf"\1{TOKEN}@"),
    # A query or a fragment of an address may be a signature.
    (re.compile(r"(?i)([a-z][a-z0-9+.-]*://[^\s?#\"'<>]*)[?#][^\s\"'<>]+"), rf"\1?{QUERY}"),
    (re.compile(r"\?[^\s\"'<>=]+=[^\s\"'<>]*"), f"?{QUERY}"),
    (re.compile(r"(?i)\b(x-amz-[a-z-]+|signature|policy|key-pair-id"
                r"|[\w-]*(?:token|secret(?:[_-][\w-]+)?|password|passwd|(?:api|access|private)[_-]?key))"
                rf"([\"']?\s*[=:]\s*)(?:{QUOTED}|[^\s\"',;&}}\[]+)"), rf"\1\2{TOKEN}"),
    (re.compile(r"(?i)((?:^|\s)(?:-u|--user|--proxy-user)[ =])\S+:\S+"), rf"\1{TOKEN}"),
    (re.compile(r"(?i)((?:^|\s)--?(?:token|password|secret|api-key) )[^\s-]\S*"), rf"\1{TOKEN}"),
    # Tokens by their form: Hugging Face, GitHub, GitLab, OpenAI and its like, Slack, Amazon, Google, JSON web tokens.
    (re.compile(r"(?:hf|api_org)_[A-Za-z0-9]{8,}|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}"
                r"|sk-[\w-]{16,}|xox[abprs]-[\w-]{8,}|(?:AKIA|ASIA)[A-Z0-9]{12,}|AIza[\w-]{20,}|ya29\.[\w.-]{10,}"
                r"|eyJ[\w-]{6,}\.[\w-]+(?:\.[\w-]*)?"), TOKEN),
    (re.compile(r"(?i)[\w.+%-]+(?:@|%40)[\w-]+(?:\.[\w-]+)+"), EMAIL),
    # What tells one machine: its serial number and its other numbers, a person's folder for temporary files.
    (re.compile(r"(?i)(serial(?: ?number)?(?: \(system\))?[\"']?\s*[:=]\s*[\"']?)[\w-]{6,}"), rf"\1{SERIAL}"),
    (re.compile(r"(?i)(?<![0-9a-f-])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9a-f-])"), SERIAL),
    (re.compile(r"(?i)(/var/folders/)[^/\s\"']+/[^/\s\"']+"), rf"\1{USER}"),
    (re.compile(r"(?i)(?<![\w.])(?:[0-9a-f]{4}\.){2}[0-9a-f]{4}(?![\w.])"), ADDRESS),
    (re.compile(r"(?i)(?<![0-9a-f:])(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}(?![0-9a-f:])"), ADDRESS),
)  # fmt: skip
IP6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*[0-9A-Fa-f:](?:%\w+)?(?![\w:])")
IP4 = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?!\.?\d)")
OTHERS_HOME = re.compile(r"(?i)(?<![\w~])(/|%2F)(?:Users|home)(?:/|%2F)(?!Shared\b)(?:(?!%2F)[^/\s\"'`:;,)\]])+")


def redact(text: str, person: Person) -> str:
    """The text without secrets, addresses, names and home paths."""
    known = _known(person)
    text = known.secrets.sub(TOKEN, text)
    for pattern, place in FORMS:
        text = pattern.sub(place, text)
    text = IP6.sub(_hide_address, text)
    text = IP4.sub(_hide_address, text)
    text = known.folders.sub("~", text)
    text = OTHERS_HOME.sub("~", text)
    return known.names.sub(USER, known.hosts.sub(HOST, text))


@dataclass(frozen=True, slots=True)
class _Known:
    """What is looked for by its value, as patterns."""

    secrets: re.Pattern[str]
    folders: re.Pattern[str]
    hosts: re.Pattern[str]
    names: re.Pattern[str]


@lru_cache(maxsize=4)
def _known(person: Person) -> _Known:
    secrets = (form for secret in person.secrets if len(secret) >= SECRET_LEAST for form in _spellings(secret))
    folders = (form for folder in person.folders for form in _spellings(folder.rstrip("/")))
    return _Known(
        secrets=_any_of(map(re.escape, _longest_first(secrets, SECRET_LEAST))),
        folders=_any_of(rf"{re.escape(folder)}(?![\w.-])" for folder in _longest_first(folders, 3)),
        hosts=_any_of(_words(person.hosts)),
        names=_any_of(_words(person.names)),
    )


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    """The first that fits of some patterns, whatever the case of letters; none where there are none."""
    return re.compile("|".join(patterns) or r"(?!)", re.IGNORECASE)


def _hide_address(found: re.Match[str]) -> str:
    """The placeholder for an address of a machine; loopback and `all addresses` tell nothing."""
    try:
        address = ipaddress.ip_address(found[0].partition("%")[0].rstrip("."))
    except ValueError:
        return found[0]
    return found[0] if address.is_loopback or address.is_unspecified else ADDRESS


def _words(words: Iterable[str]) -> Iterator[str]:
    """The pattern of each name in each spelling; a short one of Latin letters only as a word of its own."""
    forms = (form for word in words if word.lower() not in PUBLIC_NAMES for form in _spellings(word))
    for form in _longest_first(forms, NAME_LEAST):
        pattern = re.escape(form)
        alone = form.isascii() and len(form) < WITHIN_LEAST
        yield rf"(?:(?<![A-Za-z])|(?<=%[0-9A-F][0-9A-F])){pattern}(?![A-Za-z])" if alone else pattern


def _spellings(word: str) -> set[str]:
    """A name or a path as it is, as macOS composes it, and as addresses, JSON, Python and shells write it."""
    forms = {word, word.upper(), word.casefold()}  # which are not always of one length
    forms |= {unicodedata.normalize(kind, form) for form in forms for kind in ("NFC", "NFD")}
    forms |= {json.dumps(form)[1:-1] for form in forms} | {repr(form.encode())[2:-1] for form in forms}
    forms |= {quoted(form) for form in forms for quoted in (quote, quote_plus, lambda text: quote(text, safe=""))}
    forms |= {re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), form) for form in forms}
    forms |= {form.replace(" ", "\\ ") for form in forms} | {form.replace("'", "\\'") for form in forms}
    return forms


def _longest_first(words: Iterable[str], least: int) -> list[str]:
    return sorted({word for word in words if len(word) >= least}, key=lambda word: (-len(word), word))
