"""What tests share: a home that is never the person's own, a context, and no way to the real home."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from provision.core.events import Event
from provision.core.home import Home
from provision.core.manifest import load_manifest
from provision.core.patience import VARIABLE, Patience
from provision.core.step import Context, Options
from provision.system import git_program
from provision.system.local_machine import LocalMachine
from provision.system.machine import Machine
from tests.support.forks import Forks, forks

BRIEF_S = 3
"""How long tests wait for what does not come back, where their machine really waits."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--live-comfyui",
        metavar="URL_OR_PATH",
        action="append",
        default=[],
        help="run tests/live on this real ComfyUI (git address); may be given again, for a newer one too",
    )
    parser.addoption(
        "--live-torch",
        metavar="VERSION",
        action="append",
        default=[],
        help="with this torch (stable, nightly, a version); may be given again, for the newest too",
    )
    parser.addoption("--live-page", metavar="URL", help="run tests/e2e/test_page.py on this real ComfyUI of a home")
    parser.addoption("--artifacts", metavar="DIR", help="where screenshots are kept (a folder for tests)")
    parser.addoption("--real-index", action="store_true", help="resolve on the configured package index (15 minutes)")
    parser.addoption("--all-pairs", action="store_true", help="every pair of faults, not some of them")
    parser.addoption("--states", action="store_true", help="tests/e2e/test_states.py with each state alone")
    parser.addoption("--macs", action="store_true", help="tests/masquerade with every recorded Mac, not a few")
    parser.addoption("--fleet", action="store_true", help="tests/e2e/test_fleet.py with eight hosts and the real tool")
    parser.addoption("--storms", action="store_true", help="tests/storms with all of their tries, not a few")
    parser.addoption("--storm-seed", type=int, default=13, help="from which everything random in them follows")
    parser.addoption("--storm-try", type=int, metavar="NUMBER", help="this one try of each storm alone")
    parser.addoption("--write-storms", action="store_true", help="write docs/dev/storms.md from what came of them")


@pytest.fixture(scope="session")
def _persons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """New folders, one after the other: pytest's own looks through all that there are for each."""
    folder, numbers = tmp_path_factory.mktemp("persons"), count()
    return (folder / str(number) for number in numbers)


@pytest.fixture(autouse=True)
def _git_is_looked_for_again() -> None:
    """A test may have had another git, or none, on the same PATH."""
    git_program._found.cache_clear()


@pytest.fixture(autouse=True)
def _no_real_home(_persons: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests cannot touch the real home or be steered by the caller's environment."""
    person = next(_persons)
    person.mkdir()
    monkeypatch.setenv("HOME", str(person))
    for name in ("PROVISION_HOME", "HF_TOKEN", "HF_ENDPOINT", "HF_HOME", "HTTP_PROXY", "HTTPS_PROXY", "UV_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(VARIABLE, str(BRIEF_S))


@pytest.fixture(scope="session")
def loaded() -> Iterator[Forks]:
    """A process that has the tool loaded, of which commands are forks."""
    with forks() as running:
        yield running


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.prepare()
    return home


@pytest.fixture
def events() -> list[Event]:
    """What was emitted."""
    return []


@pytest.fixture
def context(home: Home, events: list[Event]) -> Callable[..., Context]:
    """A context on this machine; `overrides` as `--set` takes them."""

    def make(*overrides: str, machine: Machine | None = None, options: Options | None = None) -> Context:
        manifest = load_manifest("sdxl-turbo", overrides)
        ctx = Context(machine or LocalMachine(), manifest, home, options or Options(), events.append)
        return replace(ctx, patience=Patience().at_most(BRIEF_S))

    return make


@pytest.fixture
def artifacts(pytestconfig: pytest.Config, tmp_path: Path) -> Path:
    """Where screenshots are kept."""
    asked = pytestconfig.getoption("--artifacts")
    return Path(asked) if asked else tmp_path / "artifacts"
