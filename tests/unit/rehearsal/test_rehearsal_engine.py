"""The miniature engine as a real process from a real clone: its API, its faults, its command line."""

from __future__ import annotations

import io
import json
import os
import signal
import site
import socket
import struct
import subprocess
import threading
import uuid
import venv
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
import websocket
from PIL import Image

from provision.core.image import judge
from provision.rehearsal.checkpoints import SHRINK, write_checkpoint
from provision.rehearsal.engine_repo import EngineRepo, make_engine_repo
from provision.system.local_machine import free_port
from tests.support.engine_faults import add_faults

pytest.importorskip("aiohttp", reason="the engine's own requirement")
pytest.importorskip("yaml", reason="the engine's own requirement")

CHECKPOINT = "sd_xl_turbo_1.0_fp16.safetensors"
TIMEOUT_S = 20
Prompt = dict[str, dict[str, Any]]
Message = dict[str, Any]

# The part of torch's API that the engine uses.
FAKE_TORCH = """
import os
from types import SimpleNamespace
__version__ = "2.16.0.dev20261120"
backends = SimpleNamespace(mps=SimpleNamespace(is_available=lambda: os.environ.get("FAKE_MPS") == "1"))
cuda = SimpleNamespace(is_available=lambda: False)
"""


@dataclass(frozen=True)
class Install:
    """A checkout, and the Python that runs it."""

    checkout: Path
    python: Path

    def command(self, *flags: str) -> list[str]:
        """The command line of main.py."""
        return [str(self.python), "main.py", *flags]

    def environment(self, **extra: str) -> dict[str, str]:
        """The environment of a child, nothing of the caller's but the path."""
        return {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **extra}

    def run(self, *flags: str, **extra: str) -> subprocess.CompletedProcess[str]:
        """Run main.py to its end."""
        return subprocess.run(
            self.command(*flags),
            cwd=self.checkout,
            env=self.environment(**extra),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )


@dataclass
class Engine:
    """An engine that runs, and the lines of its log."""

    process: subprocess.Popen[str]
    port: int
    log: deque[str] = field(default_factory=deque)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def get(self, path: str, **query: str) -> requests.Response:
        return requests.get(self.url(path), params=query, timeout=TIMEOUT_S)

    def post(self, path: str, **body: Any) -> requests.Response:
        return requests.post(self.url(path), json=body, timeout=TIMEOUT_S)

    @contextmanager
    def listening(self, client_id: str) -> Iterator[websocket.WebSocket]:
        """A WebSocket that has had its first message."""
        sock = websocket.create_connection(
            f"ws://127.0.0.1:{self.port}/ws?clientId={client_id}", timeout=TIMEOUT_S, suppress_origin=True
        )
        try:
            assert json.loads(sock.recv())["data"]["sid"] == client_id
            yield sock
        finally:
            sock.close()

    def generate(self, prompt: Prompt, **body: Any) -> tuple[str, list[Message]]:
        """Run a prompt to its end: its id, and what was said about it."""
        client_id = uuid.uuid4().hex
        with self.listening(client_id) as sock:
            answer = self.post("/prompt", prompt=prompt, client_id=client_id, **body)
            assert answer.status_code == 200, answer.text
            return answer.json()["prompt_id"], list(messages(sock))

    def history(self, prompt_id: str) -> dict[str, Any]:
        entry = self.get(f"/history/{prompt_id}").json()[prompt_id]
        assert isinstance(entry, dict)
        return entry

    def picture(self, prompt_id: str) -> bytes:
        """The first picture of a finished prompt."""
        return self.get("/view", **self.history(prompt_id)["outputs"]["7"]["images"][0]).content


def messages(sock: websocket.WebSocket) -> Iterator[Message]:
    """Messages up to the one that ends a prompt, without the queue's; binary frames under the type "binary"."""
    while True:
        received = sock.recv()
        if isinstance(received, bytes):
            yield {"type": "binary", "data": received}
            continue
        message = json.loads(received)
        if message["type"] == "status":
            continue
        yield message
        if message["type"] == "executing" and message["data"]["node"] is None:
            return


