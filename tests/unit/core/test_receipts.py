"""Receipts survive a kill at any moment; the lock over the home tells who holds it and never outlives them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from provision.core.receipt_kinds import (
    Attempt,
    ComfyReceipt,
    FlagsReceipt,
    ImageReceipt,
    LadderReceipt,
    ModelReceipt,
    RequirementsReceipt,
    TorchReceipt,
    WishReceipt,
    WorkflowReceipt,
)
from provision.core.receipts import Receipts, file_identity, holds, home_lock, read_json, same_facts, write_json
from provision.errors import HomeError, HomeLocked
from tests.support.hints import said
from tests.support.paths import CHECKOUT

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

FULL: tuple[DataclassInstance, ...] = (
    TorchReceipt(
        {"torch": "2.16"}, "python3.12", "macOS 26.1", "nightly", "stable", "why", "", ("a", "b"), "2.16", "mps",
        True, True, "ssh", 0.5, 1, None, ("c",), ("d",), "2026-11-26T00:00:00+00:00",
    ),
    ComfyReceipt("https://x", "latest", "v1", "1" * 40, "2026-11-26", "2026-11-26", "/x"),
    RequirementsReceipt("1" * 40, "ab", "3.12", {"numpy": "2"}, "2026-11-26", "2026-11-26"),
    WorkflowReceipt("x.json", "ab", None),
    ImageReceipt("2.16", None, "1" * 40, "x", {"size": 3}, ("--cpu",), {"cfg": 1.0}, "ab", "w", 2, 1.5, (2**63, 1)),
    ModelReceipt(2**40, 2**62, 2**63, "ab", "ab", None, "a/b", "main", "x", "fp16", "x", "w"),
    LadderReceipt((Attempt("2.16", ("--cpu",), "black", "is black", 3.5),), None, "Linux", ("--cpu",)),
    FlagsReceipt(("--cpu",), "why", True, "w", 2.5, "2.16", "1" * 40, "Linux", ()),
    WishReceipt("nightly", "why", "w", None),
)  # fmt: skip
"""One of each kind, with a value in every field."""


WRITES_FOREVER = """
import itertools, pathlib, sys
from provision.core.receipts import write_json
path = pathlib.Path(sys.argv[1])
for number in itertools.count():
    write_json(path, {"number": number, "text": "x" * 50_000})
    if number == 20:
        print("writing", flush=True)
