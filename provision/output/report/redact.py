"""Removes secrets and personal details from a text. Pure.

Some are recognised by their form (keys, addresses, homes, volumes, names of machines), others by their value in every
spelling (this home folder, user, host, these tokens). Versions, hashes, packages, times and ports stay. When in doubt,
it is removed.
"""

from __future__ import annotations

import ipaddress
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, quote_plus

from provision.output.report import secret_forms
from provision.system.visible import COLOURS, HIDDEN

NAME_LEAST, SECRET_LEAST = 2, 4
"""Shorter names and secrets are in every text."""
WITHIN_LEAST = 5
"""A name of Latin letters goes within longer words from this length on: `mark` is in benchmark."""
ACCOUNTS = ("root", "user", "admin", "guest", "test", "runner", "ubuntu")
HOSTS = ("localhost", "host", "mac", "macbook")
PLACEHOLDERS = ("token", "email", "address", "query", "serial", "home", "volume")
OURS = ("python", "torch", "model", "models", "comfyui", "provision")
PUBLIC_NAMES = frozenset((*ACCOUNTS, *HOSTS, *PLACEHOLDERS, *OURS))
"""Names that identify nobody."""
TOKEN, EMAIL, ADDRESS, QUERY, USER, HOST = "[token]", "[email]", "[address]", "[query]", "[user]", "[host]"
SERIAL, VOLUME = "[serial]", "[volume]"
PASSES_MAX = 6
"""What was taken out may leave something to take out; in practice the second pass finds nothing."""


@dataclass(frozen=True, slots=True)
class Person:
    """What is known of the user: folders that become `~`, names, hosts, secret values."""

    folders: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()


Place = str | Callable[[re.Match[str]], str]
"""What stands instead of a match."""

# A value in quotes: as the shell quotes a quote (shlex), as JSON does, and plainly.
QUOTED = r"""'"'"'[^'\n]*(?:'"'"')?|\\{1,8}"[^"\\\n]*(?:\\{1,8}")?|"[^"\n]*"|'[^'\n]*'"""
IS = r"\\{0,8}[\"']?\s*(?:=>|:=|[=:>])\s*"
"""Between a name and its value, in shells', JSON's, YAML's, Python's and XML's spelling."""
SEP = r"(?:\\{0,8}/|\\{1,8}|%(?:25)?2F|%(?:25)?5C|\\u002f|&#(?:47|x2f);)"
"""Between folders, in all of them, on Windows and in addresses."""
NAMED = rf"(?:(?!{SEP})[^\s\"'`:;,()\[\]<>|*?])+"


def _kept_if_plain(place: str, plain: str = secret_forms.PLAIN) -> Callable[[re.Match[str]], str]:
    """Hide the value of a name; one that is no secret stays."""
    known = re.compile(rf"(?i){plain}")

    def hide(found: re.Match[str]) -> str:
        name, value = found[1], found[2].strip("\\\"'")
        is_folder = name.lower().startswith("pwd") and value.startswith(("/", "~"))
        return found[0] if not value or is_folder or known.fullmatch(value) else f"{name}{place}"

    return hide


def _hide_near(found: re.Match[str]) -> str:
    return next(group for group in found.groups() if group) + TOKEN


def _hide_in_address(found: re.Match[str]) -> str:
    """Of an address after its `://`: name and password, the path of a webhook, and what may be a signature."""
    rest = CREDENTIALS.sub(f"{TOKEN}@", found[0], count=1)
    if hook := re.search(secret_forms.WEBHOOKS, rest, re.I):
        return rest[: hook.end()] + TOKEN
    kept, mark, _ = rest.partition("?") if "?" in rest.partition("#")[0] else rest.partition("#")
    return f"{kept}?{QUERY}" if mark and rest[len(kept) + 1 :] else rest


CREDENTIALS = re.compile(
    r"^(?:[^/?#]*@|[^/?#@:]{0,200}:(?!\d{1,5}/[^@]*@(?!(?:[\w-]+\.)+[a-z]{2,}\b)).*@(?=[\w\[]))", re.I
)
"""A password may hold any letter, a slash too; a port is none, unless a host's name follows."""

