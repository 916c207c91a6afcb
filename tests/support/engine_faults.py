"""Faults of the miniature engine, from the environment variable ENGINE_FAULT; several are joined by commas.

This file is added to an engine as `faults.py`, and changes its modules before it starts. Pictures are spoilt until
something is changed where an argument is given: `black:FLAG` until the engine is started with FLAG
(`black:--fp32-vae`), `black:stable` until torch is no nightly.

black            every picture is black
noise            every picture is white noise
flat             every picture is of one colour
broken           every picture is saved cut in half
oom              KSampler runs out of memory, with the words that torch uses on MPS
node_error       KSampler fails with an error of shapes, as with a model of another kind
op_missing       KSampler uses an operation that torch lacks on MPS
fp8              KSampler meets a number format that MPS lacks
strange          KSampler fails with words that nobody knows
ckpt_error       CheckpointLoaderSimple finds the file cut short, whatever it is
die              the process is killed (SIGKILL) while KSampler runs, as where memory is out
refuse_flag:FLAG the process ends with exit code 2 where it is started with FLAG, as an older engine does
slow_start:S     the server binds its port S seconds later
no_ws            /ws answers 404, as behind a proxy that lets no WebSocket through
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SAMPLER_FAILURES = {
    "oom": "MPS backend out of memory (MPS allocated: 17.34 GB, other allocations: 512.00 MB, max allowed: "
    "18.13 GB). Tried to allocate 1.25 GB on private pool. Use PYTORCH_MPS_HIGH_WATERMARK_RATIO=0.0 to "
    "disable upper limit for memory allocations (may cause system failure).",
    "node_error": "mat1 and mat2 shapes cannot be multiplied (77x2048 and 768x320)",
    "op_missing": "The operator 'aten::_upsample_bicubic2d_aa.out' is not currently implemented for the MPS device.",
    "fp8": "Trying to convert Float8_e4m3fn to the MPS backend but it does not have support for that dtype.",
    "strange": "the moon is in the wrong house",
}
PICTURE_FAULTS = frozenset({"black", "noise", "flat", "broken"})
KNOWN = PICTURE_FAULTS | SAMPLER_FAILURES.keys() | {"ckpt_error", "die", "refuse_flag", "slow_start", "no_ws"}
START = b'if __name__ == "__main__":\n    main()'
FAULTY_START = b'if __name__ == "__main__":\n    import faults\n\n    faults.install()\n    main()'


# -- where it is added ----------------------------------------------------------------------------------------------


def with_faults(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """An engine's files, with faults."""
    assert START in files["main.py"]
    main = files["main.py"].replace(START, FAULTY_START)
    return {**files, "main.py": main, "faults.py": Path(__file__).read_bytes()}


def add_faults(checkout: Path) -> None:
    """Faults for an engine that lies there."""
    for name, content in with_faults({"main.py": (checkout / "main.py").read_bytes()}).items():
        (checkout / name).write_bytes(content)


@contextmanager
def faulty_repo() -> Iterator[None]:
    """The repositories of engines that are made in here have faults."""
    from unittest.mock import patch

    from provision.rehearsal import engine_repo

    read_source = engine_repo.read_source
    with patch.object(engine_repo, "read_source", lambda: with_faults(read_source())):
        yield


def make_faulty_world(root: Path) -> None:
    """A home's world of the rehearsal, made beforehand, whose engine has faults."""
    from provision.core.home import Home
    from provision.rehearsal.world import rehearsal
    from provision.system.local_machine import LocalMachine

    home = Home(root)
    home.prepare()
    with faulty_repo(), rehearsal(home, LocalMachine(os.environ)):
        pass


# -- in the engine --------------------------------------------------------------------------------------------------


def parse_faults(text: str) -> dict[str, str]:
    """Names and their arguments ("" where there is none); SystemExit on a name that is not known."""
    faults = dict(part.partition(":")[::2] for part in text.split(",") if part)
    unknown = sorted(faults.keys() - KNOWN)
    if unknown:
        raise SystemExit(f"ENGINE_FAULT: {', '.join(unknown)} is none of {', '.join(sorted(KNOWN))}")
    return faults


def install() -> None:
    """Change the modules of the engine that is about to start."""
    faults = parse_faults(os.environ.get("ENGINE_FAULT", ""))
    if faults.get("refuse_flag") in sys.argv:
        from cli_args import build_parser

        build_parser().error(f"unrecognized arguments: {faults['refuse_flag']}")
    _spoil_server(faults)
    _spoil_checkpoint(faults)
    _spoil_sampler(faults)
    _spoil_pictures({name: until for name, until in faults.items() if name in PICTURE_FAULTS})


def _spoil_server(faults: Mapping[str, str]) -> None:
    from aiohttp import web
    from server import PromptServer
    from sockets import Sockets

    start = PromptServer.start

    async def start_late(self: Any) -> None:
        time.sleep(float(faults["slow_start"]))
        await start(self)

    async def not_found(self: Any, request: Any, status: Any) -> Any:
        return web.Response(status=404)

    if "slow_start" in faults:
        PromptServer.start = start_late
    if "no_ws" in faults:
        Sockets.serve = not_found


def _spoil_checkpoint(faults: Mapping[str, str]) -> None:
    import checkpoint

    def cut_short(path: Path) -> Any:
        read_header(path)
        raise checkpoint.broken("cut")

    if "ckpt_error" in faults:
        read_header, checkpoint.read_header = checkpoint.read_header, cut_short


def _spoil_sampler(faults: Mapping[str, str]) -> None:
    import nodes

    sleep = nodes.time.sleep

    def fail(seconds: float) -> None:
        sleep(seconds)
        for name, words in SAMPLER_FAILURES.items():
            if name in faults:
                raise RuntimeError(words)
        if "die" in faults:
            os.kill(os.getpid(), signal.SIGKILL)

    nodes.time = type("SamplersTime", (), {"sleep": staticmethod(fail)})


def _spoil_pictures(faults: Mapping[str, str]) -> None:
    import folder_paths
    import nodes
    import torch
    from PIL import Image

    def is_spoilt(name: str) -> bool:
        until = faults.get(name)
        if until == "stable":
            return ".dev" in str(torch.__version__)
        return until is not None and (until or None) not in sys.argv

    develop, write_images = nodes.develop, nodes.write_images

    def develop_badly(latent: Any, index: int) -> Image.Image:
        size = (latent.width, latent.height)
        if is_spoilt("black"):
            nodes.logging.warning("nodes.py: RuntimeWarning: invalid value encountered in cast")
            return Image.new("RGB", size)
        if is_spoilt("flat"):
            return Image.new("RGB", size, (127, 127, 127))
        if is_spoilt("noise"):
            dice = random.Random(nodes.digest(latent.key, index))
            return Image.frombytes("RGB", size, dice.randbytes(3 * size[0] * size[1]))
        return develop(latent, index)

    def write_halves(*words: Any) -> Any:
        produced = write_images(*words)
        for each in produced[1]["images"] if is_spoilt("broken") else ():
            path = folder_paths.directory(each["type"]) / each["subfolder"] / each["filename"]
            os.truncate(path, path.stat().st_size // 2)
        return produced

    nodes.develop, nodes.write_images = develop_badly, write_halves
