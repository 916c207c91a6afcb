"""What a report must not tell: planted in every spelling, and looked for afterwards."""

from __future__ import annotations

import json
import shlex
import string
import unicodedata
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from provision.cli.commands.issue_report import report_page
from provision.command import Fix, program
from provision.core.home import Home
from provision.core.manifest import load_manifest
from provision.core.step import Context, Report, StepReport
from provision.output.report.redact import FAMILIES, PUBLIC_NAMES, VERSION_BEFORE, Person, redact
from provision.system.local_machine import LocalMachine
from tests.support.findings import blocked

ANN = Person(
    folders=("/Users/ann smith", "/Users/김나"),
    names=("annsmith", "Ann Smith"),
    hosts=("Anns-MacBook.local", "Anns-MacBook"),
    secrets=("s3cr3t/with+signs==",),
)
WORDS = string.ascii_letters + string.digits
FILLER = st.text(alphabet=string.ascii_lowercase + " .,:;()[]{}<>|/\\'\"`\n=-_#*", max_size=40)
TOKENS = st.text(alphabet=WORDS, min_size=20, max_size=60)
PLAIN = st.text(alphabet=string.ascii_lowercase, min_size=6, max_size=16)
OCTET = st.integers(1, 254)


# Texts as they stand in a log, each with a place for what must not survive ({0}); {1} is any word.
AROUND_TOKENS = (
    "hf_{0}",
    "ghp_{0}",
    "github_pat_{0}",
    "glpat-{0}",
    "sk-{0}",
    "bearer {0}",
    "Authorization: Bearer {0}",
    "authorization: Basic {0}",
    "Proxy-Authorization: token {0}",
    '{{"authorization": "Bearer {0}"}}',
    "https://{1}:{0}@index.example.org/simple",
    "https://cdn.example.org/xet/{1}?X-Amz-Signature={0}&Expires=1",
    "https://example.org/cb#access_token={0}",
    "GET /resolve/main/{1}?Policy={0}~__&Signature={0} HTTP/1.1",
    "HF_TOKEN={0}",
    "api_key: {0}",
    "DB_PASSWORD={0}",
    "client-secret='{0}'",
    "Cookie: session={0}",
)
AROUND_IP4 = ("{0}", "{0}:8188", "{0}/24", "[{0}]", "http://{0}:8188/", "{0},")
AROUND_IP6 = ("{0}", "{0}%en0", "{0}/64", "http://[{0}]:8188/")


@st.composite
def secrets(draw: st.DrawFn) -> tuple[str, str]:
    """A text as it stands in a log, and the part of it that must not survive."""
    word, kind = draw(PLAIN), draw(st.sampled_from(["token", "IPv4", "IPv6", "e-mail", "known"]))
    if kind == "IPv4":
        secret = ".".join(str(part) for part in [draw(st.sampled_from([10, 172, 192])), *draw(st.tuples(*[OCTET] * 3))])
        return draw(st.sampled_from(AROUND_IP4)).format(secret), secret
    if kind == "IPv6":
        secret = f"fe80::{draw(st.integers(1, 65535)):x}:{draw(st.integers(4096, 65535)):x}"
        return draw(st.sampled_from(AROUND_IP6)).format(secret), secret
    if kind == "e-mail":
        return f"{word}.{word}@{word}.example.org", f"{word}@"
    if kind == "known":
        return "s3cr3t/with+signs==", "s3cr3t/with+signs"
    secret = draw(TOKENS)
    return draw(st.sampled_from(AROUND_TOKENS)).format(secret, word), secret


@settings(deadline=None)
@given(before=FILLER, secret=secrets(), after=FILLER)
def test_no_planted_secret_survives(before: str, secret: tuple[str, str], after: str) -> None:
    text, must_go = secret
    lead = before.rstrip(" \t\"'|:,(\n")
    assume(not (VERSION_BEFORE.search(lead) or FAMILIES.search(lead)))  # `>= 10.1.1.1` is a version, rightly
    assert must_go not in redact(f"{before}\n{text} {after}", ANN)
    assert must_go not in redact(f'{before} "{text}"\n{after}', ANN)


