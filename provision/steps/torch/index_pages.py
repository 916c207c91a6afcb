"""What a package index says of torch's family: its pages, and the METADATA of one wheel."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from provision.command import ours
from provision.core.patience import ride_out
from provision.core.step import Context
from provision.download.backend import Address
from provision.download.rate_limits import asked_wait_s
from provision.download.web import address_from, fetch
from provision.environment.wheel_index import Wheel, parse_index_page
from provision.errors import HubRefused, NetworkError, Passing, ProvisionError, UsageError
from provision.steps.tools.network import unreachable_because
from provision.system.bounded_http import body_of
from provision.system.passing import passing_of
from provision.system.strict import SETTINGS_MAX_BYTES, Unreadable

PAGE_MAX_BYTES = 32 << 20
"""Of torch's own nightlies a page has 4 MB."""
NOT_FOUND = 404


def read_pages(ctx: Context, index: str, names: Iterable[str]) -> tuple[dict[str, list[Wheel]], str]:
    """The index's pages of some packages; the second is why they could not be had, empty when they could.

    A package that the index does not have has no wheels.
    """
    if reason := unreachable_because(ctx, index):  # asked first: a name that is not resolved would be waited for
        return {}, f"cannot be reached ({reason})"
    try:
        pages = {name: _read(ctx, f"{index}/{name}/", PAGE_MAX_BYTES) for name in names}
    except _Unread as error:
        return {}, error.message
    return {name: parse_index_page(text) for name, text in pages.items()}, ""


def read_metadata(ctx: Context, index: str, wheel: Wheel) -> str:
    """A wheel's METADATA as the index has it beside the wheel (PEP 658); empty where it has none."""
    try:
        url = address_from(f"{index}/{wheel.name}/", wheel.href).partition("#")[0]
    except HubRefused:
        return ""
    try:
        return _read(ctx, f"{url}.metadata", SETTINGS_MAX_BYTES)
    except _Unread:
        return ""


class _Unread(ProvisionError):
    """Why something of an index cannot be had, after the name of the index; never shown by itself."""

    def __init__(self, why: str, passing: Passing | None = None, wait_s: float | None = None) -> None:
        super().__init__(why, hint=ours("all"), passing=passing, wait_s=wait_s)


def _read(ctx: Context, url: str, max_bytes: int) -> str:
    """The text at an address, empty where there is none; what may pass is ridden out. Raises _Unread."""
    return ride_out(ctx, partial(_read_once, ctx, url, max_bytes))


def _read_once(ctx: Context, url: str, max_bytes: int) -> str:
    try:
        with fetch(ctx, Address(url, {}), own=True) as answer:
            status = answer.status_code
            if status == NOT_FOUND:
                return ""
            if not answer.ok:
                raise _Unread(f"answers {status}", passing_of(status), asked_wait_s(answer.headers))
            return body_of(answer, max_bytes).decode("utf-8", "replace")
    except (OSError, NetworkError, UsageError) as error:
        passing = error.passing if isinstance(error, ProvisionError) else Passing.NETWORK
        raise _Unread("cannot be reached (the connection broke)", passing) from error
    except Unreadable as error:
        raise _Unread(f"sends {error}") from error
    except HubRefused as error:
        raise _Unread(f"redirects nowhere ({error.message.rstrip('.')})") from error
