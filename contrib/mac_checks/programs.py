"""Other programs, as the product starts them."""

from __future__ import annotations

import os
import socket
import sys
import time

from contrib.mac_checks.check import Bench, Skipped, in_one_line, said
from contrib.mac_checks.gpu import ASK_MPS


def lsof(_: Bench) -> str:
    """Who listens on a port."""
    from provision.system.local_machine import LocalMachine

    with socket.create_server(("127.0.0.1", 0)) as server:
        found = LocalMachine().listener(server.getsockname()[1])
    assert found is not None, "nobody is found to listen"
    assert found.pid == os.getpid(), f"{found.pid} is found, {os.getpid()} listens"
    return "our own listener is found"


def open_image(bench: Bench) -> str:
    """`open FILE`, as `generate --open` calls it."""
    image = bench.folder / "image.png"
    from PIL import Image

    Image.new("RGB", (8, 8)).save(image)
    return f"open ended with 0 {in_one_line(said('/usr/bin/open', '-g', image))}".strip()


def caffeinate(_: Bench) -> str:
    """No idle sleep while a download runs."""
    from provision.system.keep_awake import kept_awake
    from provision.system.local_machine import LocalMachine

    with kept_awake(LocalMachine()):
        time.sleep(1)
        held = said("/usr/bin/pmset", "-g", "assertions")
    assert "caffeinate" in held, in_one_line(held)
    return "pmset lists our caffeinate"


def sandbox(bench: Bench) -> str:
    """The fence around other people's code: it writes inside, and nowhere else."""
    from provision.comfyui.sandbox import can_fence, fenced
    from provision.system.local_machine import LocalMachine

    machine = LocalMachine()
    if not can_fence(machine):
        raise Skipped("this system cannot fence a program")
    inside, outside = bench.folder / "inside", bench.folder / "outside"
    inside.mkdir()
    writes = "import sys; open(sys.argv[1], 'w').write('x')"
    for folder, is_let in ((inside, True), (bench.folder, False)):
        path = folder / "written"
        ran = machine.run(fenced(machine, (sys.executable, "-c", writes, str(path)), inside))
        assert (ran.ok, path.exists()) == (is_let, is_let), f"{path.parent.name}: {in_one_line(ran.err)[-300:]}"
    assert not outside.exists()
    if bench.torch is None:
        return "writes inside, not outside"
    gpu = machine.run(fenced(machine, (bench.torch, "-c", ASK_MPS), inside), timeout_s=120)
    assert gpu.ok, f"torch does not start in it: {in_one_line(gpu.err)[-300:]}"
    return f"writes inside, not outside; in it {in_one_line(gpu.out)}"
