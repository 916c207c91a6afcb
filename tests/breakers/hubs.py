"""Breakers of the way to the hub: a proxy, a login page, certificates, IPv6; and hubs that say no."""

from __future__ import annotations

import socket
from contextlib import AbstractContextManager
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

from provision.download.hub.token import HUGGING_FACE
from provision.system.machine import LOOPBACK
from tests.breakers.breaker import Breaker, breaks
from tests.breakers.network import NETWORK, NOBODY, PROCESS, SHELL
from tests.breakers.patient import Patient
from tests.support.strangers import COMMIT, TOKEN, Answer, black_hole, hub, own_certificate, proxy_with_a_page

MISSING = "ckpt-missing"
BOTH = "both.example"
"""A name with an address of each family."""


def _ask(at: Patient, endpoint: str) -> None:
    """The model is gone, and this hub is to bring it."""
    at.checkpoint.unlink()
    at.environ["HF_ENDPOINT"] = endpoint


# -- on the way -------------------------------------------------------------------------------------------------


@breaks("proxy", f"{NETWORK} {PROCESS}", MISSING)
def name_a_dead_proxy(at: Patient) -> None:
    """The model is gone, and the proxy that http_proxy names does not answer."""
    _ask(at, "http://hub.example")
    at.environ |= {"http_proxy": NOBODY, "no_proxy": LOOPBACK}
    at.apart = {}  # requests reads a process's own variables


@breaks("captive", f"{NETWORK} {PROCESS}", MISSING)
def stay_in_a_hotel(at: Patient) -> None:
    """The model is gone, and a login page of the network answers in the hub's name."""
    certificate, tls = own_certificate(at.aside(), f"DNS:{urlsplit(HUGGING_FACE).hostname}")
    proxy = at.later.enter_context(proxy_with_a_page(tls, "https://login.hotel.example/"))
    _ask(at, HUGGING_FACE)
    at.environ |= {"https_proxy": proxy, "no_proxy": LOOPBACK}
    at.environ |= {"SSL_CERT_FILE": str(certificate), "REQUESTS_CA_BUNDLE": str(certificate)}
    at.apart = {}


@breaks("tls-intercept", NETWORK, MISSING)
def inspect_traffic(at: Patient) -> None:
    """The model is gone, and a program that inspects traffic shows a certificate of its own."""
    _, tls = own_certificate(at.aside())
    _ask(at, at.later.enter_context(hub((200, {}), tls=tls)))


@breaks("tls-store", f"{SHELL} network")
def lose_certificates(at: Patient) -> None:
    """SSL_CERT_FILE names a file that is not there."""
    at.environ["SSL_CERT_FILE"] = "/nowhere/company.pem"


@breaks("ipv6-dead", f"{NETWORK} deadline", MISSING)
def lose_ipv6(at: Patient) -> None:
    """The model is gone, and the hub's IPv6 address leads nowhere."""
    alive, dead = (urlsplit(url).port for url in (at.given["HF_ENDPOINT"], at.later.enter_context(black_hole())))
    _ask(at, f"http://{BOTH}:{alive}")
    # A hole of IPv4 behind an address of IPv6: a machine needs no IPv6 of its own for that.
    six = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (f"::ffff:{LOOPBACK}", dead, 0, 0))
    four = (socket.AF_INET, socket.SOCK_STREAM, 6, "", (LOOPBACK, alive))
    at.later.enter_context(_resolved(BOTH, [six, four]))


def _resolved(name: str, addresses: list[Any]) -> AbstractContextManager[Any]:
    """A resolver that knows one more name."""
    resolve = socket.getaddrinfo

    def known(host: Any, *words: Any, **named: Any) -> Any:
        return addresses if host == name else resolve(host, *words, **named)

    return mock.patch.object(socket, "getaddrinfo", known)


# -- the hub ----------------------------------------------------------------------------------------------------


def _ask_one_that_says(at: Patient, plain: Answer, with_token: Answer | None = None) -> None:
    _ask(at, at.later.enter_context(hub(plain, with_token)))


@breaks("hf-endpoint", NETWORK, MISSING)
def name_another_server(at: Patient) -> None:
    """The model is gone, and HF_ENDPOINT names a server that is no hub."""
    _ask_one_that_says(at, (200, {"Content-Type": "text/html"}))


@breaks("hf-badtoken", NETWORK, MISSING)
def keep_an_old_token(at: Patient) -> None:
    """The model is gone, and the hub does not take the token."""
    at.environ["HF_TOKEN"] = TOKEN
    _ask_one_that_says(at, (401, {}), (401, {}))


@breaks("hf-gated", NETWORK, MISSING)
def accept_no_terms(at: Patient) -> None:
    """The model is gone, and the hub gives it only to who accepted its terms."""
    _ask_one_that_says(at, (403, {"X-Error-Code": "GatedRepo"}))


@breaks("hf-429", NETWORK, MISSING)
def ask_too_often(at: Patient) -> None:
    """The model is gone, and the hub wants fewer requests."""
    _ask_one_that_says(at, (429, {}))


@breaks("net-storage", NETWORK, MISSING)
def let_the_front_door_through_alone(at: Patient) -> None:
    """The model is gone; the hub answers, and nobody does where it sends on to for the bytes."""
    _ask_one_that_says(at, (302, {**COMMIT, "Location": f"{NOBODY}/file"}))


BREAKERS = [value for value in list(vars().values()) if isinstance(value, Breaker)]
