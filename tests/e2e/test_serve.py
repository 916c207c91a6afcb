"""`serve` as a person runs it: what it says, that it ends, who read."""

from __future__ import annotations

import signal
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from provision.core.bundle import SUMS, parse_sums
from tests.e2e.conftest import Json, Tool
from tests.support import json_lines
from tests.support.bundles import FILES, MODEL, write_bundle

HERE = "127.0.0.1:0"


def get(address: str, path: str) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{address}/{quote(path)}", timeout=60) as answer:
        return bytes(answer.read())


class Served:
    """Reads once serving has begun; then it is ended."""

    def __init__(self, *paths: str) -> None:
        self.paths, self.got, self.began = paths, dict[str, bytes](), dict[str, Any]()

    def __call__(self, line: Json) -> bool:
        if line["type"] == "serving_started":
            self.began = line
            self.got = {path: get(line["address"], path) for path in self.paths}
        return bool(self.got)


def test_a_bundle_is_served_until_ctrl_c(tool: Tool, tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    served = Served(*FILES, SUMS)
    ended = tool.until(served, "serve", str(folder), "--listen", HERE, "--json", sign=signal.SIGINT)
    json_lines.check_all(ended.lines, ended.code)
    assert (ended.code, ended.report["error"]["code"]) == (130, "interrupted")
    assert {path: served.got[path] for path in FILES} == FILES
    assert served.began["parts"]["model"] == len(FILES[MODEL])
    assert served.began["lacks"] == []
    (reader,) = (line for line in ended.lines if line["type"] == "reader_seen" and line["over"])
    assert reader["sent_bytes"] == sum(map(len, served.got.values()))
    assert not tool.home.exists()


def test_it_ends_by_itself_and_says_what_to_type(tool: Tool, tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    ended = tool.text("serve", str(folder), "--listen", HERE, "--for", "1s")
    assert ended.returncode == 0, ended.stderr
    address = next(word for word in ended.stdout.split() if word.startswith("http://127.0.0.1:"))
    assert f"provision all --from {address}" in ended.stderr
    assert "Served 0 B to 0 readers." in ended.stdout
    assert "--home" not in ended.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--listen", "0.0.0.0"), "Confirmation needed"),
        (("--listen", "[::]:1"), "Confirmation needed"),
        (("--listen", "x y"), "Invalid --listen"),
        (("--listen", "192.0.2.1"), "not an address of this machine"),
        (("--for", "soon"), "Invalid --for"),
        (("--for", "0m"), "Invalid --for"),
    ],
)
def test_what_is_refused(tool: Tool, tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    ended = tool.run("serve", str(write_bundle(tmp_path / "bundle")), *words)
    assert ended.code in (1, 2)
    assert says in ended.report["error"]["message"]


def test_a_folder_that_is_neither_is_refused(tool: Tool, tmp_path: Path) -> None:
    (tmp_path / "stuff").mkdir()
    ended = tool.run("serve", str(tmp_path / "stuff"), "--listen", HERE)
    assert ended.code in (1, 2)
    assert not list((tmp_path / "stuff").iterdir())


def test_an_install_folder_serves_its_model_as_a_hub(rehearsed: Tool, tmp_path: Path) -> None:
    before = sorted(rehearsed.home.rglob("*"))
    served = Served(SUMS, "provision.lock")
    ended = rehearsed.until(served, "serve", "--listen", HERE, "--json", sign=signal.SIGINT)
    assert ended.code == 130
    assert served.began["lacks"] == ["packages", "ComfyUI", "Python", "provision"]
    (path,) = parse_sums(served.got[SUMS].decode())
    assert path.startswith("stabilityai/sdxl-turbo/resolve/")
    assert served.got["provision.lock"] == (rehearsed.home / "provision.lock").read_bytes()
    assert sorted(rehearsed.home.rglob("*")) == before
