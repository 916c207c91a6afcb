"""A bundle of a rehearsed home, used without a network: from an empty HOME to the image, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from provision.core.bundle import ABOUT, KIT, LOCK, SUMS, model_path, source_path, wheel_path
from provision.core.lockfile import load_lock
from tests.e2e.conftest import Ended, Tool
from tests.e2e.test_from_nothing import programs
from tests.support.apart import why_not, without_a_route
from tests.support.bare_checkout import BASE_PYTHON
from tests.support.paths import CHECKOUT

TIMEOUT_S = 300
NGINX = """
{2} pid {0}/pid; error_log {0}/errors; daemon off; worker_processes 1;
events {{}}
http {{
  access_log {0}/access; client_body_temp_path {0}/1; proxy_temp_path {0}/2; fastcgi_temp_path {0}/3;
  uwsgi_temp_path {0}/4; scgi_temp_path {0}/5;
  server {{ listen 127.0.0.1:8765; root "{1}"; }}
}}
"""


@dataclass(frozen=True)
class Made:
    """A bundle, with what its lock names of each kind."""

    folder: Path
    digest: str

    @property
    def kinds(self) -> dict[str, str]:
        lock = load_lock(self.folder / LOCK)
        model, wheel = lock.models[0], next(each for each in lock.packages if each.name == "attrs")
        return {
            "model": model_path(model.repo, model.revision, model.path),
            "wheel": wheel_path(wheel.wheel),
            "source": source_path(lock.comfyui.commit),
        }


@pytest.fixture(scope="module")
def bundle(whole: Tool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """Made of a home that is whole: by a run that is killed, and one that goes on."""
    folder = tmp_path_factory.mktemp("disk") / "a bundle"
    subprocess.run(["cp", "-a", whole.home.parent.with_name("whole"), whole.home], check=True)
    try:
        killed = whole.until(lambda line: line["type"] == "progress", "bundle", str(folder), "--yes", "--json")
        assert (killed.code, (folder / SUMS).exists()) == (-9, False), killed.err
        half = whole.run("all", "--rehearse", "--from", str(folder))
        assert (half.code, half.report["error"]["code"]) == (2, "bundle")
        assert "it was not finished" in half.report["error"]["message"]
        made = whole.run("bundle", str(folder), "--yes")
        assert (made.code, made.report["changed"]) == (0, True), made.report
        again = whole.run("bundle", str(folder), "--yes")
        assert (again.code, again.report["changed"], again.report["written_bytes"]) == (0, False, 0)
        assert again.report["digest"] == made.report["digest"]
    finally:
        shutil.rmtree(whole.home)
    yield Made(folder, made.report["digest"])
    shutil.rmtree(folder)


@pytest.fixture
def copy(bundle: Made, tmp_path: Path) -> Made:
    """The same to be damaged: each file has to be written anew, not into."""
    subprocess.run(["cp", "-al", bundle.folder, tmp_path / "copy"], check=True)
    return Made(tmp_path / "copy", bundle.digest)


def change(path: Path, data: bytes) -> None:
    path.unlink()
    path.write_bytes(data)


def flipped(path: Path) -> bytes:
    """The same bytes but for one: of a wheel the time of its first file, so that it is a wheel still."""
    data = bytearray(path.read_bytes())
    data[12 if path.suffix == ".whl" else -1] ^= 1
    return bytes(data)


def test_a_bundle_is_whole_for_every_disk(bundle: Made, tool: Tool) -> None:
    subprocess.run(["sha256sum", "-c", "--quiet", SUMS], cwd=bundle.folder, check=True)
    entries = [*bundle.folder.rglob("*")]
    assert not [path for path in entries if path.is_symlink() or ":" in path.name or path.name.startswith(".")]
    listed = {line.split("  ")[1] for line in (bundle.folder / SUMS).read_text().splitlines()} | {SUMS}
    assert {path.relative_to(bundle.folder).as_posix() for path in entries if path.is_file()} == listed
    texts = [path.read_text() for path in entries if path.suffix in (".json", ".lock", ".txt", ".html")]
    assert not [text for text in texts if str(bundle.folder.parent) in text or "whole" in text]
    checked = tool.run("bundle", "--check", str(bundle.folder))
    assert (checked.code, checked.report["digest"]) == (0, bundle.digest)


def apart(script: str, environ: Mapping[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script where there is no route to anywhere."""
    if missing := why_not():
        pytest.skip(missing)
    return subprocess.run(
        without_a_route(script),
        env=dict(environ),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def test_from_an_empty_home_without_a_network_to_the_image(bundle: Made, tmp_path: Path) -> None:
    home = tmp_path / "a home"
    home.mkdir()
    given = {"HOME": str(home), "PATH": str(programs(tmp_path / "programs")), "LANG": "C.UTF-8"}
    python = {"UV_PYTHON_SEARCH_PATH": str(BASE_PYTHON.parent)}  # a rehearsal's bundle has none
    provision = '"$HOME/.local/bin/provision"'
    script = (
        f'sh "{bundle.folder}/{KIT}/install.sh" --from "{bundle.folder}" --sha256 {bundle.digest}\n'
        f'{provision} all --rehearse --from "{bundle.folder}" --from-sha256 {bundle.digest} --stop\n'
        f"{provision} all --rehearse --stop\n"  # the disk is gone
    )
    ran = apart(script, given | python, tmp_path)
    assert ran.returncode == 0, ran.stdout
    assert "the stand-in hub sent nothing" in ran.stdout
    with Image.open(home / "provision-rehearsal" / "first-image.png") as image:
        assert image.size == (512, 512)
    left = [path.name for path in (home / ".local/share/comfy-provision").iterdir()]
    assert not [name for name in left if name.startswith("kit")]


def test_over_a_plain_web_server_without_a_network(bundle: Made, tool: Tool, tmp_path: Path) -> None:
    (tmp_path / "nginx").mkdir()
    (tmp_path / "nginx" / "conf").write_text(
        NGINX.format(tmp_path / "nginx", bundle.folder, "user root;" if os.geteuid() == 0 else "")
    )
    serve = f'"{shutil.which("nginx")}" -c "{tmp_path}/nginx/conf"'
    if shutil.which("nginx") is None:
        print("\nThere is no nginx here: Python's http.server, which has no ranges, stands in for it.")
        serve = f'"{sys.executable}" -m http.server --bind 127.0.0.1 --directory "{bundle.folder}" 8765'
    words = ["all", "--rehearse", "--stop", "--json", "--from", "http://127.0.0.1:8765/"]
    call = " ".join(f"'{word}'" for word in tool.argv(*words))
    script = f"{serve} >/dev/null 2>&1 &\ntrap \"kill $!\" EXIT\n{call} >'{tmp_path}/said' 2>'{tmp_path}/err'\n"
    ran = apart(script, {**os.environ, "PYTHONPATH": str(CHECKOUT)}, tmp_path)
    said = (tmp_path / "said").read_text() if (tmp_path / "said").exists() else ran.stdout
    assert ran.returncode == 0, said[-3000:] + (tmp_path / "err").read_text()
    report = json.loads(said.splitlines()[-1])
    assert report["rehearsal"]["hub_sent_bytes"] == 0
    assert load_lock(tool.home / LOCK).packages == load_lock(bundle.folder / LOCK).packages


def refused(ended: Ended, code: int = 2) -> str:
    assert (ended.code, "Traceback" in ended.err) == (code, False), ended.report
    return str(ended.report["error"]["message"])


def test_what_a_bundle_lacks_is_said_at_the_start(copy: Made, tool: Tool) -> None:
    def tried(*words: str) -> str:
        said = refused(tool.run("all", "--rehearse", "--from", str(copy.folder), *words))
        assert not tool.home.exists()
        return said

    assert tried("--manifest", "sd-turbo").endswith("holds sdxl-turbo, not sd-turbo.")
    assert tried("--from-sha256", "0" * 64).endswith("is not the bundle with that digest.")
    for kind in ("wheel", "model"):
        path = copy.folder / copy.kinds[kind]
        data = path.read_bytes()
        change(path, data[:-1])
        assert tried().endswith(f"lacks {copy.kinds[kind]}.")
        path.unlink()
        assert tried().endswith(f"lacks {copy.kinds[kind]}.")
        path.write_bytes(data)
    for name in (LOCK, ABOUT, SUMS):
        path = copy.folder / name
        data = path.read_bytes()
        change(path, data[:-1] + b" ")
        assert "is not a complete bundle" in tried()
        path.write_bytes(data)
    real = tool.run("all", "--from", str(copy.folder))
    assert "was made by a rehearsal" in refused(real)


def test_a_byte_that_changed_is_never_installed(copy: Made, bundle: Made, tool: Tool) -> None:
    for path in copy.kinds.values():
        change(copy.folder / path, flipped(copy.folder / path))
    checked = tool.run("bundle", "--check", str(copy.folder))
    assert checked.code == 1
    assert set(checked.report["damaged"]) == set(copy.kinds.values())
    ended = tool.run("all", "--rehearse", "--stop", "--from", str(copy.folder))
    assert ended.code == 1, ended.report
    assert "is damaged" in ended.step("comfyui")["error"]["message"]
    assert "has no usable sd_xl_turbo_1.0_fp16.safetensors" in ended.step("models")["error"]["message"]
    assert not (tool.home / "ComfyUI" / "main.py").exists()
    assert not [*(tool.home / "ComfyUI").rglob("*.safetensors")]
    shutil.copy(bundle.folder / copy.kinds["source"], copy.folder / copy.kinds["source"])
    ended = tool.run("all", "--rehearse", "--stop", "--from", str(copy.folder))
    assert ended.code == 1, ended.report
    error = ended.step("torch")["error"]
    assert "Hash mismatch" in error["message"]
    assert {"bundle", "--check", str(copy.folder)} <= set(error["argv"])
    mended = tool.run("all", "--rehearse", "--stop", "--from", str(bundle.folder))
    assert mended.code == 0, mended.report
    looked = tool.run("doctor", "--from", str(bundle.folder))
    assert {step["name"] for step in looked.report["steps"] if not step["ok"]} == {"server"}
