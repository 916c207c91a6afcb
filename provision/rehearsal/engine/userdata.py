"""/userdata: the files of the user, as the page lists and opens them; workflows lie in `workflows`."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote

import folder_paths
from aiohttp import web

routes = web.RouteTableDef()


def user_root() -> Path:
    return folder_paths.directory("user") / "default"


def user_path(name: str) -> Path | None:
    """A path in the user's folder, whose parent is made; None where it leads out of it."""
    path = user_root() / unquote(name)
    if not folder_paths.is_inside(path, user_root()):
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def describe_file(path: Path, folder: Path) -> dict[str, Any]:
    """A file's name relative to `folder`, its size in bytes and its times in seconds."""
    found = path.stat()
    name = path.relative_to(folder).as_posix()
    return {"path": name, "size": found.st_size, "modified": found.st_mtime, "created": found.st_ctime}


def visible_files(folder: Path, recurse: bool) -> list[Path]:
    """The files of a folder, without those that start with a dot or lie in such a folder."""
    files = (path for path in (folder.rglob("*") if recurse else folder.glob("*")) if path.is_file())
    return [path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


@routes.get("/userdata")
async def list_userdata(request: web.Request) -> web.Response:
    """The files of the folder `dir`; `recurse`, `full_info` and `split` are on where they are "true"."""
    query = request.rel_url.query
    if not query.get("dir"):
        return web.Response(status=400, text="Directory not provided")
    folder = user_path(query["dir"])
    if folder is None:
        return web.Response(status=403, text="Invalid directory")
    if not folder.exists():
        return web.Response(status=404, text="Directory not found")
    wishes = {name for name in ("recurse", "full_info", "split") if query.get(name, "").lower() == "true"}
    files = visible_files(folder, "recurse" in wishes)
    if "full_info" in wishes:
        return web.json_response([describe_file(path, folder) for path in files])
    names = [path.relative_to(folder).as_posix() for path in files]
    return web.json_response([[name, *name.split("/")] for name in names] if "split" in wishes else names)


def requested_path(request: web.Request) -> Path:
    """The file that a request names; 403 outside of the user's folder, 404 where it is missing."""
    path = user_path(request.match_info["file"])
    if path is None:
        raise web.HTTPForbidden()
    if request.method == "GET" and not path.exists():
        raise web.HTTPNotFound()
    return path


@routes.get("/userdata/{file}")
async def get_userdata(request: web.Request) -> web.FileResponse:
    return web.FileResponse(requested_path(request))


@routes.post("/userdata/{file}")
async def post_userdata(request: web.Request) -> web.Response:
    """Write a file; 409 where it is there and `overwrite` is "false"."""
    path = requested_path(request)
    if request.query.get("overwrite") == "false" and path.exists():
        return web.Response(status=409, text="File already exists")
    path.write_bytes(await request.read())
    described = describe_file(path, user_root())
    full_info = request.query.get("full_info", "").lower() == "true"
    return web.json_response(described if full_info else described["path"])
