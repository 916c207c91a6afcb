"""Every finding of the catalogue against a home, a Mac or a log that is broken in exactly that way.

The rows are in docs/dev/doctor-coverage.md, which `PROVISION_WRITE_DOCS=1` writes.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from provision.cli.commands.explain_log import Explained, explain_log
from provision.core.finding import Verdict
from provision.core.step import Report
from provision.steps.catalogue import known
from tests.breakers import coverage, machine
from tests.breakers.breaker import Breaker
from tests.breakers.coverage import Row, mended
from tests.breakers.logs import BEFORE, LOGS
from tests.breakers.mac import Mac, look_at
from tests.breakers.machine import MacBreaker
from tests.breakers.patient import Patient
from tests.breakers.registry import BREAKERS

ABOVE = (Verdict.FIXABLE, Verdict.BLOCKED)


def test_every_finding_that_stands_for_a_fault_has_a_breaker_or_a_reason() -> None:
    assert coverage.left_over() == set()
    assert set(LOGS) >= coverage.only_in_logs()
    rows = [name for part in coverage.names() for name in part]
    assert len(rows) == len(set(rows))
    assert coverage.WRITE or set(coverage.recorded()) == set(rows)


@pytest.mark.parametrize("breaker", BREAKERS, ids=lambda breaker: breaker.name)
def test_a_fault_is_named_alone_and_mended(sick: Patient, breaker: Breaker) -> None:
    if breaker.root and os.geteuid() != 0:
        pytest.skip("only root can break a home so")
    started = time.monotonic()
    breaker.break_it(sick)
    seen = sick.doctor(deep=breaker.deep)
    says = seen.says()
    found, alone = breaker.id in seen.ids, not seen.faults - {breaker.id, *breaker.beside} and not seen.errors
    beside, healthy = breaker.beside & seen.troubles.keys(), False
    if breaker.mends:
        healthy, how = is_mended(sick, breaker)
        says += how
    seconds = time.monotonic() - started
    print(says)
    assert found, says
    word, company = mended(breaker.mends, healthy, who(breaker)), coverage.company(beside, seen.following)
    coverage.settle(Row(breaker.id, breaker.what, found, alone, word, seconds, company))


def is_mended(sick: Patient, breaker: Breaker) -> tuple[bool, str]:
    """Whether `doctor --fix --yes` brings the home back, and what was said on the way."""
    fixed = sick.doctor(fix=True, deep=breaker.deep)
    after = sick.doctor()
    gone = not after.faults and breaker.id not in after.ids
    healthy = fixed.ok and after.ok and gone and sick.proven() and not sick.lost()
    return healthy, f"\n-- fixed --\n{fixed.says()}\n-- after --\n{after.says()}\nlost: {sick.lost()}"


def who(breaker: Breaker | MacBreaker) -> str:
    """Who mends what the doctor does not."""
    about = known(breaker.id)
    if isinstance(breaker, Breaker) and breaker.kept:
        return f"a person: {breaker.kept}"
    return "a person" if about is not None and about.fix == "hint" else "nothing to mend"


# -- a scripted Mac ---------------------------------------------------------------------------------------------


def above(report: Report) -> set[str]:
    return {finding.id for step in report.steps for finding in step.findings if finding.verdict in ABOVE}


def named(report: Report) -> set[str]:
    return {finding.id for step in report.steps for finding in step.findings}


def test_the_mac_is_healthy_until_it_is_broken(tmp_path: Path) -> None:
    report = look_at(Mac(), tmp_path)
    assert {finding.verdict for step in report.steps for finding in step.findings} == {Verdict.OK}


@pytest.mark.parametrize("breaker", machine.BREAKERS, ids=lambda breaker: breaker.name)
def test_a_mac_is_named_alone_and_mended(tmp_path: Path, breaker: MacBreaker) -> None:
    started, mac = time.monotonic(), Mac()
    breaker.break_it(mac)
    report = look_at(mac, tmp_path)
    healthy = breaker.mends and look_at(mac, tmp_path, fix=True).ok
    after = look_at(mac, tmp_path)
    healthy = healthy and after.ok and not above(after) and breaker.id not in named(after)
    found = breaker.id in named(report)
    assert found, named(report)
    row = Row(
        breaker.id,
        breaker.what,
        found,
        not above(report) - {breaker.id},
        mended(breaker.mends, healthy, who(breaker)),
        time.monotonic() - started,
    )
    coverage.settle(row)


# -- a log ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("id", LOGS)
def test_a_log_is_explained(tmp_path: Path, id: str) -> None:
    started, log = time.monotonic(), tmp_path / "sent.log"
    log.write_text(f"{BEFORE}{LOGS[id]}\n", encoding="utf-8")
    told = explain_log(log).data
    assert isinstance(told, Explained)
    signs = [sign.id for sign in told.signs]
    assert id in signs
    ((_, what),) = [name for name in coverage.names()[2] if name[0] == id]
    row = Row(id, what, id in signs, signs == [id], "a person", time.monotonic() - started)
    coverage.settle(row)