def types(said: list[Message]) -> list[str]:
    return [message["type"] for message in said]


def data(said: list[Message], kind: str) -> dict[str, Any]:
    """The data of the only message of a kind."""
    (found,) = (message["data"] for message in said if message["type"] == kind)
    assert isinstance(found, dict)
    return found


def make_prompt(**inputs: Any) -> Prompt:
    """The prompt of a first image; `inputs` replace the values of that name, in whichever node has it."""
    nodes: dict[str, tuple[str, dict[str, Any]]] = {
        "1": ("CheckpointLoaderSimple", {"ckpt_name": CHECKPOINT}),
        "2": ("CLIPTextEncode", {"text": "a photo of a red fox in snow", "clip": ["1", 1]}),
        "3": ("CLIPTextEncode", {"text": "", "clip": ["1", 1]}),
        "4": ("EmptyLatentImage", {"width": 512, "height": 512, "batch_size": 1}),
        "5": (
            "KSampler",
            {
                "model": ["1", 0],
                "positive": ["2", 0],
                "negative": ["3", 0],
                "latent_image": ["4", 0],
                "seed": 42,
                "steps": 1,
                "cfg": 1.0,
                "sampler_name": "euler",
                "scheduler": "karras",
                "denoise": 1.0,
            },
        ),
        "6": ("VAEDecode", {"samples": ["5", 0], "vae": ["1", 2]}),
        "7": ("SaveImage", {"images": ["6", 0], "filename_prefix": "provision"}),
    }
    return {
        node_id: {"class_type": name, "inputs": {key: inputs.get(key, value) for key, value in values.items()}}
        for node_id, (name, values) in nodes.items()
    }


