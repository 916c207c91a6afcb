"""The hosts that are needed, and those behind them from which their files come: the one place that knows them.

`provision check --hosts` prints them for who runs a network; the look asks them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Site:
    """A host that is asked first, those behind it, what comes from there, and where that is said."""

    name: str
    front: str
    behind: tuple[str, ...]
    brings: str
    source: str
    asked: tuple[str, ...] = ()
    """Of those behind, the ones that each download passes: a look asks them by name."""
    vital: bool = True
    """Whether nothing works without those behind."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """All of them, the first one first."""
        return (self.front, *self.behind)


SITES = (
    Site(
        "Hugging Face",
        "huggingface.co",
        (
            "cas-server.xethub.hf.co",
            "cas-server.xethub-eu.hf.co",
            "transfer.xethub.hf.co",
            "transfer.xethub-eu.hf.co",
            "cas-bridge.xethub.hf.co",
            "us.aws.cdn.hf.co",
            "us.gcp.cdn.hf.co",
            "cdn-lfs-us-1.hf.co",
            "cdn-lfs-eu-1.hf.co",
        ),
        "the model, from Xet storage and CDNs",
        "https://huggingface.co/docs/hub/datasets-downloading",
    ),
    Site(
        "GitHub",
        "github.com",
        (
            "codeload.github.com",
            "raw.githubusercontent.com",
            "release-assets.githubusercontent.com",
            "objects.githubusercontent.com",
        ),
        "ComfyUI, install.sh, and Python where Astral does not answer",
        "https://github.com/astral-sh/python-build-standalone/releases, whose downloads lead there",
        asked=("release-assets.githubusercontent.com",),
        vital=False,
    ),
    Site(
        "PyPI",
        "pypi.org",
        ("files.pythonhosted.org",),
        "Python packages, and uv",
        "https://docs.pypi.org/api",
        asked=("files.pythonhosted.org",),
    ),
    Site(
        "PyTorch",
        "download.pytorch.org",
        ("download-r2.pytorch.org",),
        "torch",
        "https://download.pytorch.org/whl/torch/, whose links lead there",
        asked=("download-r2.pytorch.org",),
        vital=False,
    ),
    Site(
        "Astral",
        "releases.astral.sh",
        (),
        "Python, where it is not here",
        "`uv python list --only-downloads --output-format json` (uv 0.13)",
    ),
)


PORT = 443
WIDER = (
    "Hugging Face's names may change: where your rules allow it, let hf.co and huggingface.co through, subdomains too."
)
"""As its own page advises (see the source above)."""


def site_of(host: str) -> Site | None:
    """The site that a host belongs to; None for one that is not known here, as a mirror."""
    return next((site for site in SITES if host in site.hosts), None)


def needed_sites(hosts: Iterable[str]) -> list[Site]:
    """All that are known, and each other host that is configured in the place of one."""
    more = [host for host in dict.fromkeys(hosts) if site_of(host) is None]
    return [*SITES, *(Site(host, host, (), "what it is configured for", "this configuration") for host in more)]
