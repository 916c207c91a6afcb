"""A server that is watched: started again after a crash, not after a stop, and left to a command that restarts it."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from provision.comfyui import watching
from provision.comfyui.server_process import read_record, start_server, stop_server
from provision.comfyui.watching import AGAIN_MAX, Watch
from provision.core.receipts import home_lock
from tests.support.engine_home import EngineHome, engine_home
from tests.support.processes import eventually


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineHome:
    monkeypatch.setattr(watching, "LOOK_S", 0.02)
    return engine_home(tmp_path)


class Watched:
    """A watch in a thread; `starts` are the servers that it started."""

    def __init__(self, home: EngineHome) -> None:
        self.ctx, self.starts, self.over = home.ctx, 0, list[bool]()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        self.over.append(Watch(self.ctx).until_over(self._start))

    def _start(self) -> bool:
        start_server(self.ctx)
        self.starts += 1
        return True

    def ended(self) -> bool:
        self.thread.join(60)
        return self.over[0]


def kill(home: EngineHome) -> None:
    record = read_record(home.ctx)
    assert record is not None
    os.kill(record.pid, signal.SIGKILL)


def test_a_stop_is_the_end(home: EngineHome) -> None:
    start_server(home.ctx)
    watched = Watched(home)
    assert stop_server(home.ctx)
    assert watched.ended()
    assert watched.starts == 0


def test_a_crash_is_not_unless_it_comes_again_and_again(home: EngineHome) -> None:
    start_server(home.ctx)
    watched = Watched(home)
    for starts in range(1, AGAIN_MAX + 1):
        kill(home)
        assert eventually(lambda n=starts: watched.starts == n)  # type: ignore[misc]
    kill(home)
    assert not watched.ended()
    assert watched.starts == AGAIN_MAX
    assert "within 10 minutes" in home.says()


def test_a_command_that_restarts_it_is_waited_for(home: EngineHome) -> None:
    start_server(home.ctx)
    watched = Watched(home)
    with home_lock(home.ctx.home.state / "lock", command="update"):
        assert stop_server(home.ctx)
        start_server(home.ctx)
    assert watched.thread.is_alive()
    stop_server(home.ctx)
    assert watched.ended()
    assert watched.starts == 0
