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
# Networks: what to let through, and what is waited for

<!-- Made from provision/download/hosts.py and provision/core/patience.py: {MAKE} -->

## Hosts

All by HTTPS, port {PORT}. The first host of a service answers for it; the files come from those behind.
`provision check --hosts` prints this list with the mirrors and indexes that you configured, with `--json` as data.
{WIDER}

| host | for | source |
|---|---|---|
{chr(10).join(rows)}

`provision doctor` asks those that are needed, and where the hub sends on to for the model: a network that lets only the
first ones through is the finding `net-storage`, before anything is downloaded.

## Outages

What may be over in a while is waited for, with a countdown, by every request (to the hub and the indexes, and those of
`hf`, `wget`, `git-lfs`, git and uv):

| what happens | is ridden out for |
|---|---|
| 408, 5xx, a connection that breaks or is silent | {usual.outage_s:.0f} s without a new byte |
| 429 | as long as the server asks (`RateLimit`, `Retry-After`), up to {LIMIT_S:.0f} s at a time |
| a name that the resolver does not know, while it knows others | {usual.name_s:.0f} s |
| an answer that is none to the question, as a login page | {usual.answer_s:.0f} s |
| 401, 403, 404, a certificate that is not trusted | not at all |

`check`, `doctor` and `plan` wait for no more than {LOOKING_S:.0f} s and say what they saw. `{VARIABLE}=60` makes an
outage a minute, `{VARIABLE}=0` waits for nothing. With `--json` each wait is an event of type `waiting`, its `kind` one
of {kinds}.

A limit of huggingface.co is that of your network's address, which all computers behind it share: 3,000 files and 500
other requests in five minutes. With a token (`hf auth login`, or `HF_TOKEN`) your account's own, higher limit counts
(https://huggingface.co/docs/hub/rate-limits).
"""
