"""What a report must not tell: planted in every spelling, and looked for afterwards."""

from __future__ import annotations

import json
import shlex
import string
import unicodedata
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.redact import Person, redact

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
    "hf_{0}", "ghp_{0}", "github_pat_{0}", "glpat-{0}", "sk-{0}", "bearer {0}", "Authorization: Bearer {0}",
    "authorization: Basic {0}", "Proxy-Authorization: token {0}", '{{"authorization": "Bearer {0}"}}',
    "https://{1}:{0}@index.example.org/simple", "https://cdn.example.org/xet/{1}?X-Amz-Signature={0}&Expires=1",
    "https://example.org/cb#access_token={0}", "GET /resolve/main/{1}?Policy={0}~__&Signature={0} HTTP/1.1",
    "HF_TOKEN={0}", "api_key: {0}", "DB_PASSWORD={0}", "client-secret='{0}'", "Cookie: session={0}",
)  # fmt: skip
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


@given(before=FILLER, secret=secrets(), after=FILLER)
def test_no_planted_secret_survives(before: str, secret: tuple[str, str], after: str) -> None:
    text, must_go = secret
    assert must_go not in redact(f"{before}\n{text} {after}", ANN)
    assert must_go not in redact(f'{before} "{text}"\n{after}', ANN)


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
        ("annsmithson is another", "annsmithson is another"),
        ("listens on 127.0.0.1:8188, ::1 and 0.0.0.0", "listens on 127.0.0.1:8188, ::1 and 0.0.0.0"),
        ("from 192.168.1.20:51234", "from [address]:51234"),
        ("ether a4:83:e7:12:34:56", "ether [address]"),
        ("std::vector at 12:34:56", "std::vector at 12:34:56"),
        ("torch 2.16.0.dev20261101+cpu", "torch 2.16.0.dev20261101+cpu"),
        ("operator torchvision::nms does not exist", "operator torchvision::nms does not exist"),
        ("https://huggingface.co/a/b/resolve/main/c?download=true", "https://huggingface.co/a/b/resolve/main/c?[query]"),
        ("Set-Cookie: id=1; path=/\nnext", "Set-Cookie: [token]\nnext"),
        ("sha256 e869ac7d6942cb327d68d5ed83a40447aadf20e0c3358d98b2cc9e270db0da26",
         "sha256 e869ac7d6942cb327d68d5ed83a40447aadf20e0c3358d98b2cc9e270db0da26"),
    ],
)  # fmt: skip
def test_what_goes_and_what_stays(text: str, told: str) -> None:
    assert redact(text, ANN) == told


def test_names_that_everybody_has_stay() -> None:
    text = "root started localhost, and a user read it"
    assert redact(text, Person(names=("root", "user", "", "a"), hosts=("localhost",), folders=("", "/"))) == text
