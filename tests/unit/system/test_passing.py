"""What git, git-lfs and uv say when the network or a server fails, and what may be over in a while."""

from __future__ import annotations

import pytest

from provision.errors import Passing
from provision.system.passing import passing_in, passing_of

AT = "fatal: unable to access 'https://github.com/Comfy-Org/ComfyUI/': "
UV = "error: Failed to fetch: `https://pypi.org/simple/torch/`\n  Caused by: "


@pytest.mark.parametrize(
    ("said", "passing"),
    [
        (AT + "The requested URL returned error: 503", Passing.BUSY),
        (AT + "The requested URL returned error: 429", Passing.RATE_LIMIT),
        (AT + "The requested URL returned error: 403", None),
        (AT + "Could not resolve host: github.com", Passing.NETWORK),
        (AT + "Failed to connect to github.com port 443 after 12 ms: Couldn't connect to server", Passing.NETWORK),
        (AT + "Operation too slow. Less than 1000 bytes/sec transferred the last 60 seconds", Passing.NETWORK),
        (AT + "server certificate verification failed. CAfile: none CRLfile: none", None),
        ("error: RPC failed; curl 56 Recv failure: Connection reset by peer", Passing.NETWORK),
        ("fatal: early EOF", Passing.NETWORK),
        ("git timed out after 30 seconds", Passing.NETWORK),
        ("git was silent for 90 seconds", Passing.NETWORK),
        ("fatal: couldn't find remote ref refs/tags/v9", None),
        ("batch response: Rate limit exceeded: https://huggingface.co/x/info/lfs/objects/batch", Passing.RATE_LIMIT),
        ("LFS: Client error: https://cdn.example/x from HTTP 403", None),
        ("LFS: Server error https://cdn.example/x from HTTP 502", Passing.BUSY),
        ('LFS: Get "https://x/": dial tcp: lookup x: no such host', Passing.NETWORK),
        (UV + "HTTP status server error (503 Service Unavailable)", Passing.BUSY),
        (UV + "HTTP status client error (429 Too Many Requests)", Passing.RATE_LIMIT),
        (UV + "HTTP status client error (404 Not Found)", None),
        (UV + "error sending request\n  Caused by: tcp connect error", Passing.NETWORK),
        (UV + "error sending request\n  Caused by: invalid peer certificate: UnknownIssuer", None),
        (UV + "dns error\n  Caused by: failed to lookup address information", Passing.NETWORK),
        ("error: Failed to download distribution due to network timeout.", Passing.NETWORK),
        ("  × No solution found when resolving dependencies:", None),
        ("error: No space left on device (os error 28)", None),
    ],
)
def test_what_a_program_says(said: str, passing: Passing | None) -> None:
    assert passing_in(said) is passing


@pytest.mark.parametrize(("status", "passing"), [(200, None), (404, None), (501, None), (502, Passing.BUSY)])
def test_what_a_status_says(status: int, passing: Passing | None) -> None:
    assert passing_of(status) is passing
