"""The HTTP side: ComfyUI's routes, each also under /api."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import json
import logging
import mimetypes
import os
import sys
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import folder_paths
import page
import torch
import userdata
from aiohttp import web
from cli_args import IS_RECENT, args
from comfyui_version import __version__
from execution import Item, PromptQueue, free_memory
from model_management import describe_device, free_memory_bytes, total_memory_bytes
from nodes import NODE_CLASSES, interrupt
from sockets import Sockets
from validation import make_error, validate_prompt

FRONTEND_VERSION = "1.27.10"
TEMPLATES_VERSION = "0.1.95"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return host is not None and ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@web.middleware
async def same_origin_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """403 for a page of another origin that talks to loopback; a port counts only where both name one."""
    if "Host" in request.headers and "Origin" in request.headers:
        host, origin = (urlsplit(text.lower()) for text in (f"//{request.headers['Host']}", request.headers["Origin"]))
        with_ports = host.port is not None and origin.port is not None
        mine, theirs = (host.netloc, origin.netloc) if with_ports else (host.hostname, origin.hostname)
        if is_loopback(host.hostname) and mine and theirs and mine != theirs:
            logging.warning(f"WARNING: request with non matching host and origin {mine} != {theirs}, returning 403")
            return web.Response(status=403)
    return web.Response() if request.method == "OPTIONS" else await handler(request)


def is_canonical_uuid(value: object) -> bool:
    """Whether a prompt id is a UUID as 0.38 wants it: lower case, with hyphens."""
    try:
        return isinstance(value, str) and str(uuid.UUID(value)) == value
    except ValueError:
        return False


def refuse(error: dict[str, Any], node_errors: dict[str, Any] | None = None) -> web.Response:
    """400 with an error of /prompt."""
    return web.json_response({"error": error, "node_errors": node_errors or {}}, status=400)


class PromptServer:
    """The queue and its web server."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.sockets = Sockets(loop)
        self.queue = PromptQueue(lambda: self.sockets.send("status", {"status": self.status()}))
        self.number = 0

    def status(self) -> dict[str, Any]:
        return {"exec_info": {"queue_remaining": self.queue.remaining()}}

    def build_app(self) -> web.Application:
        """The application, with every route also under /api."""
        app = web.Application(client_max_size=round(args.max_upload_size * 2**20), middlewares=[same_origin_only])
        routes = [
            web.get("/ws", self.get_socket),
            web.get("/system_stats", self.get_system_stats),
            web.get("/models", self.get_model_kinds),
            web.get("/models/{folder}", self.get_models),
            web.get("/object_info", self.get_object_info),
            web.get("/object_info/{node_class}", self.get_object_info),
            web.get("/prompt", self.get_prompt),
            web.post("/prompt", self.post_prompt),
            web.get("/queue", self.get_queue),
            web.post("/queue", self.post_queue),
            web.get("/history", self.get_history),
            web.get("/history/{prompt_id}", self.get_history),
            web.get("/view", self.get_view),
            web.post("/interrupt", self.post_interrupt),
            web.post("/free", self.post_free),
        ]
        routes += [
            route for table in (page.routes, userdata.routes) for route in table if isinstance(route, web.RouteDef)
        ]
        app.add_routes(routes)
        app.add_routes([web.route(route.method, "/api" + route.path, route.handler) for route in routes])
        return app

    async def start(self) -> None:
        """Bind every address of --listen; exit code 1 where the port is taken."""
        runner = web.AppRunner(self.build_app(), access_log=None)
        await runner.setup()
        logging.info("Starting server\n")
        for address in args.listen.split(","):
            try:
                await web.TCPSite(runner, address, args.port).start()
            except OSError as error:
                if error.errno != errno.EADDRINUSE or not IS_RECENT:
                    raise
                logging.error(
                    f"Port {args.port} is already in use on address {address}. Please close the other "
                    "application or use a different port with --port."
                )
                raise SystemExit(1) from None
            shown = f"[{address}]" if ":" in address else address
            logging.info(f"To see the GUI go to: http://{shown}:{args.port}")

    async def get_socket(self, request: web.Request) -> web.StreamResponse:
        return await self.sockets.serve(request, self.status)

    async def get_system_stats(self, request: web.Request) -> web.Response:
        system = {
            "os": os.name if not IS_RECENT else sys.platform,
            "ram_total": total_memory_bytes(),
            "ram_free": free_memory_bytes(),
            "comfyui_version": __version__,
            "required_frontend_version": FRONTEND_VERSION,
            "installed_templates_version": TEMPLATES_VERSION,
            "required_templates_version": TEMPLATES_VERSION,
            "python_version": sys.version,
            "pytorch_version": str(torch.__version__),
            "embedded_python": False,
            "argv": sys.argv,
        }
        if IS_RECENT:
            system |= {"comfy_package_versions": [], "deploy_environment": "local-git"}
        return web.json_response({"system": system, "devices": [describe_device()]})

    async def get_model_kinds(self, request: web.Request) -> web.Response:
        return web.json_response([*folder_paths.folders, "custom_nodes"])

    async def get_models(self, request: web.Request) -> web.Response:
        kind = request.match_info["folder"]
        if kind not in folder_paths.folders:
            return web.Response(status=404)
        return web.json_response(folder_paths.list_models(kind))

    async def get_object_info(self, request: web.Request) -> web.Response:
        """One node class, or all; an empty object for one that is not there."""
        wanted = request.match_info.get("node_class")
        nodes = {name: node.describe() for name, node in NODE_CLASSES.items() if wanted in (None, name)}
        return web.json_response(nodes)

    async def get_prompt(self, request: web.Request) -> web.Response:
        return web.json_response(self.status())

    async def get_queue(self, request: web.Request) -> web.Response:
        running = [self.queue.running.to_json()] if self.queue.running else []
        waiting = [item.to_json() for item in self.queue.waiting]
        return web.json_response({"queue_running": running, "queue_pending": waiting})

    async def get_history(self, request: web.Request) -> web.Response:
        """One finished prompt or the newest `max_items`; an empty object for one that is not there (yet)."""
        wanted = request.match_info.get("prompt_id")
        entries = {name: entry for name, entry in self.queue.history.items() if wanted in (None, name)}
        newest = int(request.query.get("max_items", len(entries)))
        return web.json_response(dict(list(entries.items())[max(0, len(entries) - newest) :]))

    async def get_view(self, request: web.Request) -> web.StreamResponse:
        query = request.rel_url.query
        filename = query.get("filename")
        if filename is None:
            return web.Response(status=404)
        kind = query.get("type", "output")
        if not filename or filename.startswith("/") or ".." in filename or kind not in ("output", "input", "temp"):
            return web.Response(status=400)
        root = folder_paths.directory(kind)
        folder = root / query.get("subfolder", "")
        if not folder_paths.is_inside(folder, root):
            return web.Response(status=403)
        path = folder / Path(filename).name
        if not path.is_file():
            return web.Response(status=404)
        headers = {
            "Content-Disposition": f'filename="{path.name}"',
            "Content-Type": mimetypes.guess_type(path.name)[0] or "application/octet-stream",
        }
        return web.FileResponse(path, headers=headers)

    async def post_prompt(self, request: web.Request) -> web.Response:
        logging.info("got prompt")
        body = await request.json()
        number = float(body["number"]) if "number" in body else self.next_number(body)
        if "prompt" not in body:
            return refuse(make_error("no_prompt", "No prompt provided", "No prompt provided"))
        prompt_id = body.get("prompt_id") or str(uuid.uuid4())
        if IS_RECENT and not is_canonical_uuid(prompt_id):
            wanted = "a UUID string in canonical lowercase hyphenated form; omit it to let the server generate one"
            details = f"prompt_id must be {wanted}"
            return refuse(make_error("invalid_prompt_id", "prompt_id must be a valid UUID", details))
        verdict = validate_prompt(body["prompt"])
        if verdict.error is not None:
            logging.warning(f"invalid prompt: {verdict.error}")
            return refuse(verdict.error, verdict.node_errors)
        extra_data = dict(body.get("extra_data") or {})
        if "client_id" in body:
            extra_data["client_id"] = body["client_id"]
        self.queue.put(Item(number, str(prompt_id), body["prompt"], extra_data, verdict.outputs))
        answer = {"prompt_id": prompt_id, "number": number, "node_errors": verdict.node_errors}
        return web.json_response(answer)

    def next_number(self, body: dict[str, Any]) -> int:
        """The place in the queue: behind all others, or before them with `front`."""
        number = -self.number if body.get("front") else self.number
        self.number += 1
        return number

    async def post_queue(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body.get("clear"):
            self.queue.delete()
        if "delete" in body:
            self.queue.delete(body["delete"])
        return web.Response()

    async def post_interrupt(self, request: web.Request) -> web.Response:
        """Stop what runs; where a prompt_id is given, only that prompt."""
        try:
            prompt_id = (await request.json()).get("prompt_id")
        except json.JSONDecodeError:
            prompt_id = None
        running = self.queue.running
        if prompt_id is None or (running is not None and running.prompt_id == prompt_id):
            what = "Global interrupt (no prompt_id specified)"
            logging.info(what if prompt_id is None else f"Interrupting prompt {prompt_id}")
            interrupt.set()
        else:
            logging.info(f"Prompt {prompt_id} is not currently running, skipping interrupt")
        return web.Response()

    async def post_free(self, request: web.Request) -> web.Response:
        """Ask for memory back with `free_memory`; no models are loaded here."""
        if (await request.json()).get("free_memory"):
            free_memory.set()
        return web.Response()
