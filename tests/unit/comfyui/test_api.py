"""The client against the miniature engine as a real process, against strangers, and what errors mean."""

from __future__ import annotations

import io
import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from provision.comfyui.answers import Entry, Saved
from provision.comfyui.api import Comfy
from provision.comfyui.error_explanations import execution_failure, explain, refusal
from provision.comfyui.server_process import start_server, stop_server
from provision.comfyui.workflow_graph import prompt_graph, ui_workflow
from provision.command import Fix
from provision.errors import EngineError, Interrupted, PortTaken
from provision.system.local_machine import free_port
from provision.system.machine import LOOPBACK
from tests.support.engine_home import CHECKPOINT, TORCH, EngineHome, engine_home
from tests.support.hints import said
from tests.support.processes import eventually


def never() -> None:
    """Nobody asks to stop."""


def unheard(stage: str, done: int, total: int | None) -> None:
    """Nobody follows."""


@contextmanager
def running(root: Path, fault: str = "") -> Iterator[tuple[EngineHome, Comfy]]:
    home = engine_home(root, fault=fault)
    start_server(home.ctx, timeout_s=60)
    try:
        yield home, Comfy(home.ctx.manifest.comfyui.port, check=never)
    finally:
        stop_server(home.ctx)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EngineHome, Comfy]]:
    with running(tmp_path_factory.mktemp("engine")) as made:
        yield made


def graph(home: EngineHome, seed: int, **changes: Any) -> dict[str, Any]:
    made = prompt_graph(home.ctx.manifest.first_image, CHECKPOINT, seed)
    for name, value in changes.items():
        node = {"ckpt_name": "1", "width": "4"}.get(name, "5")
        made[node]["inputs"][name] = value
    return made


# -- who answers ----------------------------------------------------------------------------------------------


def test_comfyui_tells_who_it_is(engine: tuple[EngineHome, Comfy]) -> None:
    home, comfy = engine
    stats = comfy.system_stats()
    assert stats is not None
    assert (stats.device, stats.torch) == ("cpu", TORCH)
    assert stats.argv[0] == str(home.ctx.home.comfyui / "main.py")
    assert comfy.checkpoints() == [CHECKPOINT]
    assert comfy.queue().running == ()


def test_nobody_answers() -> None:
    comfy = Comfy(free_port(), check=never)
    assert comfy.system_stats() is None
    with pytest.raises(EngineError, match="is gone"):
        comfy.checkpoints()


def test_the_proxy_of_the_environment_is_not_for_loopback(
    engine: tuple[EngineHome, Comfy], monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = f"http://{LOOPBACK}:{free_port()}"
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, dead)
    monkeypatch.setenv("NO_PROXY", "example.org")
    monkeypatch.setenv("no_proxy", "example.org")
    home, comfy = engine
    stages: list[str] = []
    comfy.generate(graph(home, 7), on_progress=lambda stage, *_: stages.append(stage))
    assert "sampling" in stages, "the WebSocket was not reached"


