"""Whom requests trust: the system's own store, and whom a file names beside it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from provision.download.web import session_for
from provision.system.tls import named_bundle
from tests.support.strangers import hub, own_certificate


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A server whose certificate is its own, and that certificate."""
    certificate, tls = own_certificate(tmp_path_factory.mktemp("tls"))
    with hub((204, {}), tls=tls) as url:
        yield url, certificate


@pytest.fixture
def in_the_store(stranger: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's store holds that certificate, as a company's administrator puts it there."""
    named = subprocess.run(["openssl", "x509", "-hash", "-noout", "-in", stranger[1]], capture_output=True, check=True)
    (tmp_path / f"{named.stdout.decode().strip()}.0").symlink_to(stranger[1])
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))


def status(url: str, environ: dict[str, str]) -> int:
    with session_for(url, environ) as session:
        return session.head(url, timeout=5).status_code


def test_a_stranger_is_not_trusted(stranger: tuple[str, Path]) -> None:
    with pytest.raises(requests.exceptions.SSLError):
        status(stranger[0], {})


@pytest.mark.usefixtures("in_the_store")
def test_who_the_system_trusts_is_trusted(stranger: tuple[str, Path]) -> None:
    assert status(stranger[0], {}) == 204


@pytest.mark.usefixtures("in_the_store")
@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT"])
def test_a_named_file_counts_beside_the_store(
    name: str, stranger: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A company's certificate alone in the file: hosts that nobody inspects are trusted all the same."""
    (tmp_path / "other").mkdir()
    other, tls = own_certificate(tmp_path / "other")
    monkeypatch.setenv(name, str(other))
    with hub((204, {}), tls=tls) as url:
        assert status(url, {name: str(other)}) == 204
    assert status(stranger[0], {name: str(other)}) == 204


def test_a_file_that_is_not_there_is_not_named(tmp_path: Path) -> None:
    (there := tmp_path / "ca.pem").touch()
    assert named_bundle({"SSL_CERT_FILE": str(tmp_path / "gone"), "CURL_CA_BUNDLE": str(there)}) == str(there)
    assert named_bundle({"REQUESTS_CA_BUNDLE": str(tmp_path / "gone")}) == ""
