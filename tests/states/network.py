"""The way out: proxies, names, the clock, a port that somebody has, a hub that wants a token."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from provision.core.home import Home
from provision.rehearsal.home_marker import MODEL_REPO, read_world, world_folder
from provision.system.machine import LOOPBACK
from tests.states.state import Place, State, Stops
from tests.support.hub import Faults, Hub

SECRET = "geheim-7f3a"
DOWNLOAD_HF = ("download", "--rehearse", "--yes", "--backend", "hf")
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
STATS = {
    "system": {"comfyui_version": "0.3.1", "argv": ["main.py"], "python_version": "3.12", "os": "posix"},
    "devices": [{"name": "cpu", "type": "cpu"}],
}


class Theirs(BaseHTTPRequestHandler):
    """A ComfyUI that somebody else started."""

    def do_GET(self) -> None:
        body = json.dumps(STATS if self.path == "/system_stats" else {}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        """Nobody reads it."""


def _port_taken(at: Place) -> None:
    at.made_world()
    record = read_world(Home(at.home))
    assert record is not None
    theirs = at.later.enter_context(ThreadingHTTPServer((LOOPBACK, record.ports.engine), Theirs))
    at.later.callback(theirs.shutdown)
    threading.Thread(target=theirs.serve_forever, daemon=True).start()


def _localhost_is_ipv6(at: Place) -> None:
    hosts = at.folder / "hosts"
    hosts.write_text("::1 localhost ip6-localhost\n", encoding="utf-8")
    at.around += ["unshare", "--mount", "sh", "-c", f'mount --bind "{hosts}" /etc/hosts; exec "$@"', "sh"]


def _proxy_with_password(at: Place) -> None:
    at.secret = SECRET
    proxy = f"http://me:{SECRET}@127.0.0.1:9"
    at.give(dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"), proxy), {})


def _clock(offset: str) -> State:
    where = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    return State(
        f"the clock is {offset}", where, needs="faketime", stops=Stops("clock-wrong", ("clock",), seen="clock-wrong")
    )


def _hub_with_token(at: Place) -> None:
    at.made_world()
    token = "hf_abcdefghijklmnop"
    hub = at.later.enter_context(Hub(world_folder(Home(at.home)) / "root", faults=Faults(token=token)))
    at.give({"HF_TOKEN": token}, {})
    at.name = "a home that is no rehearsal"
    at.words = ["download", MODEL_REPO, "--yes", "--endpoint", hub.url, "--backend", "http"]


NETWORK = (
    State("another ComfyUI has the port", set_up=_port_taken, stops=Stops("port-comfyui", seen="port-comfyui")),
    State("localhost is ::1 alone", set_up=_localhost_is_ipv6, needs="root"),
    State(
        "a proxy with a name and a password is dead",
        set_up=_proxy_with_password,
        stops=Stops("proxy", ("127.0.0.1:9",), seen="proxy"),
    ),
    State(
        "ALL_PROXY is a SOCKS proxy that is dead",
        {"ALL_PROXY": "socks5://127.0.0.1:9"},
        stops=Stops("proxy", ("127.0.0.1:9",), seen="proxy"),
    ),
    State(
        "ALL_PROXY is a SOCKS proxy, the hub on loopback, hf", {"ALL_PROXY": "socks5h://127.0.0.1:9"}, words=DOWNLOAD_HF
    ),
    State(
        "HTTPS_PROXY is no address",
        {"HTTPS_PROXY": "proxy.firm:eighty", "https_proxy": "proxy.firm:eighty"},
        stops=Stops("proxy", ("HTTPS_PROXY",), seen="proxy"),
    ),
    State("NO_PROXY has odd entries", {"NO_PROXY": "*.local, 10.0.0.0/8,[::1],,https://x", "no_proxy": "[,]"}),
    State(
        "SSL_CERT_FILE and SSL_CERT_DIR name nothing",
        {"SSL_CERT_FILE": "/nope.pem", "SSL_CERT_DIR": "/nope"},
        warns=frozenset({"tls-store"}),
    ),
    State(
        "GIT_SSL_CAINFO, CURL_CA_BUNDLE and REQUESTS_CA_BUNDLE name nothing",
        {"GIT_SSL_CAINFO": "/nope.pem", "CURL_CA_BUNDLE": "/nope.pem", "REQUESTS_CA_BUNDLE": "/nope.pem"},
        warns=frozenset({"tls-store"}),
    ),
    State(
        "a hub that wants a token is named by --endpoint",
        set_up=_hub_with_token,
        stops=Stops("hub_refused", ("HF_ENDPOINT",)),
    ),
    _clock("+15y"),
)
