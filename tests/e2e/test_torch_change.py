"""Another torch under a running server, back again, and rebuilt from a lock: what a person does, on the rehearsal."""

from __future__ import annotations

import json

from provision.core.lockfile import load_lock
from tests.e2e.conftest import Ended, Tool

NIGHTLY, STABLE = "2.16.0.dev20261120", "2.15.0"


def server(tool: Tool) -> tuple[int, str, str]:
    """Its pid, its torch, and the Python that it was started with."""
    record = json.loads((tool.home / "state" / "server.json").read_text(encoding="utf-8"))
    return record["pid"], record["torch"], record["argv"][0]


def done(ended: Ended, *, changed: bool) -> None:
    assert ended.code == 0, (
        [step for step in ended.report["steps"] if not step["ok"]],
        ended.report["error"],
        ended.err,
    )
    assert ended.report["changed"] is changed


def test_changed_gone_back_to_and_rebuilt(tool: Tool) -> None:
    nothing = tool.text("rollback")
    assert (nothing.returncode, nothing.stdout.split(":")[0]) == (1, "There is nothing to go back to")
    done(tool.run("all", "--rehearse"), changed=True)
    first, lock = server(tool), load_lock(tool.home / "provision.lock")
    text = (tool.home / "provision.lock").read_text(encoding="utf-8")
    assert (first[1], lock.versions["torch"], lock.torch.wanted) == (NIGHTLY, NIGHTLY, "nightly")
    assert lock.torch.passed_over == ("torchvision has no wheel of 20261121",)
    assert all(package.sha256 and package.source for package in lock.packages)
    assert tool.text("rollback").returncode == 1

    done(tool.run("all", "--rehearse", "--torch", "stable"), changed=True)
    second, kept = server(tool), tool.home.parent / "stable.lock"
    kept.write_bytes((tool.home / "provision.lock").read_bytes())
    assert (second[1], load_lock(kept).versions["torch"]) == (STABLE, STABLE)
    assert second[0] != first[0]
    assert second[2] != first[2]
    assert f"torch {NIGHTLY} (nightly)" in tool.text("status").stdout

    back = tool.run("rollback")
    done(back, changed=True)
    assert (back.report["before"], back.report["now"], server(tool)[1:]) == (STABLE, NIGHTLY, first[1:])
    assert load_lock(tool.home / "provision.lock") == lock
    done(tool.run("all", "--rehearse"), changed=False)

    rebuilt = tool.run("all", "--rehearse", "--locked", str(kept))
    done(rebuilt, changed=True)
    assert "Installing 14 packages by their hashes ..." in [line.get("message") for line in rebuilt.lines]
    assert load_lock(tool.home / "provision.lock").packages == load_lock(kept).packages
    assert server(tool)[1] == STABLE
    assert len(list((tool.home / "envs").iterdir())) == 3

    kept.write_text(text.replace(lock.packages[0].sha256, "0" * 64), encoding="utf-8")
    in_use = (tool.home / "venv").readlink()
    wrong = tool.run("all", "--rehearse", "--locked", str(kept))
    assert wrong.code == 1
    assert "Hash mismatch" in str(wrong.step("torch")["error"]["message"])
    assert ((tool.home / "venv").readlink(), server(tool)[1]) == (in_use, STABLE)
    assert len(list((tool.home / "envs").iterdir())) == 3
