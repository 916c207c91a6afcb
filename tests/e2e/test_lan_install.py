"""An install from another Mac over the network: `serve`, or any web server, and `all --from` in an empty folder."""

from __future__ import annotations

import getpass
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from provision.system.local_machine import free_port
from tests.e2e.conftest import Json, Tool
from tests.support import apart

NGINX = """
user {user};
daemon off; pid {at}/pid; error_log {at}/error.log; worker_processes 1;
events {{}}
http {{
  access_log off; client_body_temp_path {at}/t; proxy_temp_path {at}/t; fastcgi_temp_path {at}/t;
  uwsgi_temp_path {at}/t; scgi_temp_path {at}/t;
  server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""
NO_ROUTE = """
"$PYTHON" -m provision serve "$BUNDLE" --for 5m --json >"$AT/served" &
served=$!
until grep -q serving_started "$AT/served"; do kill -0 $served || exit 98; sleep 0.1; done
"$PYTHON" -m provision all --rehearse --stop --home "$AT/home" --from http://127.0.0.1:8765 --json >"$AT/said" &&
  code=0 || code=$?
kill $served
wait $served || :
exit $code
"""
"""Both ends in a network that has nothing but itself, where `serve` finds no other address than the loopback one."""
MODEL = "sd_xl_turbo_1.0_fp16.safetensors"


@pytest.fixture(scope="module")
def bundle(whole: Tool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the rehearsal that is whole."""
    kept = whole.home.parent.with_name("whole")
    subprocess.run(["cp", "-a", kept, whole.home], check=True)
    folder = tmp_path_factory.mktemp("bundles") / "bundle"
    ended = whole.run("bundle", str(folder), "--rehearse")
    assert ended.code == 0, (ended.report["error"], ended.err)
    shutil.rmtree(whole.home)
    return folder


@contextmanager
def answering(argv: list[str], port: int, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """A server, once it answers; killed at the end."""
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)  # type: ignore[call-overload]
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with suppress(requests.ConnectionError), requests.Session() as session:
                session.trust_env = False
                session.head(f"http://127.0.0.1:{port}/SHA256SUMS", timeout=10)
                break
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.wait(30)


def serving(tool: Tool, bundle: Path, port: int) -> list[str]:
    return tool.argv("serve", str(bundle), "--listen", f"127.0.0.1:{port}")


def install(tool: Tool, port: int, *more: str) -> list[str]:
    return ["all", "--rehearse", "--stop", "--from", f"http://127.0.0.1:{port}", *more]


def downloads(least: float) -> Callable[[Json], bool]:
    """Whether so much of the model is here."""
    return lambda line: line["type"] == "progress" and line["subject"] == MODEL and line["done"] > least * line["total"]


@pytest.fixture
def fresh(tool: Tool, tmp_path: Path) -> Tool:
    """An empty folder, and an empty cache of packages."""
    return replace(tool, environ={**tool.environ, "UV_CACHE_DIR": str(tmp_path / "cache"), "UV_OFFLINE": ""})


def test_a_server_that_dies_in_the_middle_costs_nothing_that_is_here(fresh: Tool, bundle: Path) -> None:
    port = free_port()
    with answering(serving(fresh, bundle, port), port, env=fresh.env()) as server:
        half = downloads(0.3)

        def die(line: Json) -> bool:
            if half(line):
                server.kill()
            return False

        ended = fresh.until(die, *install(fresh, port, "--limit-rate", "6M"), "--json")
    assert ended.code == 1, (ended.report, ended.err)
    assert list((fresh.home / "state" / "parts").iterdir())
    with answering(serving(fresh, bundle, port), port, env=fresh.env()):
        again = fresh.run(*install(fresh, port))
    assert again.code == 0, (again.report["error"], again.err)
    first = next(line for line in again.lines if line["type"] == "progress" and line["subject"] == MODEL)
    assert first["done"] > 0.2 * first["total"], "it began again"
    assert again.report["rehearsal"]["hub_sent_bytes"] == 0
    assert (fresh.home / "first-image.png").is_file()


def test_any_web_server_will_do(fresh: Tool, bundle: Path, tmp_path: Path) -> None:
    if (nginx := shutil.which("nginx")) is None:
        pytest.skip("nginx is not installed here")
    port, aside = free_port(), tmp_path / "nginx"
    (aside / "t").mkdir(parents=True)
    (aside / "conf").write_text(NGINX.format(user=getpass.getuser(), at=aside, port=port, root=bundle))
    with answering([nginx, "-c", str(aside / "conf"), "-e", str(aside / "error.log")], port):
        ended = fresh.run(*install(fresh, port))
    assert ended.code == 0, (ended.report["error"], ended.err)
    assert ended.report["rehearsal"]["hub_sent_bytes"] == 0


def test_without_any_route_from_nothing_to_the_first_image(fresh: Tool, bundle: Path, tmp_path: Path) -> None:
    if why := apart.why_not():
        pytest.skip(why)
    environ = {**fresh.env(), "PYTHON": sys.executable, "BUNDLE": str(bundle), "AT": str(tmp_path)}
    ended = subprocess.run(
        apart.without_a_route(NO_ROUTE),
        env={name: value for name, value in environ.items() if not name.endswith(("_INDEX", "_INDEX_URL"))},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    served = [json.loads(line) for line in (tmp_path / "served").read_text().splitlines()]
    assert next(line for line in served if line["type"] == "serving_started")["address"] == "http://127.0.0.1:8765"
    report = json.loads((tmp_path / "said").read_text().splitlines()[-1])
    assert report["rehearsal"]["hub_sent_bytes"] == 0
    assert (tmp_path / "home" / "first-image.png").is_file()


def test_a_rehearsal_is_served_as_a_bundle_of_it(rehearsed: Tool) -> None:
    began: list[Json] = []

    def serving_has_begun(line: Json) -> bool:
        began.extend([line] if line["type"] == "serving_started" else [])
        return bool(began)

    words = ("serve", "--rehearse", "--listen", "127.0.0.1:0", "--json")
    ended = rehearsed.until(serving_has_begun, *words, sign=signal.SIGINT)
    assert ended.code == 130, (ended.report, ended.err)
    assert {"model", "packages", "ComfyUI", "provision"} <= began[0]["parts"].keys()