# Each with what stands in its place; in this order, since what comes later would cut up what comes before.
SECRETS: tuple[tuple[str, Place], ...] = (
    (secret_forms.PEM, TOKEN),
    # A header that carries a secret, to the end of its line or of its quoted value.
    (rf"(?i)((?:{secret_forms.HEADERS}){IS})(?:{QUOTED}|[^\n\"',}}]+)", rf"\1{TOKEN}"),
    (r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}", rf"\1 {TOKEN}"),
    (r"(?<=://)[^\s\"'<>]+", _hide_in_address),
    (
        r"(?i)(?<![\w.+%/-])[\w.+%-]{1,64}:[^\s@/\"'<>:]{3,64}@(?=(?:[\w-]+\.)+[a-z]{2,}|localhost|[\w-]+:\d{2,5}\b)",
        f"{TOKEN}@",
    ),
    (r"(?i)(\bmachine\s+\S+\s+login\s+)\S+(\s+password\s+)\S+", rf"\1{USER}\2{TOKEN}"),
    (r"\?[^\s\"'<>=?]+=[^\s\"'<>]*", f"?{QUERY}"),
    (secret_forms.KEY, TOKEN),
    (secret_forms.NEAR, _hide_near),
    (rf"(?i)(passphrase{IS})(\w[^\n\"',;}}]*)", _kept_if_plain(TOKEN)),
    (
        rf"(?i)((?:{secret_forms.LABELS}){IS})((?!\[[a-z]+\]){QUOTED}|\([^()\n]{{1,200}}\)|(?!\[[a-z]+\])[^\s\"',;&<>}}]+)",
        _kept_if_plain(TOKEN),
    ),
    (
        r"(?i)\b((?:api[ _-]?key|token|password|passphrase|secret)\s+(?:is|was|to)\s+[\"'`]?)"
        r"((?=[^\s\d]*\d)[^\s\"'`]{6,})",
        _kept_if_plain(TOKEN),
    ),
    (r"(?i)((?:^|\s)(?:-u|--user|--proxy-user)[ =])\S+:\S+", rf"\1{TOKEN}"),
    (r"(?i)((?:^|\s)--?[\w-]{0,20}(?:token|password|passphrase|secret|api-key) )[^\s-]\S*", rf"\1{TOKEN}"),
)
WHO: tuple[tuple[str, Place], ...] = (
    (r"(?i)(?<![\w.+%-])[\w.+%-]+(?:@|%40)(?:(?:[\w-]+\.)+[a-z][\w-]*|localhost\b|(?=\d+(?:\.\d+){3}\b))", EMAIL),
    # What tells one machine: its serial number and its other numbers, a person's folder for temporary files.
    (
        rf"(?i)((?:serial(?:[ _-]?(?:number|num|no))?(?: \(system\))?|\bS/?N|udid|ecid|imei|meid){IS}[\"']?)"
        r"(?=[A-Za-z-]*\d)[\w-]{6,}",
        rf"\1{SERIAL}",
    ),
    (r"(?i)(?<![0-9a-f-])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9a-f-])", SERIAL),
    (r"(?<![0-9A-Fa-f-])[0-9A-F]{8}-[0-9A-F]{16}(?![0-9A-Fa-f-])", SERIAL),
    (rf"(?i)({SEP}var{SEP}folders{SEP}){NAMED}{SEP}{NAMED}", rf"\1{USER}"),
    (r"(?i)(?<![\w.])(?:[0-9a-f]{4}\.){2}[0-9a-f]{4}(?![\w.])", ADDRESS),
    (r"(?i)(?<![0-9a-f:])(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}(?![0-9a-f:])", ADDRESS),
    (
        r"(?i)(\b(?:ether|lladdr|hwaddr|bssid|(?:mac|wi-?fi|bluetooth|hardware)[ _-]?addr(?:ess)?|en\d)"
        rf"(?:{IS}|\s+)[\"']?)"
        r"[0-9a-f]{12}\b",
        rf"\1{ADDRESS}",
    ),
    (r"(?<![\w:.%-])[0-9A-Fa-f:.]{2,45}(?:%[\w.-]{1,16})?(?![\w:])", lambda found: _hide_ip6(found)),
    (r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?!\.?\d)", lambda found: _hide_ip4(found)),
)
DATA = rf"(?:{SEP}(?:System{SEP}Volumes{SEP}Data|private{SEP}var|var|export|data|mnt{SEP}[a-z]|net|nfs))?"
SYSTEM_VOLUMES = r"Macintosh HD(?: - Data)?|Data|Preboot|Recovery|Update|VM|\[volume\]"
END = rf"(?:{SEP}|[\s\"'`:;,)\]]|$)"
PLACES: tuple[tuple[str, Place], ...] = (
    (
        rf"(?i)(?:(?<![\w~])(?:[a-z]:)?{DATA}{SEP}(?:Users|home)|(?-i:{SEP}Users)){SEP}"
        rf"(?!(?:Shared|linuxbrew){END}){NAMED}",
        "~",
    ),
    (rf"(?<![\w~./-])~[A-Za-z_][\w.-]*(?={SEP})", "~"),
    (
        rf"(?i)((?<!System){SEP}Volumes{SEP})(?!(?:{SYSTEM_VOLUMES}){END})"
        rf"(?:(?:\\[ ]|(?!{SEP})[^\n\"<>|:;,]){{1,64}}(?<! )(?={SEP})|{NAMED})",
        rf"\1{VOLUME}",
    ),
    (rf"(?i)((?<![\w.])(?:{SEP}run)?{SEP}media{SEP}){NAMED}(?:{SEP}{NAMED})?", rf"\1{USER}"),
)
MAC = r"MacBook(?:[-_ ](?:Pro|Air))?|MBP|MBA|iMac|Mac[-_ ](?:mini|Studio|Pro)"
MACHINES: tuple[tuple[str, Place], ...] = (
    (
        rf"(?i)(?<![\w.'’-])(?!(?:M\d|Intel|Apple)\b)[a-z][\w'’.]{{0,40}}[-_](?:{MAC}|(?-i:(?<=s-)Mac))(?:[-_]\d{{1,3}})?(?![\w-])",
        HOST,
    ),
    (rf"(?i)(?<![\w.'’-])[a-z][\w.-]{{0,40}}['’]s (?:{MAC}|Mac|PC|laptop)\b", HOST),
    (
        r"(?i)(?<![\w.-])(?!(?:_?threading|_thread|localhost|host\.docker)\.)(?:[a-z0-9\[][\w\]-]{0,62}\.){1,4}"
        r"(?:local|lan|localdomain|ts\.net|home\.arpa|internal|corp|intranet|fritz\.box)(?![\w-]|\.\w)",
        HOST,
    ),
    (
        rf"(?i)((?:host[ _-]?name|computer[ _]?name|node[ _]?name|\bssid|network name){IS})((?!\[[a-z]+\])[^\n,;]+)",
        _kept_if_plain(HOST, rf"{secret_forms.PLAIN}|(?:[\w-]+\.)+(?:co|com|org|io|net|dev|ai)"),
    ),
    (
        rf"(?i)((?:user[ _-]?name|logname|sudo_user|(?-i:\bUSER)){IS}\\{{0,8}}[\"']?)((?!\[[a-z]+\])[\w.@-]+)",
        _kept_if_plain(USER, rf"{secret_forms.PLAIN}|{'|'.join(sorted(PUBLIC_NAMES))}"),
    ),
)
VERSION_BEFORE = re.compile(r"[=<>~!]=$|\bv$|\b(?:version|release|build|driver)$", re.IGNORECASE)
FAMILIES = re.compile(
    r"nvidia|cuda|cu1\d|cudnn|cublas|cufft|curand|cusolver|cusparse|nccl|opencv|onnx|mkl|xcode|clt", re.IGNORECASE
)
"""What has versions of four numbers, by a word of its name."""
VERSION_AFTER = re.compile(r"-(?:py|cp)\d|\.(?:dist-info|tar|zip|whl|post|dev|rc)|[+_]")
ADDRESS_BEFORE = re.compile(
    r"(?:[/@]|\b(?:ip(?:v4)?|inet|addr(?:ess)?|host|peer|client|server|gateway|dns)\W{1,4})$", re.I
)
ADDRESS_AFTER = re.compile(r":\d{2,5}\b|/\d{1,2}\b")
VERSION_PART_MAX = 30
"""The first three numbers of a version of four are small, as `12.4.5.8`; those of an address seldom are."""


