"""What a package index says of torch's family: its pages, and the METADATA of one wheel."""

from __future__ import annotations

from collections.abc import Iterable

from provision.core.step import Context
from provision.download.backend import Address
from provision.download.web import address_from, fetch
from provision.environment.wheel_index import Wheel, parse_index_page
from provision.errors import HubRefused, NetworkError, UsageError
from provision.steps.tools.network import unreachable_because
from provision.system.bounded_http import body_of
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
    pages: dict[str, list[Wheel]] = {}
    for name in names:
        text, trouble = _read(ctx, f"{index}/{name}/", PAGE_MAX_BYTES)
        if trouble:
            return {}, trouble
        pages[name] = parse_index_page(text)
    return pages, ""


def read_metadata(ctx: Context, index: str, wheel: Wheel) -> str:
    """A wheel's METADATA as the index has it beside the wheel (PEP 658); empty where it has none."""
    try:
        url = address_from(f"{index}/{wheel.name}/", wheel.href).partition("#")[0]
    except HubRefused:
        return ""
    return _read(ctx, f"{url}.metadata", SETTINGS_MAX_BYTES)[0]


def _read(ctx: Context, url: str, max_bytes: int) -> tuple[str, str]:
    """The text at an address, empty where there is none, and why it cannot be had."""
    try:
        with fetch(ctx, Address(url, {}), own=True) as answer:
            if answer.status_code == NOT_FOUND:
                return "", ""
            if not answer.ok:
                return "", f"answers {answer.status_code}"
            return body_of(answer, max_bytes).decode("utf-8", "replace"), ""
    except (OSError, NetworkError, UsageError):
        return "", "cannot be reached (the connection broke)"
    except Unreadable as error:
        return "", f"sends {error}"
    except HubRefused as error:
        return "", f"sends on to no page ({error.message.rstrip('.')})"
