"""Whom our own requests trust: who the person names, else who the system trusts."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Mapping
from pathlib import Path

BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables that name certificates for requests, which refuses to work where they are not there."""


def named_bundle(environ: Mapping[str, str]) -> str:
    """The file of certificates that the environment names, the first that is there; empty for none."""
    named = (environ.get(name, "") for name in ("SSL_CERT_FILE", *BUNDLES))
    return next((bundle for bundle in named if bundle and Path(bundle).is_file()), "")


def trusted(environ: Mapping[str, str]) -> ssl.SSLContext:
    """The named file alone, else the system's own store, in which companies put theirs. Raises OSError.

    Beside a Mac, where a system may have no store, certifi's certificates count too.
    """
    if bundle := named_bundle(environ):
        return ssl.create_default_context(cafile=bundle)
    import truststore

    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if sys.platform != "darwin":
        import certifi

        context.load_verify_locations(certifi.where())
    return context