class _Page(BaseHTTPRequestHandler):
    body, status = b"<html>router</html>", 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class _HangsUp(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.recv(100)


class _Silent(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while self.request.recv(100):  # until the client gives up
            pass


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield int(server.server_address[1])  # type: ignore[index]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    "make",
    [
        lambda: ThreadingHTTPServer((LOOPBACK, 0), _Page),
        lambda: ThreadingHTTPServer((LOOPBACK, 0), type("Json", (_Page,), {"body": b'{"system": 1}'})),
        lambda: ThreadingHTTPServer((LOOPBACK, 0), type("Missing", (_Page,), {"status": 404})),
        lambda: _Server((LOOPBACK, 0), _HangsUp),
    ],
    ids=["html", "json", "404", "hangs-up"],
)
def test_a_stranger_on_the_port(make: Callable[[], socketserver.BaseServer]) -> None:
    with serving(make()) as port, pytest.raises(PortTaken, match="not ComfyUI") as caught:
        Comfy(port, check=never).system_stats()
    assert said(caught.value.hint) == f"provision all --set comfyui.port={port + 1}"


def test_a_port_that_is_open_and_silent() -> None:
    with serving(_Server((LOOPBACK, 0), _Silent)) as port, pytest.raises(EngineError, match="nothing answers"):
        Comfy(port, check=never).system_stats(timeout_s=0.2)


# -- an image -------------------------------------------------------------------------------------------------


def test_an_image_with_its_progress_and_its_workflow(engine: tuple[EngineHome, Comfy]) -> None:
    home, comfy = engine
    seen: list[tuple[str, int, int | None]] = []
    workflow = ui_workflow(home.ctx.manifest.first_image, CHECKPOINT)
    made = comfy.generate(graph(home, 1, steps=3), on_progress=lambda *told: seen.append(told), workflow=workflow)
    assert 0 < made.seconds < 30
    (image,) = made.images
    picture = Image.open(io.BytesIO(comfy.view(image, max_bytes=10_000_000)))
    assert picture.size == (256, 192)
    assert json.loads(picture.text["workflow"]) == workflow  # type: ignore[attr-defined]
    stages = [stage for stage, _, _ in seen]
    assert [stage for place, stage in enumerate(stages) if stage not in stages[:place]][-3:] == [
        "sampling",
        "decoding",
        "saving",
    ]
    assert ("sampling", 3, 3) in seen


def test_without_a_websocket_the_history_is_asked(tmp_path: Path) -> None:
    with running(tmp_path, "no_ws") as (home, comfy):
        made = comfy.generate(graph(home, 2), on_progress=unheard)
        assert isinstance(made.images[0], Saved)


def test_a_missing_picture_is_an_error(engine: tuple[EngineHome, Comfy]) -> None:
    with pytest.raises(EngineError, match="404"):
        engine[1].view(Saved("none.png"), max_bytes=1000)


def test_stopping_stops_the_prompt(engine: tuple[EngineHome, Comfy]) -> None:
    home, _ = engine
    stopped: list[str] = []

    def stop() -> None:
        if stopped:
            raise Interrupted("Stopped.", hint=Fix(""))

    comfy = Comfy(home.ctx.manifest.comfyui.port, check=stop)
    with pytest.raises(Interrupted):
        comfy.generate(
            graph(home, 3, steps=100), on_progress=lambda stage, done, _: stopped.append(stage) if done else None
        )
    assert eventually(lambda: comfy.queue().running == ())
    history = comfy._get("/history", dict[str, Entry])
    statuses = [entry.status.messages[-1].kind for entry in history.values() if entry.status is not None]
    assert "execution_interrupted" in statuses


def test_time_runs_out(engine: tuple[EngineHome, Comfy]) -> None:
    home, comfy = engine
    with pytest.raises(EngineError, match="took too long"):
        comfy.generate(graph(home, 4, steps=100), on_progress=unheard, timeout_s=0.05)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"ckpt_name": "other.safetensors"}, f"does not see the checkpoint other.safetensors; it sees {CHECKPOINT}"),
        ({"sampler_name": "oiler"}, "KSampler does not know sampler_name = 'oiler'; it knows "),
        ({"steps": 0}, "steps = 0 is out of range for KSampler"),
        ({"width": "wide"}, "width = 'wide' has the wrong type for EmptyLatentImage"),
    ],
)
def test_refusals_in_words(engine: tuple[EngineHome, Comfy], changes: dict[str, Any], says: str) -> None:
    home, comfy = engine
    with pytest.raises(EngineError) as caught:
        comfy.submit(graph(home, 5, **changes), "client")
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("fault", "says", "hint"),
    [
        ("oom", "the GPU is out of memory", "provision all"),
        ("ckpt_error", "checkpoint file is incomplete or damaged", "--deep"),
        ("node_error", "parts of the model do not fit together", "provision doctor"),
        ("die", "exited while making the image", "provision logs"),
    ],
)
def test_failures_of_the_engine(tmp_path: Path, fault: str, says: str, hint: str) -> None:
    with running(tmp_path, fault) as (home, comfy):
        with pytest.raises(EngineError) as caught:
            comfy.generate(graph(home, 6), on_progress=unheard)
        assert says in caught.value.message
        assert hint in said(caught.value.hint)


@pytest.mark.parametrize("fault", ["no_ws,oom", "no_ws,die"])
def test_failures_without_a_websocket(tmp_path: Path, fault: str) -> None:
    with running(tmp_path, fault) as (home, comfy), pytest.raises(EngineError, match=r"memory|exited while"):
        comfy.generate(graph(home, 6), on_progress=unheard)


class _Forgetful(_Page):
    """Takes a prompt, and knows nothing of it afterwards."""

    def do_GET(self) -> None:
        known: dict[str, object] = {"/queue": {"queue_running": [], "queue_pending": []}, "/history/lost": {}}
        self.status, answer = (200, known[self.path]) if self.path in known else (404, {})
        self.body = json.dumps(answer).encode()
        super().do_GET()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.body = b'{"prompt_id": "lost"}'
        super().do_GET()


def test_an_engine_that_forgot_the_prompt() -> None:
    server = ThreadingHTTPServer((LOOPBACK, 0), _Forgetful)
    with serving(server) as port, pytest.raises(EngineError, match="lost the image"):
        Comfy(port, check=never).generate({}, on_progress=unheard)