def make_python(folder: Path, *packages: Path) -> Path:
    """A virtual environment that sees these folders of packages."""
    venv.create(folder, symlinks=True)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    (site_packages / "rehearsal.pth").write_text("".join(f"{path}\n" for path in packages))
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> EngineRepo:
    return make_engine_repo(tmp_path_factory.mktemp("git") / "ComfyUI.git")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of this environment's packages, which has the engine's real requirements."""
    return Path(next(path for path in site.getsitepackages() if Path(path, "aiohttp").is_dir()))


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory, installed: Path) -> Path:
    fakes = tmp_path_factory.mktemp("fakes")
    (fakes / "torch.py").write_text(FAKE_TORCH)
    (fakes / "torchvision.py").write_text('__version__ = "0.31.0"\n')
    return make_python(tmp_path_factory.mktemp("venv"), fakes, installed)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / CHECKPOINT
    write_checkpoint(path, dtype="F16", shrink=SHRINK, seed=7)
    return path


def clone(repo: EngineRepo, tag: str, folder: Path) -> Path:
    command = ("git", "clone", "--quiet", "-c", "advice.detachedHead=false", "--branch", tag, repo.path, folder)
    subprocess.run(command, check=True)
    return folder


@pytest.fixture
def install(tmp_path: Path, repo: EngineRepo, python: Path, weights: Path) -> Install:
    """A fresh clone of the newest release with the checkpoint in its place."""
    checkout = clone(repo, "v0.38.1", tmp_path / "ComfyUI")
    os.link(weights, checkout / "models" / "checkpoints" / CHECKPOINT)
    return Install(checkout, python)


@pytest.fixture
def faulty(install: Install) -> Install:
    """The same, with faults on purpose."""
    add_faults(install.checkout)
    return install


@contextmanager
def running(install: Install, *flags: str, **extra: str) -> Iterator[Engine]:
    """The engine from its first line that says where it listens until the end of the block."""
    port = free_port()
    process = subprocess.Popen(
        install.command("--cpu", "--port", str(port), *flags),
        cwd=install.checkout,
        env=install.environment(**extra),
        stderr=subprocess.PIPE,
        text=True,
    )
    engine, listens = Engine(process, port), threading.Event()
    reader = threading.Thread(target=follow, args=(engine, listens))
    reader.start()
    try:
        assert listens.wait(TIMEOUT_S)
        assert process.poll() is None, "".join(engine.log)
        yield engine
    finally:
        process.kill()
        process.wait()
        reader.join()


def follow(engine: Engine, listens: threading.Event) -> None:
    """Keep the lines of the log; tell when the engine listens, or will not."""
    assert engine.process.stderr is not None
    with engine.process.stderr as stream:
        for line in stream:
            engine.log.append(line)
            if line.startswith("To see the GUI go to: "):
                listens.set()
    listens.set()


@pytest.fixture
def engine(install: Install) -> Iterator[Engine]:
    with running(install, "--force-fp16") as engine:
        yield engine


def test_the_repository_is_the_same_each_time(
    repo: EngineRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "gitconfig"
    config.write_text("[user]\n\tname = Somebody\n[init]\n\tdefaultBranch = trunk\n[core]\n\tautocrlf = true\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    again = make_engine_repo(tmp_path / "again.git")
    assert (again.head, again.tags) == (repo.head, repo.tags)
    assert repo.tags == ("v0.3.64", "v0.38.0", "v0.38.1", "latest-test")
    assert not (tmp_path / "elsewhere").exists()


def test_the_history_has_releases_and_later_work(repo: EngineRepo) -> None:
    def git(*args: str) -> str:
        return subprocess.run(("git", *args), cwd=repo.path, check=True, capture_output=True, text=True).stdout

    days = git("log", "--reverse", "--format=%D %as", "master").splitlines()
    assert [line.rpartition(" ")[2] for line in days] == ["2025-10-08", "2026-11-03", "2026-11-12", "2026-11-18"]
    assert git("rev-parse", "HEAD", "latest-test").split() == [repo.head, repo.head]
    assert git("show", "v0.3.64:comfyui_version.py") == '__version__ = "0.3.64"\n'
    assert "/models/" in git("show", "master:.gitignore")
    assert "models/checkpoints/put_checkpoints_here" in git("ls-tree", "-r", "--name-only", "master").splitlines()
    assert git("config", "uploadpack.allowAnySHA1InWant").strip() == "true"
    git("fsck", "--strict")


def test_a_first_image(engine: Engine, install: Install) -> None:
    workflow = {"nodes": [], "version": 0.4}
    prompt_id, said = engine.generate(make_prompt(), extra_data={"extra_pnginfo": {"workflow": workflow}})
    assert types(said)[:2] == ["execution_start", "execution_cached"]
    assert types(said)[-2:] == ["execution_success", "executing"]
    assert data(said, "execution_cached")["nodes"] == []
    steps = [message["data"]["node"] for message in said if message["type"] == "executing"]
    assert sorted(steps[:-1]) == list("1234567")
    progress = data(said, "progress")
    assert (progress["value"], progress["max"], progress["node"]) == (1, 1, "5")
    shown = {"images": [{"filename": "provision_00001_.png", "subfolder": "", "type": "output"}]}
    assert data(said, "executed")["output"] == shown
    entry = engine.history(prompt_id)
    assert entry["outputs"] == {"7": shown}
    assert (entry["status"]["status_str"], entry["status"]["completed"]) == ("success", True)
    assert entry["prompt"][1] == prompt_id
    png = engine.picture(prompt_id)
    assert (install.checkout / "output" / "provision_00001_.png").read_bytes() == png
    with Image.open(io.BytesIO(png)) as picture:
        assert json.loads(picture.info["prompt"]) == make_prompt()
        assert json.loads(picture.info["workflow"]) == workflow
    verdict = judge(png, 512, 512)
    assert verdict.why == "picture"
    assert verdict.facts.neighbour_correlation > 0.9
    assert verdict.facts.std > 20
    assert any(line.startswith("Prompt executed in 0.") for line in engine.log)


def test_the_last_state_of_progress_is_finished_for_every_node(engine: Engine) -> None:
    _, said = engine.generate(make_prompt(steps=3))
    states = [message["data"]["nodes"] for message in said if message["type"] == "progress_state"]
    assert {node["state"] for node in states[-1].values()} == {"finished"}
    assert (states[-1]["5"]["value"], states[-1]["5"]["max"]) == (3, 3)
    assert [message["data"]["value"] for message in said if message["type"] == "progress"] == [1, 2, 3]


def test_the_same_prompt_again_is_answered_from_the_cache(engine: Engine, install: Install) -> None:
    first, _ = engine.generate(make_prompt())
    second, said = engine.generate(make_prompt())
    assert data(said, "execution_cached")["nodes"] == list("1234567")
    assert [message["data"]["node"] for message in said if message["type"] == "executing"] == [None]
    assert engine.history(second)["outputs"] == engine.history(first)["outputs"]
    assert len(list((install.checkout / "output").glob("*.png"))) == 1


def test_another_seed_runs_only_what_depends_on_it(engine: Engine) -> None:
    first, _ = engine.generate(make_prompt())
    second, said = engine.generate(make_prompt(seed=43))
    assert data(said, "execution_cached")["nodes"] == list("1234")
    assert data(said, "executed")["output"]["images"][0]["filename"] == "provision_00002_.png"
    assert engine.picture(first) != engine.picture(second)


def pixels(png: bytes) -> bytes:
    with Image.open(io.BytesIO(png)) as picture:
        return picture.convert("RGB").tobytes()


def test_a_picture_follows_from_weights_and_settings(install: Install) -> None:
    def painted(engine: Engine, **inputs: Any) -> bytes:
        return pixels(engine.picture(engine.generate(make_prompt(width=128, height=64, **inputs))[0]))

    with running(install) as engine:
        before = painted(engine)
        assert len(before) == 128 * 64 * 3
        assert painted(engine, filename_prefix="sub/other") == before
        assert painted(engine, text="a blue fox", filename_prefix="text") != before
    with running(install) as engine:
        assert painted(engine) == before
    checkpoint = install.checkout / "models" / "checkpoints" / CHECKPOINT
    checkpoint.unlink()
    write_checkpoint(checkpoint, dtype="F16", shrink=SHRINK, seed=8)
    with running(install) as engine:
        assert painted(engine) != before


def test_models_are_listed_as_they_are_on_the_disk_now(engine: Engine, install: Install) -> None:
    assert engine.get("/models/checkpoints").json() == [CHECKPOINT]
    folder = install.checkout / "models" / "checkpoints"
    (folder / "nested").mkdir()
    os.link(folder / CHECKPOINT, folder / "nested" / "Other.safetensors")
    names = sorted([CHECKPOINT, "nested/Other.safetensors"])
    assert engine.get("/api/models/checkpoints").json() == names
    info = engine.get("/object_info/CheckpointLoaderSimple").json()["CheckpointLoaderSimple"]
    assert info["input"]["required"]["ckpt_name"][0] == names
    assert info["output"] == ["MODEL", "CLIP", "VAE"]
    assert engine.get("/models/nothing").status_code == 404
    assert "checkpoints" in engine.get("/models").json()


def test_what_the_engine_says_of_itself(engine: Engine) -> None:
    stats = engine.get("/system_stats").json()
    assert stats["system"]["comfyui_version"] == "0.38.1"
    assert stats["system"]["pytorch_version"] == "2.16.0.dev20261120"
    assert stats["system"]["argv"] == ["main.py", "--cpu", "--port", str(engine.port), "--force-fp16"]
    assert stats["system"]["ram_total"] >= stats["system"]["ram_free"] > 0
    assert (stats["devices"][0]["name"], stats["devices"][0]["index"]) == ("cpu", None)
    assert engine.get("/object_info/NoSuchNode").json() == {}
    assert engine.get("/queue").json() == {"queue_running": [], "queue_pending": []}
    assert engine.get("/prompt").json() == {"exec_info": {"queue_remaining": 0}}
    assert engine.get("/history/unknown").json() == {}
    assert "ComfyUI 0.38.1" in engine.get("/").text


def without(node_id: str, name: str) -> Prompt:
    prompt = make_prompt()
    del prompt[node_id]["inputs"][name]
    return prompt


def changed(node_id: str, **values: Any) -> Prompt:
    prompt = make_prompt()
    prompt[node_id] |= values
    return prompt


REFUSALS: dict[str, tuple[Prompt, str, str | None, str]] = {
    "file": (
        make_prompt(ckpt_name="other.safetensors"),
        "value_not_in_list",
        "1",
        f"ckpt_name: 'other.safetensors' not in ['{CHECKPOINT}']",
    ),
    "sampler": (
        make_prompt(sampler_name="Euler"),
        "value_not_in_list",
        "5",
        "sampler_name: 'Euler' not in (list of length 42)",
    ),
    "missing": (without("5", "steps"), "required_input_missing", "5", "steps"),
    "small": (make_prompt(steps=0), "value_smaller_than_min", "5", "steps"),
    "big": (make_prompt(denoise=2), "value_bigger_than_max", "5", "denoise"),
    "text": (
        make_prompt(seed="many"),
        "invalid_input_type",
        "5",
        "seed, many, invalid literal for int() with base 10: 'many'",
    ),
    "link": (make_prompt(clip=["1"]), "bad_linked_input", "2", "clip"),
    "type": (
        make_prompt(clip=["1", 0]),
        "return_type_mismatch",
        "2",
        "clip, received_type(MODEL) mismatch input_type(CLIP)",
    ),
    "nowhere": (make_prompt(clip=["99", 0]), "exception_during_inner_validation", "2", "'99'"),
    "unknown": (changed("2", class_type="Nothing"), "missing_node_type", None, "Node ID '#2'"),
    "no outputs": ({"1": make_prompt()["1"]}, "prompt_no_outputs", None, ""),
}


def test_prompts_that_are_refused(engine: Engine) -> None:
    for case, (prompt, kind, node_id, details) in REFUSALS.items():
        answer = engine.post("/prompt", prompt=prompt)
        assert answer.status_code == 400, case
        body = answer.json()
        if node_id is None:
            error = body["error"]
            assert body["node_errors"] == {}
        else:
            assert (body["error"]["type"], body["error"]["details"]) == ("prompt_outputs_failed_validation", "")
            failure = body["node_errors"][node_id]
            assert failure["dependent_outputs"] == ["7"]
            assert failure["class_type"] == prompt[node_id]["class_type"]
            error = failure["errors"][0]
        assert (error["type"], error["details"]) == (kind, details), case
    assert engine.post("/prompt").json()["error"]["type"] == "no_prompt"
    refused = engine.post("/prompt", prompt=make_prompt(), prompt_id=str(uuid.uuid4()).upper())
    assert (refused.status_code, refused.json()["error"]["type"]) == (400, "invalid_prompt_id")
    assert engine.get("/history").json() == {}


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"filename": "absent.png"}, 404),
        ({}, 404),
        ({"filename": "../main.py"}, 400),
        ({"filename": "/etc/hosts"}, 400),
        ({"filename": ""}, 400),
        ({"filename": "a.png", "type": "secret"}, 400),
        ({"filename": "main.py", "subfolder": ".."}, 403),
    ],
)
def test_view_gives_out_nothing_else(shared: Engine, query: dict[str, str], status: int) -> None:
    assert shared.get("/view", **query).status_code == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://evil.example", 403), ("http://127.0.0.1:1", 403), ("http://127.0.0.1:{port}", 200), (None, 200)],
)
def test_pages_of_other_origins_are_kept_out(shared: Engine, origin: str | None, status: int) -> None:
    headers = {"Origin": origin.format(port=shared.port)} if origin else {}
    answer = requests.get(shared.url("/system_stats"), headers=headers, timeout=TIMEOUT_S)
    assert answer.status_code == status


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, repo: EngineRepo, python: Path) -> Iterator[Engine]:
    """One engine for tests that change nothing in it."""
    checkout = clone(repo, "v0.38.1", tmp_path_factory.mktemp("shared") / "ComfyUI")
    with running(Install(checkout, python)) as engine:
        yield engine


def test_workflows_of_the_user_are_listed(engine: Engine, install: Install) -> None:
    workflows = install.checkout / "user" / "default" / "workflows"
    (workflows / "deep").mkdir(parents=True)
    (workflows / "first.json").write_text("{}")
    (workflows / "deep" / "second.json").write_text("[]")
    listed = engine.get("/userdata", dir="workflows", recurse="true", split="false", full_info="true").json()
    assert {entry["path"]: entry["size"] for entry in listed} == {"first.json": 2, "deep/second.json": 2}
    assert engine.get("/userdata", dir="workflows").json() == ["first.json"]
    assert engine.get("/userdata", dir="nowhere").status_code == 404
    assert engine.get("/userdata", dir="../..").status_code == 403
    assert engine.get("/userdata").status_code == 400
    assert engine.get("/api/userdata/workflows%2Ffirst.json").json() == {}
    saved = requests.post(engine.url("/userdata/workflows%2Fthird.json"), data=b"{}", timeout=TIMEOUT_S)
    assert saved.json() == "workflows/third.json"
    assert (workflows / "third.json").read_bytes() == b"{}"


def test_custom_nodes_bring_scripts_to_the_page_and_nothing_else(install: Install) -> None:
    node = install.checkout / "custom_nodes" / "a node"
    (node / "web" / "deep").mkdir(parents=True)
    (node / "__init__.py").write_text('WEB_DIRECTORY = "./web"\nNODE_CLASS_MAPPINGS = {}\n')
    (node / "web" / "deep" / "one.js").write_text("// one")
    (node / "secret.js").write_text("// not in the folder that it names")
    with running(install) as engine:
        assert engine.get("/extensions").json() == ["/extensions/a%20node/deep/one.js"]
        assert engine.get("/extensions/a%20node/deep/one.js").text == "// one"
        assert engine.get("/extensions/a%20node/..%2Fsecret.js").status_code == 404
        assert engine.get("/extensions/another/one.js").status_code == 404
        assert "export const app" in engine.get("/scripts/app.js").text
        assert engine.get("/scripts/..%2F..%2Fmain.py").status_code == 404


def test_settings_of_the_page_are_kept(engine: Engine, install: Install) -> None:
    assert engine.get("/api/settings").json() == {}
    for name, value in (("Comfy.TutorialCompleted", True), ("Comfy.Locale", "ko")):
        sent = requests.post(engine.url(f"/api/settings/{name}"), json=value, timeout=TIMEOUT_S)
        assert sent.status_code == 200
    kept = {"Comfy.TutorialCompleted": True, "Comfy.Locale": "ko"}
    assert engine.get("/settings").json() == kept
    assert json.loads((install.checkout / "user/default/comfy.settings.json").read_text()) == kept


def test_a_running_prompt_is_interrupted_and_the_queue_cleared(engine: Engine) -> None:
    client_id = uuid.uuid4().hex
    with engine.listening(client_id) as sock:
        first = engine.post("/prompt", prompt=make_prompt(steps=2000), client_id=client_id).json()["prompt_id"]
        waiting = engine.post("/prompt", prompt=make_prompt(seed=1)).json()["prompt_id"]
        said = messages(sock)
        assert any(message["type"] == "progress" for message in said)
        queue = engine.get("/queue").json()
        assert [item[1] for item in queue["queue_running"]] == [first]
        assert [item[1] for item in queue["queue_pending"]] == [waiting]
        assert engine.post("/queue", clear=True).status_code == 200
        assert engine.post("/interrupt").status_code == 200
        assert data(list(said), "execution_interrupted")["node_id"] == "5"
    assert engine.history(first)["status"]["status_str"] == "error"
    assert engine.get("/queue").json() == {"queue_running": [], "queue_pending": []}
    assert engine.post("/free", unload_models=True, free_memory=True).status_code == 200


def test_previews_are_binary_frames(install: Install) -> None:
    with running(install, "--preview-method", "auto") as engine:
        _, said = engine.generate(make_prompt())
    (frame,) = (message["data"] for message in said if message["type"] == "binary")
    assert struct.unpack(">II", frame[:8]) == (1, 1)
    with Image.open(io.BytesIO(frame[8:])) as preview:
        assert preview.format == "JPEG"


@pytest.mark.parametrize(
    ("fault", "flags", "why"),
    [
        ("black", ("--fp32-vae",), "black"),
        ("black:--fp32-vae", (), "black"),
        ("black:--fp32-vae", ("--fp32-vae",), "picture"),
        ("noise", (), "noise"),
        ("flat", (), "flat"),
    ],
)
def test_faults_that_spoil_the_picture(faulty: Install, fault: str, flags: tuple[str, ...], why: str) -> None:
    with running(faulty, *flags, ENGINE_FAULT=fault) as engine:
        prompt_id, _ = engine.generate(make_prompt())
        assert judge(engine.picture(prompt_id), 512, 512).why == why


@pytest.mark.parametrize(
    ("fault", "node_id", "words"),
    [
        ("oom", "5", "MPS backend out of memory (MPS allocated"),
        ("node_error", "5", "mat1 and mat2 shapes cannot be multiplied"),
        ("ckpt_error", "1", "incomplete metadata, file not fully covered"),
    ],
)
def test_faults_of_a_node(faulty: Install, fault: str, node_id: str, words: str) -> None:
    with running(faulty, ENGINE_FAULT=fault) as engine:
        prompt_id, said = engine.generate(make_prompt())
        error = data(said, "execution_error")
        status = engine.history(prompt_id)["status"]
    assert error["node_id"] == node_id
    assert words in error["exception_message"]
    assert error["traceback"]
    assert (status["status_str"], status["completed"]) == ("error", False)
    assert status["messages"][-1][0] == "execution_error"
    assert any("!!! Exception during processing !!!" in line for line in engine.log)


def test_the_engine_can_die(faulty: Install) -> None:
    with running(faulty, ENGINE_FAULT="die") as engine:
        engine.post("/prompt", prompt=make_prompt())
        assert engine.process.wait(TIMEOUT_S) == -signal.SIGKILL


def test_control_c_stops_it_in_good_order(engine: Engine) -> None:
    engine.process.send_signal(signal.SIGINT)
    assert engine.process.wait(TIMEOUT_S) == 0


def test_the_websocket_can_be_missing(faulty: Install) -> None:
    with running(faulty, ENGINE_FAULT="no_ws,slow_start:0.01") as engine:
        assert engine.get("/ws").status_code == 404


BROKEN: dict[str, tuple[bytes, str]] = {
    "pointer": (b"version https://git-lfs.github.com/spec/v1\n" + b"0" * 90, "header too large"),
    "page": (b"<!doctype html><title>Sign in</title>", "header too large"),
    "short": (b"abc", "header too small"),
    "zeros": (bytes(1000), "invalid JSON in header"),
    "cut header": (struct.pack("<Q", 5000) + b"{", "invalid header length"),
    "other": (struct.pack("<Q", 2) + b"{}", "Could not detect model type of: "),
}


def test_broken_checkpoints_are_named(engine: Engine, install: Install) -> None:
    folder = install.checkout / "models" / "checkpoints"
    whole = (folder / CHECKPOINT).read_bytes()
    cases = {**BROKEN, "cut": (whole[:-1], "incomplete metadata, file not fully covered")}
    for name, (content, words) in cases.items():
        (folder / f"{name}.safetensors").write_bytes(content)
        _, said = engine.generate(make_prompt(ckpt_name=f"{name}.safetensors"))
        error = data(said, "execution_error")
        assert words in error["exception_message"], name
        assert error["node_type"] == "CheckpointLoaderSimple"


def test_an_old_release_speaks_its_own_words(tmp_path: Path, repo: EngineRepo, python: Path) -> None:
    install = Install(clone(repo, "v0.3.64", tmp_path / "ComfyUI"), python)
    (install.checkout / "models" / "checkpoints" / "cut.safetensors").write_bytes(struct.pack("<Q", 2) + b"{} ")
    with running(install) as engine:
        assert engine.get("/system_stats").json()["system"]["comfyui_version"] == "0.3.64"
        refused = engine.post("/prompt", prompt=changed("2", class_type="Nothing")).json()["error"]
        assert refused["message"] == "Cannot execute because node Nothing does not exist."
        _, said = engine.generate(make_prompt(ckpt_name="cut.safetensors"), prompt_id="any")
        assert "The safetensors file is corrupt/incomplete." in data(said, "execution_error")["exception_message"]
    assert install.run("--disable-assets").returncode == 2
    assert install.run("--normalvram", "--quick-test-for-ci", FAKE_MPS="1").returncode == 0


@pytest.mark.parametrize(
    "flags",
    [
        ("--no-such-flag",),
        ("--force-fp16", "--force-fp32"),
        ("--preview-method", "magic"),
        ("--normalvram", "--lowvram"),
    ],
)
def test_wrong_flags_end_with_two(install: Install, flags: tuple[str, ...]) -> None:
    done = install.run("--cpu", *flags)
    assert done.returncode == 2
    assert "usage: main.py" in done.stderr


def test_the_quick_test_binds_nothing(install: Install) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        flags = ("--cpu", "--port", str(taken.getsockname()[1]))
        done = install.run(*flags, "--quick-test-for-ci", "--disable-all-custom-nodes", "--disable-assets")
        assert done.returncode == 0, done.stderr
        assert "pytorch version: 2.16.0.dev20261120" in done.stderr
        done = install.run(*flags)
    assert done.returncode == 1
    assert f"Port {flags[2]} is already in use on address 127.0.0.1." in done.stderr


def test_without_a_device_it_does_not_start(install: Install) -> None:
    done = install.run("--quick-test-for-ci")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "AssertionError: Torch not compiled with CUDA enabled"
    done = install.run("--quick-test-for-ci", FAKE_MPS="1")
    assert done.returncode == 0
    assert "Device: mps" in done.stderr


def test_missing_packages_show_as_python_shows_them(install: Install, tmp_path: Path, installed: Path) -> None:
    bare = Install(install.checkout, make_python(tmp_path / "bare"))
    done = bare.run("--cpu", "--quick-test-for-ci")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "ModuleNotFoundError: No module named 'yaml'")
    no_torch = Install(install.checkout, make_python(tmp_path / "no_torch", installed))
    done = no_torch.run("--cpu", "--quick-test-for-ci")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "ModuleNotFoundError: No module named 'torch'")


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "'NoneType' object is not iterable"), ("a: b\n\tc: d\n", "found character '\\t'")],
)
def test_a_bad_list_of_paths_ends_the_start(install: Install, text: str, words: str) -> None:
    (install.checkout / "extra_model_paths.yaml").write_text(text)
    done = install.run("--cpu", "--quick-test-for-ci")
    assert done.returncode == 1
    assert words in done.stderr


def test_models_of_another_folder_are_listed_too(install: Install, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "ckpt"
    elsewhere.mkdir(parents=True)
    os.link(install.checkout / "models" / "checkpoints" / CHECKPOINT, elsewhere / "mine.safetensors")
    lines = f"mine:\n  base_path: {elsewhere.parent}\n  checkpoints: ckpt\n"
    (install.checkout / "extra_model_paths.yaml").write_text(lines)
    with running(install) as engine:
        assert engine.get("/models/checkpoints").json() == ["mine.safetensors", CHECKPOINT]