@settings(deadline=None)
@given(st.lists(st.one_of(secrets().map(lambda pair: pair[0]), FILLER), max_size=8))
def test_redacting_again_takes_nothing_more_for_a_secret_of_this_person(parts: list[str]) -> None:
    once = redact("\n".join(parts), ANN)
    for word in ("annsmith", "s3cr3t", "Anns-MacBook", "/Users/ann smith"):
        assert word not in redact(once, ANN)


SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": lambda path: path,
    "of macOS": lambda path: unicodedata.normalize("NFD", path),
    "in an address": quote,
    "in JSON": lambda path: json.dumps(path)[1:-1],
    "in a shell": lambda path: path.replace(" ", "\\ "),
    "quoted": shlex.quote,
    "in capitals": str.upper,
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("folder", ANN.folders)
@pytest.mark.parametrize("text", ["{}", "{}/provision/venv/bin/python: gone", 'File "{}/x.py", line 3', "file://{}/x"])
def test_home_paths_become_a_tilde(folder: str, spelling: str, text: str) -> None:
    told = redact(text.format(SPELLINGS[spelling](folder)), ANN)
    assert "~" in told
    for part in ("smith", "SMITH", "김", unicodedata.normalize("NFD", "김"), "uae40", "%EA%B9%80"):
        assert part not in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/Users/bob/ComfyUI/main.py", "~/ComfyUI/main.py"),
        ("/home/bob: no such folder", "~: no such folder"),
        ("/Users/Shared/models", "/Users/Shared/models"),
        ("by annsmith on anns-macbook.local", "by [user] on [host]"),
        ("Ann Smith's Mac", "[user]'s Mac"),
        ("annsmithson, annsmith2, my_annsmith", "[user]son, [user]2, my_[user]"),
        ("listens on 127.0.0.1:8188, ::1 and 0.0.0.0", "listens on 127.0.0.1:8188, ::1 and 0.0.0.0"),
        ("from 192.168.1.20:51234", "from [address]:51234"),
        ("ether a4:83:e7:12:34:56", "ether [address]"),
        ("std::vector at 12:34:56", "std::vector at 12:34:56"),
        ("torch 2.16.0.dev20261101+cpu", "torch 2.16.0.dev20261101+cpu"),
        ("operator torchvision::nms does not exist", "operator torchvision::nms does not exist"),
        (
            "https://huggingface.co/a/b/resolve/main/c?download=true",
            "https://huggingface.co/a/b/resolve/main/c?[query]",
        ),
        ("Set-Cookie: id=1; path=/\nnext", "Set-Cookie: [token]\nnext"),
        (
            "sha256 e869ac7d6942cb327d68d5ed83a40447aadf20e0c3358d98b2cc9e270db0da26",
            "sha256 e869ac7d6942cb327d68d5ed83a40447aadf20e0c3358d98b2cc9e270db0da26",
        ),
    ],
)
def test_what_goes_and_what_stays(text: str, told: str) -> None:
    assert redact(text, ANN) == told


def test_names_that_everybody_has_stay() -> None:
    text = "root started localhost, and a user read it"
    assert redact(text, Person(names=("root", "user", "", "a"), hosts=("localhost",), folders=("", "/"))) == text


# -- names in every script, and all of a report -------------------------------------------------------------------

LETTERS = st.one_of(
    st.text(alphabet=string.ascii_lowercase, min_size=5, max_size=12).filter(lambda name: name not in PUBLIC_NAMES),
    st.text(alphabet="가나다라마바사아자차", min_size=2, max_size=5),
    st.text(alphabet="🦊🐻🐼🦁🐸", min_size=2, max_size=4),
    st.text(alphabet="äöüéøñ", min_size=3, max_size=6),
)
AROUND_NAMES = (
    "{0}",
    "/Users/{0}/provision/venv/bin/python: gone",
    "/private/var/home/{0}/x",
    "/System/Volumes/Data/Users/{0}",
    "/Volumes/{0}s disk/models",
    "~{0}/x",
    "by {0}2",
    "backup_{0}.safetensors",
    "com.{0}.app",
    "uid=501({0})",
    "{0}@example.org",
    "file:///Users/{0}/x",
    "\\\\server\\{0}\\x",
    "'{0}'s Mac'",
)
WRITTEN: tuple[Callable[[str], str], ...] = (
    str,
    str.upper,
    str.title,
    quote,
    lambda text: quote(text, safe=""),
    lambda text: quote(text).lower(),
    json.dumps,
    lambda text: repr(text.encode()),
    lambda text: unicodedata.normalize("NFD", text),
)


def folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def traces_of(name: str) -> set[str]:
    """The forms in which a name must not be read again."""
    return {folded(form(name)).strip("\"'") for form in WRITTEN} | {folded(repr(name.encode())[2:-1])}


@settings(deadline=None)
@given(name=LETTERS, around=st.sampled_from(AROUND_NAMES), write=st.sampled_from(WRITTEN), before=FILLER)
def test_no_name_survives_in_any_spelling(name: str, around: str, write: Callable[[str], str], before: str) -> None:
    person = Person(folders=(f"/Users/{name}",), names=(name,), hosts=(f"{name}s-MacBook.local",))
    told = redact(f"{before}\n{write(around.format(name))}\n{name}s-macbook.local", person)
    assert [trace for trace in traces_of(name) if trace in folded(told.replace(before, ""))] == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/private/var/folders/zz/zyxvpxvq6csfxvn_n000/T/x", "/private/var/folders/[user]/T/x"),
        ("Serial Number (system): C02XL0GTJGH5", "Serial Number (system): [serial]"),
        ('"IOPlatformSerialNumber" = "C02XL0GTJGH5"', '"IOPlatformSerialNumber" = "[serial]"'),
        ("Hardware UUID: 4D5A6B7C-1234-5678-9ABC-DEF012345678", "Hardware UUID: [serial]"),
        ("ether a483.e712.3456", "ether [address]"),
        ("GET %2FUsers%2Fbob%2Fx", "GET ~%2Fx"),
        ("to bob%40example.org", "to [email]"),
        ("curl -u bob:hunter2 http://x", "curl -u [token] http://x"),
        ("tool --password hunter2 -x", "tool --password [token] -x"),
        ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI", "AWS_SECRET_ACCESS_KEY=[token]"),
        (shlex.join(["client-secret='hunter2 too' x"]), "'client-secret=[token] x'"),
        (json.dumps('api_key="hunter2 too" x'), '"api_key=[token] x"'),
        ("::ffff:10.0.0.5", "[address]"),
        ("tokenizers==0.22.1", "tokenizers==0.22.1"),
        ("python -u main.py", "python -u main.py"),
    ],
)
def test_what_tells_one_machine_or_lets_others_in(text: str, told: str) -> None:
    assert redact(text, ANN) == told


def test_a_short_name_goes_as_a_word_alone() -> None:
    person = Person(names=("mark",))
    assert redact("watermark-env, mark, mark2, /mark/, %2Fmark%2F, Mark's", person) == (
        "watermark-env, [user], [user]2, /[user]/, %2F[user]%2F, [user]'s"
    )


def test_nothing_that_was_planted_survives_anywhere_in_a_report(home: Home) -> None:
    """In logs, findings, crashes and receipts; in every piece, whatever Markdown or JSON makes of it."""
    log = home.logs / "provision.log"

    @settings(deadline=None, max_examples=25)
    @given(secret=secrets(), name=LETTERS, around=st.sampled_from(AROUND_NAMES))
    def plant(secret: tuple[str, str], name: str, around: str) -> None:
        text, must_go = secret
        said = f"{text} | {around.format(name)}"
        machine = LocalMachine({"HOME": f"/Users/{name}", "USER": name, "HF_TOKEN": "s3cr3t/with+signs=="})
        ctx = Context(machine, load_manifest("sdxl-turbo", []), home)
        ctx.receipts.write("comfyui", name=said, commit="1" * 40)
        for path in (log, home.engine_log):
            path.write_text(f"{said}\n{'x' * 390}{said}\n", encoding="utf-8")
        crash = blocked(
            "check-crashed", said, said, fix=Fix(said, program(said)), facts={"traceback": f"Traceback:\n  {said}"}
        )
        report = Report((StepReport("tools", (crash,), changed=False, seconds=0),), 0)
        page = report_page(ctx, report, log)
        assert must_go not in page
        assert [trace for trace in traces_of(name) if trace in folded(page)] == []

    plant()