def redact(text: str, person: Person) -> str:
    """The text without secrets, addresses, names and home paths; redacting it again changes nothing."""
    for _ in range(PASSES_MAX):
        before, text = text, _once(HIDING_LINE.sub(lambda found: _bare_if_it_hides(found[0], person), text), person)
        if text == before:
            break
    return text


HIDING_LINE = re.compile(rf"^.*(?:{HIDDEN.pattern}).*$", re.MULTILINE)


def _bare_if_it_hides(line: str, person: Person) -> str:
    """A line without hidden characters if they hid something to remove."""
    bare = HIDDEN.sub("", COLOURS.sub("", line))
    return bare if _once(bare, person) != bare else line


def _once(text: str, person: Person) -> str:
    known = _known(person)
    text = _without_ends_of_keys(known.secrets.sub(TOKEN, text))
    for pattern, place in (*COMPILED[0], *COMPILED[1]):
        text = pattern.sub(place, text)
    text = known.folders.sub("~", text)
    for pattern, place in COMPILED[2]:
        text = pattern.sub(place, text)
    text = known.names.sub(USER, known.hosts.sub(HOST, text))
    for pattern, place in COMPILED[3]:
        text = pattern.sub(place, text)
    return text


COMPILED = tuple(
    [(re.compile(pattern), place) for pattern, place in table] for table in (SECRETS, WHO, PLACES, MACHINES)
)


