"""Whom our own requests trust: who the system trusts, and who the person names beside."""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Mapping
from pathlib import Path

BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables that name certificates for requests, which refuses to work where they are not there."""
NAMES = ("SSL_CERT_FILE", *BUNDLES, "PIP_CERT", "GIT_SSL_CAINFO")
"""Every variable by which a person names certificates to a program that brings something here."""


def named_bundle(environ: Mapping[str, str]) -> str:
    """The file of certificates that the environment names, the first that is there; empty for none."""
    named = (environ.get(name, "") for name in NAMES)
    return next((bundle for bundle in named if bundle and Path(bundle).is_file()), "")


def has_store(system: str) -> bool:
    """Whether the system (`Darwin`, `Linux`) has a store of certificates of its own; a bare Linux may have none."""
    if system == "Darwin":
        return True
    places = ssl.get_default_verify_paths()
    return bool(places.cafile) or any(Path(places.capath or os.devnull).glob("*"))


def trusted(environ: Mapping[str, str]) -> ssl.SSLContext:
    """Whom the system trusts, in whose store companies put their certificates, and whom the named file names.

    Beside a Mac, where a system may have no store, certifi's certificates count too. Raises OSError.
    """
    import truststore

    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if sys.platform != "darwin":
        import certifi

        context.load_verify_locations(certifi.where())
    if bundle := named_bundle(environ):
        context.load_verify_locations(bundle)
    return context
