"""Logs that people send: what programs really say, for what no home can show."""

from __future__ import annotations

from collections.abc import Mapping

from provision.core.finding import ONLY_IN_LOGS
from provision.steps.catalogue import CATALOGUE
from tests.support.paths import FACTS

_GIVEN: Mapping[str, str] = {
    "origin-403": "WARNING: request with non matching host and origin 127.0.0.1 != 192.168.1.7, returning 403",
    "numpy-abi": "A module that was compiled using NumPy 1.x cannot be run in NumPy 2.2.1 as it may crash.",
    "omp-dup": "OMP: Error #15: Initializing libomp.dylib, but found libiomp5.dylib already initialized.",
    "nightly-gap": "ERROR: No matching distribution found for torchvision==0.22.0.dev20250301",
    "pip-managed": "error: externally-managed-environment\n\n× This environment is externally managed",
    "hf-badtoken": "401 Client Error. (Request ID: Root=1-67)\n\nInvalid credentials in Authorization header",
    "hf-gated": "Access denied. Model 'stabilityai/sdxl-turbo' requires approval.",
    "hf-429": "huggingface_hub.errors.HfHubHTTPError: 429 Too Many Requests: you have reached your limit",
    "hf-endpoint": "FileMetadataError: Distant resource does not seem to be on huggingface.co. It is possible that a "
    "configuration issue prevents you from downloading: missing the 'X-Repo-Commit' header",
    "build-failed": "ERROR: Could not build wheels for dlib, which is required to install pyproject.toml-based "
    "projects",
    "tls-old": "OpenSSL: error:140773E8:SSL routines:SSL23_GET_SERVER_HELLO:reason(1000)\n"
    "Unable to establish SSL connection.",
    "tls-store": "ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: "
    "unable to get local issuer certificate (_ssl.c:1006)",
}


def _seen() -> dict[str, str]:
    """The first words that are recorded for each finding."""
    blocks = (FACTS / "logs" / "words.txt").read_text(encoding="utf-8").split("=== ")[1:]
    found: dict[str, str] = {}
    for block in blocks:
        head, _, words = block.partition("\n")
        found.setdefault(head.split()[0], words.rstrip("\n"))
    return found


_EACH = {**_seen(), **_GIVEN}
LOGS: Mapping[str, str] = {kind.id: _EACH[kind.id] for kind in CATALOGUE if kind.step == ONLY_IN_LOGS} | _GIVEN
BEFORE = "Python version: 3.12.7\npytorch version: 2.11.0\n"
"""What stands around it in any log, and means nothing."""
