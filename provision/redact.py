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
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

NAME_LEAST, SECRET_LEAST = 2, 4
"""Shorter names and secrets are in every text."""
PUBLIC_NAMES = frozenset({"root", "user", "admin", "localhost", "runner", "ubuntu", "host", "token", "mac", "home"})
"""Names that tell nothing of a person, and words of the placeholders themselves."""
TOKEN, EMAIL, ADDRESS, QUERY, USER, HOST = "[token]", "[email]", "[address]", "[query]", "[user]", "[host]"


@dataclass(frozen=True, slots=True)
class Person:
    """What is known of whoever runs this: folders that become `~`, names, hosts, secret values."""

    folders: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()


# Each with what stands in its place; in this order, since what comes later would cut up what comes before.
FORMS: tuple[tuple[re.Pattern[str], str], ...] = (
    # A header that carries a secret, to the end of its line or of its quoted value.
    (re.compile(r"(?i)((?:proxy-)?authorization|(?:set-)?cookie|x-api-key|private-token)([\"']?\s*[:=]\s*)"
                r"(?:\"[^\"\n]*\"|'[^'\n]*'|[^\n\"',}]+)"), rf"\1\2{TOKEN}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}"), rf"\1 {TOKEN}"),
    # Name and password in an address.
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/?#\"'<>]*@"), rf"\1{TOKEN}@"),
    # A query or a fragment of an address may be a signature.
    (re.compile(r"(?i)([a-z][a-z0-9+.-]*://[^\s?#\"'<>]*)[?#][^\s\"'<>]+"), rf"\1?{QUERY}"),
    (re.compile(r"\?[^\s\"'<>=]+=[^\s\"'<>]*"), f"?{QUERY}"),
    (re.compile(r"(?i)\b(x-amz-[a-z-]+|signature|policy|key-pair-id|[\w-]*(?:token|secret|password|passwd|api[_-]?key))"
                r"([\"']?\s*[=:]\s*)(?:\"[^\"\n]*\"|'[^'\n]*'|[^\s\"',;&}\[]+)"), rf"\1\2{TOKEN}"),
    # Tokens by their form: Hugging Face, GitHub, GitLab, OpenAI and its like, Slack, Amazon, Google, JSON web tokens.
    (re.compile(r"(?:hf|api_org)_[A-Za-z0-9]{8,}|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}"
                r"|sk-[\w-]{16,}|xox[abprs]-[\w-]{8,}|(?:AKIA|ASIA)[A-Z0-9]{12,}|AIza[\w-]{20,}|ya29\.[\w.-]{10,}"
                r"|eyJ[\w-]{6,}\.[\w-]+(?:\.[\w-]*)?"), TOKEN),
    (re.compile(r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)+"), EMAIL),
    (re.compile(r"(?i)(?<![0-9a-f:])(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}(?![0-9a-f:])"), ADDRESS),
)  # fmt: skip
IP6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*[0-9A-Fa-f:](?:%\w+)?(?![\w:])")
IP4 = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?!\.?\d)")
OTHERS_HOME = re.compile(r"(?i)(?<![\w~])/(?:Users|home)/(?!Shared\b)[^/\s\"'`:;,)\]]+")


def redact(text: str, person: Person) -> str:
    """The text without secrets, addresses, names and home paths."""
    secrets = (form for secret in person.secrets if len(secret) >= SECRET_LEAST for form in _spellings(secret))
    for secret in _longest_first(secrets, SECRET_LEAST):
        text = text.replace(secret, TOKEN)
    for pattern, place in FORMS:
        text = pattern.sub(place, text)
    text = IP6.sub(_hide_address, text)
    text = IP4.sub(_hide_address, text)
    for folder in _longest_first((form for each in person.folders for form in _spellings(each.rstrip("/"))), 3):
        text = re.sub(rf"{re.escape(folder)}(?![\w.-])", "~", text, flags=re.IGNORECASE)
    text = OTHERS_HOME.sub("~", text)
    text = _without_words(text, person.hosts, HOST)
    return _without_words(text, person.names, USER)


def _hide_address(found: re.Match[str]) -> str:
    """The placeholder for an address of a machine; loopback and `all addresses` tell nothing."""
    try:
        address = ipaddress.ip_address(found[0].partition("%")[0].rstrip("."))
    except ValueError:
        return found[0]
    return found[0] if address.is_loopback or address.is_unspecified else ADDRESS


def _without_words(text: str, words: Iterable[str], place: str) -> str:
    forms = (form for word in words if word.lower() not in PUBLIC_NAMES for form in _spellings(word))
    for word in _longest_first(forms, NAME_LEAST):
        text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])", place, text, flags=re.IGNORECASE)
    return text


def _spellings(word: str) -> set[str]:
    """A name or a path as it is, as macOS composes it, and as addresses, JSON, Python and shells write it."""
    forms = {word, unicodedata.normalize("NFC", word), unicodedata.normalize("NFD", word)}
    forms |= {json.dumps(form)[1:-1] for form in forms} | {quote(form) for form in forms}
    forms |= {form.replace(" ", "\\ ") for form in forms} | {form.replace("'", "\\'") for form in forms}
    return forms


def _longest_first(words: Iterable[str], least: int) -> list[str]:
    return sorted({word for word in words if len(word) >= least}, key=lambda word: (-len(word), word))
