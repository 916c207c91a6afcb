"""contrib/mac_checks.py, as far as a machine that is no Mac can run it."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from contrib.mac_checks.__main__ import CHECKS, main
from contrib.mac_checks.check import IS_MAC, Check, Skipped
from tests.support.paths import CHECKOUT

HERE = [check.name for check in CHECKS if check.name != "install"]  # which has a test of its own


def test_each_check_says_a_line_and_the_last_one_counts() -> None:
    argv = [sys.executable, "-m", "contrib.mac_checks", *HERE]
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False, cwd=CHECKOUT)
    *lines, last = ran.stdout.splitlines()
    assert [line.split()[1] for line in lines] == HERE
    assert re.fullmatch(r"0 failed, \d+ passed, \d+ not tried here", last), ran.stdout + ran.stderr
    assert ran.returncode == 0
    if not IS_MAC:
        of_macs = [check.name for check in CHECKS if check.of_macs_alone]
        told = [line.split()[1] for line in lines if "not a Mac: this is" in line]
        assert told == of_macs


def test_a_failure_is_told_and_hides_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    def fails(_: object) -> str:
        raise OSError("in\ntwo lines")

    def skips(_: object) -> str:
        raise Skipped("not here")

    checks = [
        Check(name, run, of_macs_alone=False)
        for name, run in (("first", fails), ("second", skips), ("third", lambda _: "right"))
    ]
    assert main([], checks) == 1
    assert capsys.readouterr().out.splitlines() == [
        "FAIL  first         OSError: in / two lines",
        "skip  second        not here",
        "ok    third         right",
        "1 failed, 1 passed, 1 not tried here",
    ]
