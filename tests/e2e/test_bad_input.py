"""What people and networks do wrong: one clear sentence, a hint to run, exit 1 or 2, nothing lost."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.core.home import Home
from provision.rehearsal.checkpoints import SHRINK, write_checkpoint
from provision.rehearsal.model_repo import make_model_repo
from tests.e2e.conftest import Ended, Tool
from tests.support.faults import Fault
from tests.support.hub import Hub
from tests.support.paths import NOT_EVEN_ROOTS

NAME = "sd_xl_turbo_1.0_fp16.safetensors"
REPO = "stabilityai/sdxl-turbo"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    write_checkpoint(folder / NAME, dtype="F16", shrink=SHRINK, seed=3)
    make_model_repo(folder / "root", REPO, {NAME: folder / NAME})
    return folder / "root"


@pytest.fixture
def hub(root: Path) -> Iterator[Hub]:
    with Hub(root) as hub:
        yield hub


def download(tool: Tool, hub: Hub, *words: str) -> Ended:
    """A real run of the models step against a hub that misbehaves."""
    tool.environ["HF_ENDPOINT"] = hub.url
    return tool.run("download", f"{REPO}/{NAME}", "--backend", "http", *words)


def assert_clear(ended: Ended, *words: str, code: int = 1) -> None:
    """Exit code, one sentence that says what it is, and a hint; no traceback, no bug."""
    assert ended.code == code, (ended.lines, ended.err)
    text, hint = said(ended)
    assert any(word in text for word in words), text
    assert hint
    assert "Traceback" not in text + ended.err


def said(ended: Ended) -> tuple[str, str]:
    report = ended.report
    if report.get("error"):
        return report["error"]["message"], report["error"]["hint"]
    for step in report["steps"]:
        if step["error"]:
            return step["error"]["message"], step["error"]["hint"]
        for finding in step["findings"]:
            if finding["verdict"] == "blocked":
                return finding["message"], finding["fix"]["message"]
    raise AssertionError(report)


HUB_FAULTS = [
    (Fault("*resolve*", "html", -1), ("not a hub", "hub", "page")),
    (Fault("*resolve*", "status", -1, "401"), ("401", "token", "log in")),
    (Fault("*resolve*", "status", -1, "403"), ("403", "access", "accept")),
    (Fault("*resolve*", "status", -1, "404"), ("404",)),
    (Fault("*resolve*", "status", -1, "429 1"), ("429", "busy", "too many")),
    (Fault("*resolve*", "status", -1, "503"), ("503", "busy")),
    (Fault("*", "wrong_length", -1, origin="cdn"), ("length", "bytes")),
    (Fault("*", "html", -1, origin="cdn"), ("page", "HTML")),
]


@pytest.mark.parametrize(("fault", "words"), HUB_FAULTS, ids=[f"{f.kind}-{f.value}-{f.origin}" for f, _ in HUB_FAULTS])
def test_a_hub_that_answers_wrong(tool: Tool, hub: Hub, fault: Fault, words: tuple[str, ...]) -> None:
    hub.arm(fault)
    ended = download(tool, hub)
    assert_clear(ended, *words)
    assert not (tool.home / "ComfyUI" / "models" / "checkpoints" / NAME).exists()
    hub.disarm()
    assert download(tool, hub).code == 0  # nothing is lost: the same command goes on


def test_a_hub_that_never_answers(tool: Tool) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        tool.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{silent.getsockname()[1]}"
        ended = tool.run("download", "--backend", "http")
    assert_clear(ended, "no answer within")


def test_an_endpoint_that_is_no_address(tool: Tool) -> None:
    tool.environ["HF_ENDPOINT"] = "ftp://example.org"
    assert_clear(tool.run("download"), "HF_ENDPOINT", code=2)


def test_home_is_a_file(tool: Tool) -> None:
    tool.home.write_text("mine", encoding="utf-8")
    assert_clear(tool.run("all", "--rehearse"), "is a file")
    assert tool.home.read_text(encoding="utf-8") == "mine"
    tool.home.unlink()


def test_home_cannot_be_written(tool: Tool) -> None:
    tool.home = NOT_EVEN_ROOTS / "provision"
    assert_clear(tool.run("all", "--rehearse"), "is not usable")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 40 MB: enough to begin, too small for the world of a rehearsal."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here (user {os.getuid()})")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_too_little_disk_is_blocked_before_the_first_byte(tool: Tool, hub: Hub, small_disk: Path) -> None:
    tool.home = small_disk / "home"
    tool.environ["HF_ENDPOINT"] = hub.url
    ended = tool.run("all")
    assert ended.code == 1
    disk = next(f for f in ended.step("hardware")["findings"] if f["id"] == "disk-low")
    assert disk["verdict"] == "blocked"
    assert "GB" in disk["message"]
    assert hub.sent_bytes() == 0


def test_a_disk_that_fills_up_keeps_what_came(tool: Tool, hub: Hub, small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(b"x" * 25_000_000)
    tool.home = small_disk / "home"
    assert_clear(download(tool, hub), "is full")
    parts = list((tool.home / "state" / "parts").glob("*.part"))
    assert parts
    assert parts[0].stat().st_size > 1_000_000
    (small_disk / "ballast").unlink()
    before = hub.sent_bytes()
    assert download(tool, hub).code == 0
    assert hub.sent_bytes() - before < 25_000_000  # it went on from what was there


MANIFESTS = [
    ("unknown = 1", "unknown"),
    ("models = []\n[machine]\nmemory_gib_min = 'one'", "machine.memory_gib_min"),
    ("[[models]]\nrepo = 'a/b'\nfolder = '../../etc'\nfiles = [{ path = 'x.safetensors' }]", "models.0.folder"),
    ("[[models]]\nrepo = 'a/b'\nfolder = '/etc'\nfiles = [{ path = 'x.safetensors' }]", "models.0.folder"),
    ("[[models]]\nrepo = 'a/b'\nfolder = 'vae'\nfiles = [{ path = '../x.safetensors' }]", "models.0.files.0.path"),
    ("[[models]]\nrepo = 'a/b'\nfolder = 'vae'\nfiles = [{ path = 'x.ckpt' }]", "models.0.files.0.path"),
    ("[[models]]\nrepo = 'a/b'\nfolder = 'vae'\nfiles = [{ path = 'x.safetensors', sha256 = 'ff' }]", "sha256"),
    ("this is no toml", "cannot be read"),
]


@pytest.mark.parametrize(("text", "words"), MANIFESTS, ids=[words for _, words in MANIFESTS])
def test_manifests_that_are_refused(tool: Tool, tmp_path: Path, text: str, words: str) -> None:
    start = (
        'schema = 1\nname = "x"\ntitle = "X"\nlicense = { id = "x" }\ncomfyui = { url = "https://a/b" }\n'
        'first_image = { prompt = "p" }\n'
    )
    path = tmp_path / "mine.toml"
    path.write_text(start + text, encoding="utf-8")
    ended = tool.run("all", "--manifest", str(path))
    assert_clear(ended, words, code=2)
    assert not tool.home.exists()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--backend", "torrent"), "torrent"),
        (("--precision", "fp8"), "fp8"),
        (("--set", "first_image.step=2"), "first_image.step"),
        (("--set", "nonsense"), "KEY=VALUE"),
        (("--torch", "newest"), "torch.channel"),
        (("--comfyui", "--upload-pack=x"), "comfyui.ref"),
        (("--manifest", "sdxl-trubo"), "sdxl-trubo"),
    ],
)
def test_words_that_cannot_be_used(tool: Tool, words: tuple[str, ...], text: str) -> None:
    assert_clear(tool.run("all", *words), text, code=2)
    assert not tool.home.exists()


def test_a_folder_that_leads_out_of_the_home(tool: Tool, hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    Home(tool.home).prepare()
    (tool.home / "ComfyUI" / "models").mkdir(parents=True)
    (tool.home / "ComfyUI" / "models" / "checkpoints").symlink_to(tmp_path / "elsewhere")
    assert_clear(download(tool, hub), "is a link out of the install folder")
    assert not list((tmp_path / "elsewhere").iterdir())
