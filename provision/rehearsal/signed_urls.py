"""Signed addresses, as a hub's storage gives them out: each is good for one place, for a while."""

from __future__ import annotations

import hmac
import itertools
import secrets
import time
from urllib.parse import parse_qs, quote

from provision.rehearsal.replies import Reply, Request, refusal


class SignedAddresses:
    """Addresses below `origin` that live for `ttl_s` seconds."""

    def __init__(self, origin: str, *, ttl_s: float) -> None:
        self.ttl_s = ttl_s
        self._origin = origin
        self._key = secrets.token_bytes(16)
        self._serials = itertools.count(1)

    def sign(self, where: str) -> str:
        """An address of the path `where`, of its own for each who asks."""
        claim = f"Expires={time.time() + self.ttl_s:.3f}&Key-Pair-Id={next(self._serials)}"
        return f"{self._origin}{quote(where)}?{claim}&Signature={self._signature(where, claim)}"

    def refused(self, request: Request) -> Reply | None:
        """The refusal of an invalid or expired address; None for a good one."""
        claim, _, signature = request.query.rpartition("&Signature=")
        if not hmac.compare_digest(signature.encode(), self._signature(request.path, claim).encode()):
            return refusal(403, "SignatureDoesNotMatch")
        if time.time() > float(parse_qs(claim)["Expires"][0]):
            return refusal(403, "Request has expired")
        return None

    def _signature(self, where: str, claim: str) -> str:
        return hmac.new(self._key, f"{where}?{claim}".encode(), "sha256").hexdigest()
