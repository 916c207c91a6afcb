"""What the tests of downloads share: a small model in a hub's repository, and the hub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.rehearsal.model_repo import ModelRepo
from tests.support.hub import Hub
from tests.support.small_model import FILE, Heard, make_small_repo


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ModelRepo]:
    folder = tmp_path_factory.mktemp("world")
    return folder / "hub", make_small_repo(folder)


@pytest.fixture
def hub(world: tuple[Path, ModelRepo]) -> Iterator[Hub]:
    with Hub(world[0]) as running:
        yield running


@pytest.fixture
def model(world: tuple[Path, ModelRepo]) -> ModelRepo:
    return world[1]


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def data(world: tuple[Path, ModelRepo]) -> bytes:
    """The model's bytes."""
    return (world[0].parent / "weights" / FILE).read_bytes()