def _without_ends_of_keys(text: str) -> str:
    """Lines of a private key whose beginning was cut off, as in the tail of a log."""
    for end in reversed(list(re.finditer(secret_forms.PEM_END, text))):
        start = line = end.start()
        while line and (
            words := re.search(secret_forms.PEM_WORDS, text[(line := text.rfind("\n", 0, line - 1) + 1) : start])
        ):
            start = line + words.start()
            line *= not words.start()
        text = text[:start] + TOKEN + text[end.end() :]
    return text


def _hide_ip6(found: re.Match[str]) -> str:
    """An address of IPv6; loopback, and what is rather a slice (`x[1::2]`), stays."""
    text = found[0].rstrip(".")
    if text.count(":") < 2 or sum(sign.isalnum() for sign in text.partition("%")[0]) < 5:
        return found[0]
    return _unless_local(text) + found[0][len(text) :]


def _hide_ip4(found: re.Match[str]) -> str:
    """An address of IPv4; a version of four numbers is none."""
    place, text = found.start(), found.string
    before, after = text[max(0, place - 80) : place].rpartition("\n")[2], text[found.end() : found.end() + 12]
    lead = before.rstrip(" \t\"'|:,(")
    if VERSION_BEFORE.search(lead[-12:]) or VERSION_AFTER.match(after) or FAMILIES.search(lead[-40:].split(" ")[-1]):
        return found[0]
    small = all(int(part) <= VERSION_PART_MAX for part in found[0].split(".")[:3])
    is_address = not small or found[0].startswith("10.") or ADDRESS_BEFORE.search(before) or ADDRESS_AFTER.match(after)
    return _unless_local(found[0]) if is_address else found[0]


def _unless_local(text: str) -> str:
    """The placeholder for a machine's address; loopback and 0.0.0.0 identify nobody."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return text
    return text if address.is_loopback or address.is_unspecified else ADDRESS


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
