"""The person's Hugging Face token: where it is from, whether it can be one, and to which hub it goes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from provision.command import Fix, ours, program
from provision.core.step import Context
from provision.download.backend import Address
from provision.download.web import host_of, origin_of
from provision.system.machine import Machine

HUGGING_FACE = "https://huggingface.co"
FORM = re.compile(r"[A-Za-z0-9._~+/=-]+")
"""What stands after `Bearer` (RFC 6750, 2.1)."""
MARKS = "\"'`\u2018\u2019\u201c\u201d"
OFF = ("", "0", "false", "no", "off")
LOGIN = program("hf", "auth", "login")


@dataclass(frozen=True, slots=True)
class Token:
    """A token that is sent, or why none is: `lack` ends a sentence, and is empty where there simply is none."""

    value: str = field(default="", repr=False)
    lack: str = ""
    fix: Fix | None = None
    subject: str = ""
    """The variable or the file that is to be corrected."""


def read_token(machine: Machine) -> Token:
    """`HF_TOKEN`, else the file in which `hf auth login` keeps it (huggingface_hub's environment variables)."""
    environ, name = machine.environ, "HF_TOKEN"
    if environ.get("HF_HUB_DISABLE_IMPLICIT_TOKEN", "").strip().lower() not in OFF:
        hidden = "HF_HUB_DISABLE_IMPLICIT_TOKEN"
        return Token(lack=f"{hidden} disables it", fix=Fix("To send it:", program("unset", hidden)))
    text = environ.get("HF_TOKEN") or environ.get("HUGGING_FACE_HUB_TOKEN")
    fix = Fix("Copy it again from huggingface.co/settings/tokens:", program("export", "HF_TOKEN=TOKEN"))
    if text is not None:
        name = name if environ.get("HF_TOKEN") else "HUGGING_FACE_HUB_TOKEN"
    else:
        cache = Path(environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or Path.home()) / ".cache")
        path = environ.get("HF_TOKEN_PATH") or Path(environ.get("HF_HOME") or cache / "huggingface") / "token"
        text, name, fix = machine.read_text(path), str(path), Fix("Log in again:", LOGIN)
    text = (text or "").strip()
    if not text or FORM.fullmatch(text):
        return Token(text)
    return Token(lack=f"{name} {_what_is_wrong(text)}", fix=fix, subject=name)


def token_to(ctx: Context, endpoint: str) -> Token:
    """The token as it is sent to `endpoint`: to the configured hub and to Hugging Face's own, and to no other."""
    if any(origin_of(endpoint) == origin_of(hub) for hub in (ctx.options.endpoint, HUGGING_FACE)):
        return read_token(ctx.machine)
    trust = ours("all", under=("env", f"HF_ENDPOINT={endpoint}"))
    return Token(lack=f"{host_of(endpoint)} is named by --endpoint", fix=Fix("To send it your HF_TOKEN:", trust))


def token_in(address: Address) -> Token:
    """What a request is sent with, for what is said of its answer."""
    return Token("sent" if address.headers else "")


def token_of(ctx: Context) -> str | None:
    """The Hugging Face token, None where there is none that can be sent."""
    return read_token(ctx.machine).value or None


def token_for(ctx: Context, endpoint: str) -> str | None:
    """The token, where `endpoint` is one that it belongs to."""
    return token_to(ctx, endpoint).value or None


def _what_is_wrong(text: str) -> str:
    """Never the text itself."""
    if text[0] in MARKS or text[-1] in MARKS:
        return "has quotation marks around the token"
    if "\n" in text or "\r" in text:
        return "holds more than one line"
    return "contains characters that no token has"
