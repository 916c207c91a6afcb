"""The page in miniature: its files, the scripts that custom nodes bring, and the settings that it keeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import folder_paths
import userdata
from aiohttp import web
from comfyui_version import __version__

WEB = Path(__file__).parent / "web"
EXTENSIONS: dict[str, Path] = {}
"""Folders of scripts, by the name of the custom node that brings them (WEB_DIRECTORY)."""
SETTINGS = "comfy.settings.json"

routes = web.RouteTableDef()


def settings_path() -> Path:
    return userdata.user_root() / SETTINGS


def read_settings() -> dict[str, Any]:
    path = settings_path()
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


@routes.get("/")
async def get_page(request: web.Request) -> web.Response:
    text = (WEB / "index.html").read_text(encoding="utf-8").replace("@VERSION@", __version__)
    return web.Response(text=text, content_type="text/html", headers={"Cache-Control": "no-cache"})


@routes.get("/scripts/{name}")
async def get_script(request: web.Request) -> web.FileResponse:
    return found(WEB / "scripts", request.match_info["name"])


@routes.get("/extensions")
async def list_extensions(request: web.Request) -> web.Response:
    scripts = [
        f"/extensions/{quote(name)}/{quote(path.relative_to(folder).as_posix())}"
        for name, folder in EXTENSIONS.items()
        for path in sorted(folder.rglob("*.js"))
    ]
    return web.json_response(scripts)


@routes.get("/extensions/{extension}/{name:.+}")
async def get_extension(request: web.Request) -> web.FileResponse:
    folder = EXTENSIONS.get(request.match_info["extension"])
    if folder is None:
        raise web.HTTPNotFound()
    return found(folder, request.match_info["name"])


def found(folder: Path, name: str) -> web.FileResponse:
    """A file of a folder; 404 where it is none of it."""
    path = folder / name
    if not folder_paths.is_inside(path, folder) or not path.is_file():
        raise web.HTTPNotFound()
    return web.FileResponse(path)


@routes.get("/settings")
async def get_settings(request: web.Request) -> web.Response:
    return web.json_response(read_settings())


@routes.post("/settings/{id}")
async def post_setting(request: web.Request) -> web.Response:
    path, settings = settings_path(), read_settings() | {request.match_info["id"]: await request.json()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings), encoding="utf-8")
    return web.Response()
