"""`docs/networks.md`: what a network must let through, and what is waited for; made from the code that goes by it."""

from __future__ import annotations

from provision.core.patience import LIMIT_S, LOOKING_S, VARIABLE, Patience
from provision.download.hosts import PORT, SITES, WIDER
from provision.errors import Passing

MAKE = "PROVISION_WRITE_DOCS=1 bin/test tests/unit/architecture/test_manual.py"


def networks_page() -> str:
    """The whole page."""
    rows = [f"| `{host}` | {site.brings} | {site.source} |" for site in SITES for host in site.hosts]
    usual, kinds = Patience(), ", ".join(f"`{each}`" for each in Passing)
    return f"""\
# Networks and proxies

<!-- Made from provision/download/hosts.py and provision/core/patience.py: {MAKE} -->

## Hosts to allow

All over HTTPS, port {PORT}. The first host of each service answers requests; the others store its files.
`provision check --hosts` prints this list with your mirrors and indexes; add `--json` for a script.
{WIDER}

| host | for | source |
|---|---|---|
{chr(10).join(rows)}

`provision doctor` checks the required hosts, and those that the hub redirects to for the model. A network that allows
only the first ones is reported as `net-storage`, before anything is downloaded.

## Proxies and certificates

Set `HTTPS_PROXY` (and `NO_PROXY`). Certificates in the Mac's keychain are trusted; set
`SSL_CERT_FILE` for others.

## Outages

Every request (to the hub and the indexes, and those of `hf`, `wget`, `git-lfs`, git and uv) waits for temporary
problems to pass, with a countdown:

| problem | waits for |
|---|---|
| 408, 5xx, a connection that breaks or stalls | {usual.outage_s:.0f} s without a new byte |
| 429 | as long as the server asks (`RateLimit`, `Retry-After`), up to {LIMIT_S:.0f} s at a time |
| a host name that does not resolve, while others do | {usual.name_s:.0f} s |
| a wrong answer, such as a login page | {usual.answer_s:.0f} s |
| 401, 403, 404, a certificate that is not trusted | not at all |

`check`, `doctor` and `plan` wait {LOOKING_S:.0f} s at most, then report what they saw. `{VARIABLE}=60` limits all waits
to a minute, `{VARIABLE}=0` disables them. With `--json` each wait is an event of type `waiting`; its `kind` is one of
{kinds}.

huggingface.co limits requests per network address, shared by all computers behind it: 3,000 files and 500 other
requests in five minutes. With a token (`hf auth login`, or `HF_TOKEN`) your account's own, higher limit applies
(https://huggingface.co/docs/hub/rate-limits).
"""
