"""Whom our own requests trust: who the system trusts, and who the person names beside."""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Mapping
from pathlib import Path

from provision.command import Command, Fix, program
from provision.system.visible import shell_word

NAMES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT", "GIT_SSL_CAINFO")
"""Every variable by which a person names certificates to a program that brings something here."""
OF_TIME = frozenset({9, 10, -67818, -67819})
"""What a certificate is refused with for its dates: OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and _HAS_EXPIRED, macOS's
errSecCertificateExpired and errSecCertificateNotValidYet."""
SAID_OF_TIME = r"(?i)certificate[^\n]*(?:expired|not\s?(?:yet\s?)?valid|not yet been activated)"
"""The same in the words of uv, git, wget and git-lfs."""
SYSTEM_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
"""The system's certificates in one file: Debian's, Fedora's, macOS's and Alpine's."""
KEYCHAINS = ("/Library/Keychains/System.keychain", "/System/Library/Keychains/SystemRootCertificates.keychain")


def is_of_time(error: BaseException) -> bool:
    """Whether a certificate was refused for its dates alone: it ran out, or the clock is wrong."""
    return isinstance(error, ssl.SSLCertVerificationError) and getattr(error, "verify_code", 0) in OF_TIME


def clock_fix() -> Fix:
    """How the clock is set, which is what is wrong where certificates are not valid yet or any more."""
    mac = sys.platform == "darwin"
    words = ("sntp", "-sS", "time.apple.com") if mac else ("timedatectl", "set-ntp", "true")
    return Fix("Look at the date that this computer shows; to set it:", program("sudo", *words))


def certificate_fix() -> Fix:
    """How certificates are named that the system does not trust; on a Mac the file is made from its keychains."""
    mac = sys.platform == "darwin"
    if not mac:
        says = "If a company's proxy or a program opens your TLS, name its certificates:"
        return Fix(says, program("export", "SSL_CERT_FILE=/path/to/ca.pem"))
    file = Path.home() / "certificates.pem"
    collect = f"security find-certificate -a -p {' '.join(KEYCHAINS)} > {shell_word(str(file))}"
    says = "If a company's proxy or a program opens your TLS, collect the certificates of this Mac, and name them:"
    return Fix(says, Command(("sh", "-c", collect), then=program("export", f"SSL_CERT_FILE={file}")))


def named_bundle(environ: Mapping[str, str]) -> str:
    """The file of certificates that the environment names, the first that is there; empty for none."""
    named = (environ.get(name, "") for name in NAMES)
    return next((bundle for bundle in named if bundle and Path(bundle).is_file()), "")


def certificates(environ: Mapping[str, str]) -> dict[str, str]:
    """`SSL_CERT_FILE` as a child is given it, by which OpenSSL, rustls and Go go; empty where it may stay as it is.

    Where it names nothing they trust nobody: then it is the system's own file, or certifi's. (git and GnuTLS's wget do
    not read it, and are told of the named bundle in their own settings.)
    """
    bundle = named_bundle(environ)
    if not bundle and environ.get("SSL_CERT_FILE"):
        import certifi

        bundle = next((place for place in SYSTEM_BUNDLES if Path(place).is_file()), certifi.where())
    return {"SSL_CERT_FILE": bundle} if bundle else {}


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