"""
HOLDS_THE_LOCK = """
import pathlib, sys
from provision.core.receipts import home_lock
with home_lock(pathlib.Path(sys.argv[1]), command="all --yes"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def child(script: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    """A Python that runs `script` on `path`, from the moment when it says its first word; killed in the end."""
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline()
            yield process
        finally:
            process.kill()


# -- writing --------------------------------------------------------------------------------------------


def test_json_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "not" / "yet" / "here.json"
    value = {"versions": {"torch": "2.11"}, "size": 6938081905, "text": "Bär", "none": None}
    write_json(path, value)
    assert read_json(path) == value
    assert [entry.name for entry in path.parent.iterdir()] == ["here.json"], "nothing is left beside it"


def test_after_kill_9_the_file_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "receipt.json"
    for _ in range(5):
        with child(WRITES_FOREVER, path) as writer:
            for _ in range(50):  # a reader beside the writer never sees half
                assert len(str(json.loads(path.read_text(encoding="utf-8"))["text"])) == 50_000
            writer.kill()
            writer.wait()
        assert len(str(json.loads(path.read_text(encoding="utf-8"))["text"])) == 50_000


def test_two_threads_that_write_one_receipt_leave_one_of_both(tmp_path: Path) -> None:
    path, meeting, failed = tmp_path / "receipt.json", threading.Barrier(2), list[Exception]()

    def write(number: int) -> None:
        try:
            for _ in range(50):
                meeting.wait(20)
                write_json(path, {"number": number})
        except HomeError as error:
            failed.append(error)
            meeting.abort()
        except threading.BrokenBarrierError:
            return

    threads = [threading.Thread(target=write, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert (read_json(path) or {})["number"] in (1, 2)


@pytest.mark.parametrize("content", ["", "{", "[1]", "1", '{"a": 1', "\udcff"])
def test_what_is_no_json_object_reads_as_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content, encoding="utf-8", errors="surrogateescape")
    assert read_json(path) is None
    assert Receipts(tmp_path).read("x") == {}


def test_a_receipt_that_cannot_be_written_is_a_home_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(HomeError):
        write_json(tmp_path / "file" / "x.json", {})
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_folder_in_the_place_of_a_receipt_gets_another_name(tmp_path: Path) -> None:
    receipts = Receipts(tmp_path)
    for change in (lambda: receipts.write("torch", device="mps"), lambda: receipts.drop("torch")):
        (tmp_path / "torch.json").unlink(missing_ok=True)
        (tmp_path / "torch.json" / "mine").mkdir(parents=True)
        change()
        assert not (tmp_path / "torch.json").is_dir()
    assert len(list(tmp_path.glob("torch.json.*.moved-aside/mine"))) == 2, "nothing of it is lost"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ('{"torch": "2.11", "more": [1], "skipped": ["a"]}', TorchReceipt(torch="2.11", skipped=("a",))),
        ('{"torch": 3}', TorchReceipt()),
        ('{"versions": ["torch"]}', TorchReceipt()),
        ('{"torch": "2.11", "gflop_s": NaN}', TorchReceipt()),
        ("null", TorchReceipt()),
        ("[" * 100_000, TorchReceipt()),
    ],
)
def test_a_receipt_is_read_by_its_type_or_is_none(tmp_path: Path, text: str, read: TorchReceipt) -> None:
    (tmp_path / "torch.json").write_text(text, encoding="utf-8")
    assert Receipts(tmp_path).read("torch", TorchReceipt) == read


@pytest.mark.parametrize("receipt", FULL, ids=lambda receipt: type(receipt).__name__)
def test_each_kind_of_receipt_comes_back_as_it_was_written(tmp_path: Path, receipt: DataclassInstance) -> None:
    receipts = Receipts(tmp_path)
    receipts.write("x", receipt)
    assert receipts.read("x", type(receipt)) == receipt
    (tmp_path / "x.json").write_text("{}", encoding="utf-8")
    assert receipts.read("x", type(receipt)) == type(receipt)()


def test_receipts_are_written_read_and_dropped(tmp_path: Path) -> None:
    receipts = Receipts(tmp_path / "receipts")
    assert receipts.read("torch") == {}
    receipts.write("torch", versions="2.11", device="mps")
    receipts.write("torch", versions="2.12")
    assert receipts.read("torch") == {"versions": "2.12"}, "a receipt is replaced, not merged"
    receipts.drop("torch")
    receipts.drop("torch")
    assert receipts.read("torch") == {}


def test_a_file_is_itself_until_it_is_touched(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"abc")
    receipt = ModelReceipt(**file_identity(path), sha256="ab")
    assert same_facts(receipt, file_identity(path))
    other = tmp_path / "other"
    other.write_bytes(b"abc")
    other.replace(path)
    assert not same_facts(receipt, file_identity(path)), "another inode"
    assert not holds({}, {}), "nothing is no proof of anything"
    assert not holds({"torch": "2"}, {"torch": "3"})
    assert holds({"torch": "2", "numpy": "1"}, {"torch": "2"})
    with pytest.raises(OSError, match="weights"):
        file_identity(tmp_path / "weights" / "x")


# -- the lock -------------------------------------------------------------------------------------------


def test_a_second_process_is_refused_by_the_name_of_the_first(tmp_path: Path) -> None:
    lock = tmp_path / "state" / "lock"
    with child(HOLDS_THE_LOCK, lock) as holder:
        with (
            pytest.raises(HomeLocked, match=rf"`provision all --yes` \(pid {holder.pid}\)") as seen,
            home_lock(lock, command="doctor"),
        ):
            pass
        assert "--home" in said(seen.value.hint)
        with pytest.raises(HomeLocked, match=f"pid {holder.pid}"), home_lock(lock, command="doctor"):
            pass  # the first refusal did not harm the lock
    with home_lock(lock, command="all"):
        pass


def test_after_kill_9_the_lock_is_free(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with child(HOLDS_THE_LOCK, lock) as holder:
        holder.kill()
        holder.wait()
        with home_lock(lock, command="all"):
            assert "provision all" in lock.read_text(encoding="utf-8")


def test_an_error_inside_lets_go(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with pytest.raises(ZeroDivisionError), home_lock(lock, command="all"):
        raise ZeroDivisionError
    with home_lock(lock, command="all"):
        pass


def test_children_do_not_inherit_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with home_lock(lock, command="all"):
        server = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        with home_lock(lock, command="all"):
            assert server.poll() is None, "it is free while the child lives"
    finally:
        server.kill()
        server.wait()


def test_a_lock_that_cannot_be_made_is_a_home_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(HomeError), home_lock(tmp_path / "file" / "lock", command="all"):
        pass


@pytest.mark.parametrize("form", ["folder", "fifo", "device", "dangling"])
def test_what_is_no_file_in_the_place_of_the_lock_makes_way(tmp_path: Path, form: str) -> None:
    lock = tmp_path / "lock"
    if form == "folder":
        lock.mkdir()
    elif form == "fifo":
        os.mkfifo(lock)
    else:
        lock.symlink_to("/dev/zero" if form == "device" else tmp_path / "not-here")
    with home_lock(lock, command="all"):
        assert "provision all" in lock.read_text(encoding="utf-8")
    assert not (tmp_path / "not-here").exists()


@pytest.mark.parametrize("name", ["wanted", "got", "index", "device", "why", "torch", "passed_over"])
@pytest.mark.parametrize("word", ["a\0b", "\x1b]0;x\x07"])
def test_a_receipt_of_torch_is_believed_only_with_values_that_this_tool_writes(
    tmp_path: Path, name: str, word: str
) -> None:
    whole = TorchReceipt(
        wanted="nightly", got="stable", index="https://x.example/whl", device="mps", torch="2.15.0", passed_over=("x",)
    )
    receipts = Receipts(tmp_path)
    receipts.write("torch", whole)
    assert receipts.read("torch", TorchReceipt) == whole
    receipts.write("torch", whole, **{name: [word] if name == "passed_over" else word})
    assert receipts.read("torch", TorchReceipt) == TorchReceipt()


@pytest.mark.parametrize(("name", "word"), [("got", "/bin/sh"), ("index", "-x"), ("device", "tpu; reboot")])
def test_a_receipt_of_torch_names_no_other_thing(tmp_path: Path, name: str, word: str) -> None:
    receipts = Receipts(tmp_path)
    receipts.write("torch", TorchReceipt(got="stable", device="mps"), **{name: word})
    assert receipts.read("torch", TorchReceipt) == TorchReceipt()
