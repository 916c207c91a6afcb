"""The WebSocket side: who listens, and what is sent to them. Everything goes out on the loop, in order."""

from __future__ import annotations

import asyncio
import io
import json
import struct
import uuid
from collections.abc import Callable
from typing import Any

from aiohttp import WSMsgType, web
from PIL import Image

PREVIEW_IMAGE = 1
JPEG = 1
FEATURES = {"supports_preview_metadata": True, "max_upload_size": 104857600}


class Sockets:
    """Listeners by their client id."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.messages: asyncio.Queue[tuple[str, Any, str | None]] = asyncio.Queue()
        self.listeners: dict[str, web.WebSocketResponse] = {}
        self.running_node: tuple[str | None, str | None] = (None, None)

    def send(self, event: str, data: Any, client_id: str | None = None) -> None:
        """Send to one listener, to all where it is None; from any thread."""
        self.loop.call_soon_threadsafe(self.messages.put_nowait, (event, data, client_id))

    async def publish(self) -> None:
        while True:
            event, data, client_id = await self.messages.get()
            if event == "executing":
                self.running_node = (client_id, data["node"])
            known = [self.listeners[client_id]] if client_id in self.listeners else []
            for listener in list(self.listeners.values()) if client_id is None else known:
                await deliver(listener, event, data)

    async def serve(self, request: web.Request, status: Callable[[], dict[str, Any]]) -> web.StreamResponse:
        """Answer /ws until the listener goes; the first message is the status with its id."""
        listener = web.WebSocketResponse()
        await listener.prepare(request)
        client_id = request.rel_url.query.get("clientId") or uuid.uuid4().hex
        self.listeners[client_id] = listener
        try:
            await deliver(listener, "status", {"status": status(), "sid": client_id})
            owner, node = self.running_node
            if owner == client_id and node is not None:
                await deliver(listener, "executing", {"node": node})
            async for message in listener:
                if message.type == WSMsgType.TEXT and is_greeting(message.data):
                    await deliver(listener, "feature_flags", FEATURES)
        finally:
            if self.listeners.get(client_id) is listener:
                del self.listeners[client_id]
        return listener


def is_greeting(text: str) -> bool:
    try:
        message = json.loads(text)
    except json.JSONDecodeError:
        return False
    return isinstance(message, dict) and message.get("type") == "feature_flags"


async def deliver(listener: web.WebSocketResponse, event: str, data: Any) -> None:
    """Send one message; a listener that has gone is no error."""
    try:
        if isinstance(data, Image.Image):
            await listener.send_bytes(encode_preview(data))
        else:
            await listener.send_json({"type": event, "data": data})
    except ConnectionError:
        pass


def encode_preview(preview: Image.Image) -> bytes:
    """A preview's binary frame: kinds of message and of picture (4 bytes each, big-endian), then a JPEG."""
    body = io.BytesIO()
    preview.save(body, format="JPEG", quality=95)
    return struct.pack(">II", PREVIEW_IMAGE, JPEG) + body.getvalue()
