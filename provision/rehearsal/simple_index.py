"""The hub's package index: pages of the simple repository API (PEP 503), wheels, and their METADATA (PEP 658)."""

from __future__ import annotations

import zipfile
from html import escape
from pathlib import Path
from urllib.parse import quote

from provision.rehearsal.git_http import file_reply
from provision.rehearsal.model_repo import size_and_sha256
from provision.rehearsal.replies import Reply, Request, refusal


def index_reply(request: Request, index: Path, rest: str) -> Reply:
    """A page of the simple index (PEP 503), a wheel, or its METADATA."""
    parts = [part for part in rest.split("/") if part]
    if any(part.startswith(".") for part in parts):
        return refusal(404, "Not Found")
    place = index.joinpath(*parts)
    if place.suffix == ".whl" and place.is_file():
        return file_reply(request, place, size_and_sha256(place)[1])
    if place.name.endswith(".whl.metadata") and (wheel := place.with_suffix("")).is_file():
        return Reply(200, {"Content-Type": "text/plain; charset=utf-8"}, _metadata(wheel))
    if not place.is_dir():
        return refusal(404, "Not Found")
    wheels = sorted(place.glob("*.whl"))
    here = "/".join(["/whl", *map(quote, parts)])
    if wheels:
        sums = {wheel.name: size_and_sha256(wheel)[1] for wheel in wheels}
        links = {f"{here}/{quote(name)}#sha256={sha256}": name for name, sha256 in sums.items()}
    else:
        folders = sorted(child.name for child in place.iterdir() if child.is_dir())
        links = {f"{here}/{quote(name)}/": name for name in folders}
    tells = ' data-core-metadata="true"' if wheels else ""
    body = "".join(f'<a href="{escape(href)}"{tells}>{escape(name)}</a><br>\n' for href, name in links.items())
    page = f"<!DOCTYPE html>\n<html><head><title>Simple index</title></head><body>\n{body}</body></html>\n"
    return Reply(200, {"Content-Type": "text/html; charset=utf-8"}, page.encode())


def _metadata(wheel: Path) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        return next(archive.read(name) for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
