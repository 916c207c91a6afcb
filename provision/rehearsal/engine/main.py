"""A miniature of ComfyUI: its command line, its start, and the part of its API that a first image needs.

It imports what the real one imports (torch, torchvision, PIL, aiohttp, yaml), so that a missing package ends
it in the same way: a traceback and exit code 1.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import shutil
import sys
import threading
import time
from pathlib import Path

from cli_args import args

logging.basicConfig(level=args.verbose, format="%(message)s", stream=sys.stdout if args.log_stdout else sys.stderr)

import folder_paths  # noqa: E402 - the log must be set up before what follows writes to it

if (folder_paths.BASE / "extra_model_paths.yaml").is_file():
    folder_paths.load_extra_paths(folder_paths.BASE / "extra_model_paths.yaml")
for config_file in itertools.chain(*(args.extra_model_paths_config or [])):
    folder_paths.load_extra_paths(Path(config_file))

from prestartup import run_prestartup_scripts  # noqa: E402

run_prestartup_scripts()

import model_management  # noqa: E402, F401 - chooses the device, or fails for want of one
import torchvision  # noqa: E402, F401 - as the real engine's nodes do
from comfyui_version import __version__  # noqa: E402
from custom_nodes import load_custom_nodes  # noqa: E402
from execution import Result, execute  # noqa: E402
from server import FRONTEND_VERSION, PromptServer  # noqa: E402


def work(server: PromptServer) -> None:
    """Run prompts as they come, for ever."""
    cache: dict[bytes, Result] = {}
    while True:
        item = server.queue.take()
        started = time.perf_counter()
        server.queue.finish(item, execute(item, cache, server.sockets.send))
        client_id = item.extra_data.get("client_id")
        if client_id is not None:
            server.sockets.send("executing", {"node": None, "prompt_id": item.prompt_id}, client_id)
        logging.info(f"Prompt executed in {time.perf_counter() - started:.2f} seconds")


def prepare_folders() -> None:
    """Make the folders that the engine writes to, and empty the temporary one."""
    shutil.rmtree(folder_paths.directory("temp"), ignore_errors=True)
    for kind in ("user", "input", "output", "temp"):
        folder_paths.directory(kind).mkdir(parents=True, exist_ok=True)


def main() -> None:
    logging.info(f"Python version: {sys.version}")
    logging.info(f"ComfyUI version: {__version__}")
    prepare_folders()
    load_custom_nodes()
    logging.info(f"ComfyUI frontend version: {FRONTEND_VERSION}")
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    server = PromptServer(loop)
    threading.Thread(target=work, args=(server,), daemon=True).start()
    if args.quick_test_for_ci:
        sys.exit(0)
    try:
        loop.run_until_complete(server.start())
        loop.run_until_complete(server.sockets.publish())
    except KeyboardInterrupt:
        logging.info("\nStopped server")
    finally:
        shutil.rmtree(folder_paths.directory("temp"), ignore_errors=True)


if __name__ == "__main__":
    main()
