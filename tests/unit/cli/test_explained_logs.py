"""`doctor LOGFILE...`: several logs, what the exit code says, and what cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from provision.cli.commands.explain_log import Explained, explain_log
from provision.errors import UsageError

FAULT = "RuntimeError: Invalid buffer size: 8.21 GB\n"
HEALTHY = "Device: mps\nStarting server\ngot prompt\nPrompt executed in 2.31 seconds\n"


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_one_log_with_a_fault_among_several_is_one_thing_wrong(tmp_path: Path) -> None:
    good, bad = written(tmp_path, "good.log", HEALTHY), written(tmp_path, "bad.log", FAULT)
    told = explain_log(good, bad)
    assert not told.ok
    assert isinstance(told.data, Explained)
    assert [(sign.log, sign.line, sign.id) for sign in told.data.signs] == [(str(bad), 1, "mps-too-large")]
    assert told.error is not None
    assert told.error.code == "mps-too-large"


def test_a_healthy_log_ends_well(tmp_path: Path) -> None:
    told = explain_log(written(tmp_path, "good.log", HEALTHY))
    assert told.ok
    assert told.data == Explained((str(tmp_path / "good.log"),), ())


def test_an_empty_log_ends_well(tmp_path: Path) -> None:
    assert explain_log(written(tmp_path, "empty.log", "")).ok


def test_what_is_no_text_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(64)))
    for name, why in (("picture.png", "it is not text"), ("", "it is a folder"), ("none", "No such file")):
        with pytest.raises(UsageError, match=why):
            explain_log(tmp_path / name)
