"""The client against answers that are none: a value of the type that was promised, or an error of ours."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from provision.comfyui import prompt_progress
from provision.comfyui.answers import Queue, Saved, SystemStats
from provision.comfyui.api import Comfy, Made
from provision.core.image import Quality, judge, most_bytes, read_picture
from provision.errors import EngineError, PortTaken, ProvisionError
from tests.storms.evil import BODIES, PICTURES, STREAMS, TEXTS, TRANSPORT, WRONG, good_png, png_bomb
from tests.storms.hostile_comfyui import Hostile

Graph = dict[str, dict[str, object]]
GRAPH: Graph = {"5": {"class_type": "KSampler"}, "7": {"class_type": "SaveImage"}}


def never() -> None:
    """Nobody asks to stop."""


@contextmanager
def hostile(scenario: str, image_s: float = 0.0) -> Iterator[Comfy]:
    server = Hostile(0, scenario, image_s)
    threading.Thread(target=server.serve, daemon=True).start()
    try:
        yield Comfy(server.port, check=never)
    finally:
        server.listener.close()


def or_error(ask: Callable[[], object]) -> object:
    """What is answered, or the error of ours in its place."""
    try:
        return ask()
    except (EngineError, PortTaken) as error:
        return error


def is_short(error: ProvisionError) -> bool:
    """Whether a person can read it."""
    return 20 < len(error.message) < 8000


def strings(names: object) -> bool:
    return isinstance(names, list) and all(isinstance(name, str) for name in names)


ASKED: dict[str, tuple[Callable[[Comfy], object], Callable[[object], bool]]] = {
    "stats": (lambda comfy: comfy.system_stats(), lambda got: isinstance(got, SystemStats)),
    "models": (lambda comfy: comfy.checkpoints(), strings),
    "queue": (lambda comfy: comfy.queue(), lambda got: isinstance(got, Queue)),
    "history": (lambda comfy: comfy.history("an-id"), lambda got: got is None or hasattr(got, "outputs")),
    "newest": (lambda comfy: comfy.newest(), lambda got: got is None or hasattr(got, "status")),
    "object": (lambda comfy: comfy.node_module("KSampler"), lambda got: isinstance(got, str)),
    "prompt": (lambda comfy: comfy.submit(GRAPH, "client"), lambda got: isinstance(got, str) and 0 < len(got) <= 200),
    "refusal": (lambda comfy: comfy.submit(GRAPH, "client"), lambda got: False),
}


@pytest.mark.parametrize("route", ASKED)
def test_a_body_of_any_kind_is_a_value_or_an_error_of_ours(route: str) -> None:
    ask, is_promised = ASKED[route]
    for kind in (*BODIES, *(f"wrong-{place}" for place in range(len(WRONG[route]) if route in WRONG else 0))):
        with hostile(f"{route} {kind}") as comfy:
            got = or_error(lambda: ask(comfy))
        assert is_short(got) if isinstance(got, ProvisionError) else is_promised(got), f"{kind}: {got!r}"


QUICK = (
    "endless-head",
    "endless-line",
    "endless-body",
    "endless-continue",
    "huge-length",
    "reset",
    "close",
    "short",
    "negative",
    "no-http",
    "odd-status",
    "odd-chunk",
    "500",
    "204",
    "401",
    "gzip-bomb",
    "gzip-bombs",
    "odd-gzip",
    "to-elsewhere",
    "to-itself",
    "to-bad-port",
    "to-ip6",
    "to-escape",
    "to-label",
    "to-file",
)


@pytest.mark.parametrize("kind", QUICK)
def test_http_that_goes_wrong_is_an_error_of_ours(kind: str) -> None:
    assert kind in TRANSPORT
    with hostile(f"queue {kind}") as comfy, pytest.raises(EngineError):
        comfy.queue()
    with hostile(f"stats {kind}") as comfy, pytest.raises((PortTaken, EngineError)):
        comfy.system_stats()


@pytest.mark.parametrize("kind", ["drip-head", "drip-body", "drip-chunks", "drip-length", "silent"])
def test_an_answer_that_does_not_end_is_not_waited_for(kind: str) -> None:
    with hostile(f"queue {kind}") as comfy, pytest.raises(EngineError, match="does not answer"):
        comfy.queue(timeout_s=0.3)


def test_half_a_character_in_somebodys_prompt_spoils_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    text = rb'{"text": "cut \ud83d, whole \ud83d\ude00, written \\ud83d"}'
    monkeypatch.setitem(BODIES, "half", b'{"queue_running": [[0, "an-id", %b]], "queue_pending": []}' % text)
    with hostile("queue half") as comfy:
        assert comfy.queue().running == ("an-id",)


def test_no_redirect_is_followed() -> None:
    with hostile("queue to-itself") as comfy, pytest.raises(EngineError, match="HTTP 302"):
        comfy.queue()


# -- an image ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", ["queue", "history"])
@pytest.mark.parametrize("kind", ["html", "empty", "digits", "null", "500", "reset", "short"])
def test_an_answer_that_is_none_is_seen_at_once(route: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_progress, "LOOK_S", 0.05)
    monkeypatch.setattr(prompt_progress, "POLL_S", 0.05)
    with hostile(f"{route} {kind}") as comfy, pytest.raises(EngineError):
        comfy.generate(GRAPH, on_progress=lambda *told: None, timeout_s=60)


@pytest.mark.parametrize("kind", ["silent", "drip-body"])
def test_silence_ends(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_progress, "SILENCE_S", 0.5)
    monkeypatch.setattr(prompt_progress, "POLL_TIMEOUT_S", 0.2)
    with hostile(f"history {kind}") as comfy, pytest.raises(EngineError, match="does not answer"):
        comfy.generate(GRAPH, on_progress=lambda *told: None, timeout_s=60)


FAILS = ("error-of-escapes", "error-of-patterns")
"""What says, with our id, that the prompt failed."""


@pytest.mark.parametrize("kind", [*TEXTS, *STREAMS])
def test_whatever_the_websocket_says_the_history_is_believed(kind: str) -> None:
    told: list[tuple[str, int, int | None]] = []
    with hostile(f"ws {kind}") as comfy:
        got = or_error(lambda: comfy.generate(GRAPH, on_progress=lambda *each: told.append(each), timeout_s=120))
    if kind in FAILS:
        assert isinstance(got, EngineError)
        assert is_short(got)
    else:
        assert isinstance(got, Made), got
        assert [image.filename for image in got.images] == ["provision_00001_.png"]
    assert all(0 <= done <= 1_000_000 and (total is None or 0 < total <= 1_000_000) for _, done, total in told)


def test_a_flood_is_told_in_a_few_words() -> None:
    told: list[str] = []
    with hostile("ws flood", image_s=0.5) as comfy:
        comfy.generate(GRAPH, on_progress=lambda stage, *_: told.append(stage), timeout_s=120)
    assert 0 < len(told) < 2000, "of 100,000 messages"


# -- pictures ---------------------------------------------------------------------------------------------------------


def test_a_picture_of_an_endless_size_is_not_taken() -> None:
    with hostile("view fifty-mb") as comfy, pytest.raises(EngineError, match="too much"):
        comfy.view(Saved("x.png"), max_bytes=most_bytes(256, 192))


@pytest.mark.parametrize("kind", PICTURES)
def test_what_is_no_picture_is_judged_so_without_a_warning(kind: str) -> None:
    with warnings.catch_warnings(action="error"):
        judgement = judge(PICTURES[kind](), 256, 192)
    assert judgement.verdict is Quality.BAD
    assert judgement.says.endswith(".")


def test_the_picture_itself_is_one() -> None:
    assert judge(good_png(), 256, 192).verdict is Quality.OK


def test_what_lies_in_the_place_of_a_picture(tmp_path: Path) -> None:
    import os

    (tmp_path / "good").write_bytes(good_png())
    (tmp_path / "text").write_text("<html>", encoding="utf-8")
    (tmp_path / "bomb").write_bytes(png_bomb(12_000, 12_000))
    (tmp_path / "folder").mkdir()
    (tmp_path / "zero").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "fifo")
    assert read_picture(tmp_path / "good") == good_png()
    for name in ("text", "bomb", "folder", "zero", "fifo", "none"):
        assert read_picture(tmp_path / name) is None, name