# -- what words mean ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"error": {"type": "prompt_no_outputs", "message": "Prompt has no outputs", "details": ""}}, "no outputs"),
        (
            {
                "error": {
                    "type": "invalid_prompt",
                    "message": "Cannot execute because node X does not exist.",
                    "details": "Node ID '#5'",
                },
                "node_errors": {},
            },
            "node X does not exist. Node ID '#5'",
        ),
        ("<html>", "HTTP 400 without a reason"),
        (
            {
                "node_errors": {
                    "1": {
                        "class_type": "CheckpointLoaderSimple",
                        "errors": [
                            {
                                "type": "value_not_in_list",
                                "details": "ckpt_name: 'a' not in []",
                                "extra_info": {"input_name": "ckpt_name", "input_config": [[]], "received_value": "a"},
                            }
                        ],
                    }
                }
            },
            "does not see the checkpoint a; it sees none",
        ),
        (
            {
                "node_errors": {
                    "5": {
                        "class_type": "KSampler",
                        "errors": [
                            {
                                "type": "value_not_in_list",
                                "extra_info": {
                                    "input_name": "scheduler",
                                    "received_value": "k",
                                    "input_config": ["COMBO", {"options": ["karras", "simple"]}],
                                },
                            }
                        ],
                    }
                }
            },
            "it knows karras, simple",
        ),
        (
            {
                "node_errors": {
                    "4": {
                        "class_type": "EmptyLatentImage",
                        "errors": [
                            {
                                "type": "required_input_missing",
                                "message": "Required input is missing",
                                "details": "width",
                                "extra_info": {"input_name": "width"},
                            }
                        ],
                    }
                }
            },
            "EmptyLatentImage needs width",
        ),
    ],
)
def test_what_a_refusal_means(body: object, says: str) -> None:
    error = refusal(body, 400)
    assert says in error.message
    assert said(error.hint).startswith("provision ")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("RuntimeError: MPS backend out of memory (MPS allocated: 17.3 GB, max allowed: 18.13 GB).", "out of memory"),
        ("RuntimeError: Placeholder storage has not been allocated on MPS device!", "left on the CPU"),
        ("TypeError: Trying to convert Float8_e4m3fn to the MPS backend but it does not", "no such number format"),
        ("The operator 'aten::foo' is not currently implemented for the MPS device.", "operation aten::foo"),
        ("RuntimeError: \"addmm_impl_cpu_\" not implemented for 'Half'", "addmm_impl_cpu_ in fp16"),
        ("ModuleNotFoundError: No module named 'requests'", "package requests is missing"),
        ("AssertionError: Torch not compiled with CUDA enabled", "sees no GPU"),
        ("main.py: error: unrecognized arguments: --normalvram", "not accept its flags: --normalvram"),
        ("main.py: error: argument --force-fp32: not allowed with argument --force-fp16", "not accept its flags"),
        ("OSError: [Errno 48] error while attempting to bind on address ('127.0.0.1', 8188)", "port is used"),
        ("Port 8188 is already in use on address 127.0.0.1", "port is used"),
        ("ASSETS_STARTUP_FAILED: in_use", "another ComfyUI is using"),
        ("ASSETS_STARTUP_FAILED: corrupt", "is not usable (corrupt)"),
        ("File \"main.py\", in load_extra_path_config\nTypeError: 'NoneType' object is not iterable", "yaml"),
        ("Error while deserializing header: header too large", "incomplete or damaged"),
        ("Error while deserializing header: MetadataIncompleteBuffer", "incomplete or damaged"),
        ("RuntimeError: ERROR: Could not detect model type of: /x.safetensors", "not a complete SDXL model"),
        ("RuntimeError: operator torchvision::nms does not exist", "this torchvision does not fit this torch"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("LLVM ERROR: Failed to infer result type(s).", "graphics library"),
        ("PermissionError: [Errno 1] Operation not permitted: '/Users/x/Documents'", "folder /Users/x/Documents"),
    ],
)
def test_known_signatures(text: str, says: str) -> None:
    meaning = explain(f"some line\n{text}\nanother line")
    assert meaning is not None
    assert says in meaning.says
    assert "{" not in meaning.says


def test_what_is_not_known_is_shown_as_it_is() -> None:
    assert explain("all is well") is None
    error = execution_failure(
        {
            "node_type": "KSampler",
            "node_id": "5",
            "exception_type": "ValueError",
            "exception_message": "odd\nmore",
            "traceback": [],
        }
    )
    assert error.message == "ComfyUI failed in KSampler (node 5) with ValueError: odd"
