"""A fleet over real SSH servers on loopback. What runs on the hosts is a script that speaks as the tool does, so that
each fault comes when it is wanted; one test runs the real tool. With --fleet: eight hosts, and a full disk.
"""

from __future__ import annotations

import base64
import fcntl
import io
import json
import os
import pty
import re
import shlex
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from provision.fleet.record import FILE
from provision.system.visible import uncoloured
from tests.support.locks import LOCK
from tests.support.paths import CHECKOUT
from tests.support.processes import eventually
from tests.support.ssh_hosts import SSHD, Host, Hosts, ssh_hosts

pytestmark = pytest.mark.skipif(SSHD is None, reason="there is no sshd")

STEPS = {"tools": [], "models": ["tools"], "server": ["models"]}


def line(type: str, **values: object) -> str:
    return json.dumps({"schema": 2, "type": type, "step": "", **values})


def said(*lines: str) -> str:
    return "".join(f"echo {shlex.quote(each)}\n" for each in lines)


def report(*, ok: bool = True, changed: bool = True, code: str = "failed", message: str = "It broke.") -> str:
    error = None if ok else {"code": code, "message": message, "hint": "", "argv": None}
    image = {"device": "mps", "seconds_warm": 1.5, "chip": "Apple M2"}
    facts = {
        "command": "all",
        "ok": ok,
        "changed": changed,
        "seconds": 1.0,
        "error": error,
        "url": "http://127.0.0.1:8190",
    }
    return line("report", **facts, image=image if ok else None)


BEGUN = said(line("run_started", needs=STEPS), line("step_started", step="tools", repeat=False))
MOVING = said(
    line("step_finished", step="tools", verdict="ok", message="", changed=False, seconds=0.1),
    line("step_planned", step="models", download_bytes=7_000_000_000, disk_bytes=7_000_000_000),
    *(
        line("progress", step="models", subject="x", done=done, total=7 * 10**9, kind="download", unit="bytes")
        for done in (0, 10**9)
    ),
)
GOOD = BEGUN + MOVING + said(report())
WAITS = "exec sleep 600\n"
"""Says nothing more."""
KEEPS = (
    BEGUN
    + """
trap 'touch "$HOME/kept"; exit 130' TERM
touch "$HOME/works"
while :; do sleep 0.05; done
"""
)
"""Works until it is told to stop."""


Answer = tuple[int, dict[str, Any], list[dict[str, Any]]]


@dataclass
class Driver:
    """The command on this machine."""

    hosts: Hosts
    person: Path
    toml: Path

    def start(self, *words: str) -> subprocess.Popen[str]:
        env = {**os.environ, "HOME": str(self.person), "PYTHONPATH": str(CHECKOUT)}
        return subprocess.Popen(
            [sys.executable, "-m", "provision", "--json", "fleet", str(self.toml), *words],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, limit_s: float = 120) -> Answer:
        """The exit code, the rows by Mac, and all lines."""
        return self.ended(self.start(*words), limit_s)

    def ended(self, process: subprocess.Popen[str], limit_s: float = 120) -> Answer:
        """The same of a command that runs."""
        out, err = process.communicate(timeout=limit_s)
        assert "Traceback" not in err, err
        lines = [json.loads(each) for each in out.splitlines()]
        return process.returncode, {each["mac"]: each for each in lines[-1].get("macs", ())}, lines

    def outcomes(self, *words: str) -> tuple[int, dict[str, str]]:
        code, rows, _ = self.run(*words)
        return code, {mac: row["outcome"] for mac, row in rows.items()}

    def record(self) -> dict[str, str]:
        held = json.loads((self.toml.parent / FILE).read_text())
        return {mac: each["outcome"] for mac, each in held["macs"].items()}


@pytest.fixture
def driver(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Driver]:
    person = tmp_path / "person"
    person.mkdir()
    with ssh_hosts(tmp_path, person, getattr(request, "param", 3)) as hosts:
        yield Driver(hosts, person, hosts.hosts_toml())


def runs(driver: Driver, scripts: dict[str, str] | None = None) -> None:
    """What `provision` does on each host."""
    for name, host in driver.hosts.hosts.items():
        host.tool((scripts or {}).get(name, GOOD))


def test_all_are_done_and_each_has_its_row(driver: Driver) -> None:
    runs(driver)
    code, rows, lines = driver.run()
    assert code == 0
    assert {mac: row["outcome"] for mac, row in rows.items()} == dict.fromkeys(driver.hosts.hosts, "ok")
    seen = [each["at_work"] for each in lines if each["type"] == "mac_seen" and each["at_work"]["mac"] == "mac2"]
    assert {"connecting", "looking", "running", "ok"} <= {each["state"] for each in seen}
    assert max(each["steps"] for each in seen) == 3
    assert (rows["mac1"]["device"], rows["mac1"]["url"]) == ("mps", "http://127.0.0.1:8190")
    runs(driver, dict.fromkeys(driver.hosts.hosts, said(report(changed=False))))
    assert driver.outcomes() == (0, dict.fromkeys(driver.hosts.hosts, "unchanged"))
    code, _, lines = driver.run("--retry")
    assert (code, lines[-1]["macs"]) == (0, [])


def test_down_hung_and_killed_are_rows_and_a_retry_takes_these_alone(driver: Driver) -> None:
    runs(driver, {"mac2": BEGUN + WAITS, "mac3": BEGUN + "kill -9 $$\n"})
    driver.hosts["mac1"].stop()
    code, rows, lines = driver.run("--silence", "3")
    assert (code, {mac: row["outcome"] for mac, row in rows.items()}) == (
        1,
        {"mac1": "down", "mac2": "hung", "mac3": "lost"},
    )
    assert lines[-1]["error"]["argv"][-3:] == [str(driver.toml), "all", "--retry"]
    assert driver.record() == {"mac1": "down", "mac2": "hung", "mac3": "lost"}
    driver.hosts["mac1"].start()
    runs(driver, {"mac3": BEGUN + said(report(ok=False, code="disk_full", message="Full."))})
    assert driver.outcomes("--retry") == (1, {"mac1": "ok", "mac2": "ok", "mac3": "full"})
    assert driver.outcomes("--retry", "--only", "mac3") == (1, {"mac3": "full"})
    assert driver.record() == {"mac1": "ok", "mac2": "ok", "mac3": "full"}


@pytest.mark.parametrize("driver", [1], indirect=True)
def test_a_frozen_server_is_a_row(driver: Driver) -> None:
    """It takes the connection and says nothing, not even who it is."""
    runs(driver)
    driver.hosts["mac1"].signal(signal.SIGSTOP)
    assert driver.outcomes("--silence", "3") == (1, {"mac1": "down"})


@pytest.mark.parametrize("driver", [2], indirect=True)
def test_ctrl_c_stops_all_and_each_run_is_told_to_stop(driver: Driver) -> None:
    runs(driver, dict.fromkeys(driver.hosts.hosts, KEEPS))
    process = driver.start()
    homes = [host.home for host in driver.hosts.hosts.values()]
    assert eventually(lambda: all((home / "works").exists() for home in homes))
    process.send_signal(signal.SIGINT)
    code, _, lines = driver.ended(process)
    assert (code, lines[-1]["error"]["code"]) == (130, "interrupted")
    assert driver.record() == dict.fromkeys(driver.hosts.hosts, "stopped")
    assert eventually(lambda: all((home / "kept").exists() for home in homes))


@pytest.mark.parametrize("driver", [1], indirect=True)
def test_a_killed_driver_leaves_what_is_there_and_its_runs_are_told_to_stop(driver: Driver) -> None:
    home = driver.hosts["mac1"].home
    runs(
        driver,
        {
            "mac1": BEGUN
            + 'trap \'touch "$HOME/kept"; exit 130\' TERM\ntouch "$HOME/works"\nwhile :; do sleep 0.05; done\n'
        },
    )
    process = driver.start()
    assert eventually((home / "works").exists)
    process.kill()
    process.communicate(timeout=60)
    assert eventually((home / "kept").exists)
    runs(driver)
    assert driver.outcomes() == (0, {"mac1": "ok"})


@pytest.mark.parametrize("driver", [3], indirect=True)
def test_what_a_mac_says_is_a_strangers_text(driver: Driver) -> None:
    """Escapes, an endless line, a flood, a report that makes no sense, and a question for a password."""
    hostile = said(
        "not json",
        line("progress", step="x", subject="y", done="z"),
        line("run_started", needs={"a": ["b"], "b": ["a"]}),
    )
    runs(
        driver,
        {
            "mac1": hostile + said(report(ok=False, message="\x1b[31mred\x1b]0;title\x07")),
            "mac2": 'yes \'{"type":"heartbeat"}\'\n',
            "mac3": "head -c 3000000 /dev/zero | tr '\\0' x; echo\necho 'sudo: a password is required' >&2\nexit 1\n",
        },
    )
    code, rows, _ = driver.run()
    assert code == 1
    assert {mac: row["outcome"] for mac, row in rows.items()} == {"mac1": "failed", "mac2": "wrong", "mac3": "lost"}
    env = {**os.environ, "HOME": str(driver.person), "PYTHONPATH": str(CHECKOUT)}
    words = [sys.executable, "-m", "provision", "fleet", str(driver.toml), "--only", "mac1"]
    shown = subprocess.run(words, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert "\x1b" not in shown.stdout + shown.stderr
    assert "\\x1b[31mred" in shown.stdout


@pytest.mark.parametrize("driver", [2], indirect=True)
def test_an_unknown_host_key_is_refused_and_named(driver: Driver) -> None:
    runs(driver)
    known = driver.person / ".ssh" / "known_hosts"
    first, second = known.read_text().splitlines()
    known.write_text(f"{first}\n")
    code, rows, _ = driver.run()
    assert (code, rows["mac1"]["outcome"], rows["mac2"]["outcome"]) == (1, "ok", "down")
    assert "host key" in rows["mac2"]["message"]
    known.write_text(f"{first}\n{second.rsplit(' ', 1)[0]} {first.rsplit(' ', 1)[1]}\n")
    code, rows, _ = driver.run("--only", "mac2")
    assert (code, rows["mac2"]["outcome"]) == (1, "down")
    assert len(known.read_text().splitlines()) == 2


def test_keys_and_urls(driver: Driver) -> None:
    """Fingerprints as ssh shows them, and a tunnel to the port that each run reported."""
    runs(driver)
    driver.run()
    code, _, lines = driver.run("keys")
    assert code == 0
    assert {(key["mac"], key["known"]) for key in lines[-1]["keys"]} == {(mac, True) for mac in driver.hosts.hosts}
    shown = subprocess.run(
        ["ssh-keygen", "-lf", str(driver.hosts["mac1"].folder / "host.pub")], capture_output=True, text=True, check=True
    )
    assert lines[-1]["keys"][0]["fingerprint"] in shown.stdout
    (driver.person / ".ssh" / "known_hosts").write_text("")
    code, _, lines = driver.run("keys", "--only", "mac1")
    assert (code, lines[-1]["keys"][0]["known"]) == (1, False)
    code, _, lines = driver.run("urls")
    assert lines[-1]["ssh_config"].startswith("Host mac1\n    LocalForward 127.0.0.1:18188 127.0.0.1:8190")


def test_the_page_has_an_image_for_each_mac_and_no_markup_of_theirs(driver: Driver) -> None:
    png = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(png, "PNG")
    runs(driver, {"mac3": said(report(ok=False, message="<script>alert(1)</script>\x1b[2J"))})
    for mac, data in (("mac1", png.getvalue()), ("mac2", b"<svg onload=alert(1)>")):
        home = driver.hosts[mac].home / "provision"
        home.mkdir()
        (home / "first-image.png").write_bytes(data)
    driver.run()
    code, _, lines = driver.run("report")
    assert (code, lines[-1]["images"]) == (0, ["mac1"])
    page = Path(lines[-1]["path"]).read_text()
    assert base64.b64encode(png.getvalue()).decode() in page
    assert "<script>" not in page
    assert "onload" not in page
    assert "\x1b" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize("driver", [2], indirect=True)
def test_a_terminal_has_a_table_of_all_macs(driver: Driver) -> None:
    runs(driver, {"mac2": BEGUN + MOVING + "sleep 1\n" + said(report())})
    env = {
        "HOME": str(driver.person),
        "PYTHONPATH": str(CHECKOUT),
        "TERM": "xterm-256color",
        "PATH": os.environ["PATH"],
    }
    screen = on_terminal([sys.executable, "-m", "provision", "fleet", str(driver.toml)], env)
    assert re.search(r"mac2\s+running\s+1/3\s+1\.00 of 7\.00 GB", uncoloured(screen))
    assert re.search(r"mac1\s+ok\s.*mps", uncoloured(screen))


BY_PYINFRA = """
from gevent import monkey; monkey.patch_all()
import sys
from pyinfra.api import Config, Inventory, State
from pyinfra.api.connect import connect_all
from pyinfra.api.deploy import add_deploy
from pyinfra.api.operations import run_ops
from provision.fleet.deploy import provisioned
state = State(Inventory(([("mac1", {})], {})), Config())
connect_all(state)
add_deploy(state, provisioned, args=("all", "--yes"), home=sys.argv[1])
run_ops(state)
print(state.get_results_for_host(state.inventory.get_host("mac1")).success_ops)
"""


@pytest.mark.parametrize("driver", [1], indirect=True)
def test_the_deploy_is_one_to_import(driver: Driver) -> None:
    """In a pyinfra of one's own it runs one operation where this very kit is installed."""
    driver.hosts["mac1"].tool('echo "$@" > "$HOME/words"\n')
    env = {**os.environ, "HOME": str(driver.person), "PYTHONPATH": str(CHECKOUT)}
    words = [sys.executable, "-c", BY_PYINFRA, "~/my lab"]
    ran = subprocess.run(words, env=env, capture_output=True, text=True, timeout=120, check=False)
    home = driver.hosts["mac1"].home
    assert (ran.stdout.strip(), (home / "words").read_text().strip()) == ("1", f"all --yes --home {home}/my lab")


def on_terminal(words: list[str], env: dict[str, str]) -> str:
    """What a program writes to a terminal of 120 columns."""
    child, terminal = pty.fork()
    if not child:
        os.execve(words[0], words, env)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    said = b""
    with suppress(OSError):  # Linux's way to say that the other end is closed
        while piece := os.read(terminal, 65536):
            said += piece
    os.close(terminal)
    os.waitpid(child, 0)
    return said.decode("utf-8", "replace")


GIVES = """
echo "$@" >> "$HOME/words"
case $1 in
serve)
  trap 'touch "$HOME/kept"; exit 130' TERM
  echo '{"type": "serving_started", "address": "http://127.0.0.1:40001"}'
  while :; do sleep 0.05; done ;;
esac
"""


@pytest.mark.parametrize("driver", [4], indirect=True)
def test_in_waves_those_that_are_done_give_to_the_next(driver: Driver) -> None:
    """The first takes all from the bundle, two take the model from it, the fourth from a Mac that is done."""
    runs(driver, dict.fromkeys(driver.hosts.hosts, GIVES + GOOD) | {"mac2": GIVES + said(report(ok=False))})
    bundle = ("--from", "http://127.0.0.1:9", "--from-sha256", "0" * 64)
    code, outcomes = driver.outcomes("--waves", *bundle)
    assert (code, outcomes) == (1, {"mac1": "ok", "mac2": "failed", "mac3": "ok", "mac4": "ok"})
    words = {name: (host.home / "words").read_text().splitlines() for name, host in driver.hosts.hosts.items()}
    assert "--endpoint" not in words["mac1"][0]
    assert all(f"{' '.join(bundle)} --endpoint http://127.0.0.1:40001" in words[f"mac{n}"][0] for n in (2, 3, 4))
    assert words["mac1"][1].startswith("serve --json --listen 127.0.0.1:0 --home")
    assert len(words["mac2"]) == 1
    assert eventually(lambda: (driver.hosts["mac1"].home / "kept").exists())


@pytest.mark.parametrize("driver", [1], indirect=True)
def test_a_lock_is_sent_and_one_for_other_machines_is_refused_before(driver: Driver, tmp_path: Path) -> None:
    lock, home = tmp_path / "this.lock", driver.hosts["mac1"].home
    here = os.uname()
    lock.write_text(LOCK.replace("Darwin", here.sysname).replace("arm64", here.machine))
    driver.hosts["mac1"].tool(f'shift 3\ncat "$2" > "$HOME/lock"\n{GOOD}')
    assert driver.outcomes("--locked", str(lock)) == (0, {"mac1": "ok"})
    assert (home / "lock").read_text() == lock.read_text()
    (home / "lock").unlink()
    lock.write_text(LOCK)
    assert driver.outcomes("--locked", str(lock)) == (1, {"mac1": "wrong"})
    assert not (home / "lock").exists()
    lock.write_text("schema = 1")
    code, _, lines = driver.run("--locked", str(lock))
    assert (code, lines[-1]["error"]["code"]) == (2, "lock")


def test_a_bundle_at_an_address_needs_its_digest(driver: Driver) -> None:
    code, _, lines = driver.run("--from", "http://127.0.0.1:9")
    assert (code, lines[-1]["error"]["code"]) == (2, "usage")


# -- the real tool, on eight hosts ----------------------------------------------------------------------------------

EIGHT = pytest.mark.parametrize("driver", [8], indirect=True)
SMALL_BYTES = 200_000_000


@pytest.fixture
def in_full(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("--fleet"):
        pytest.skip("minutes; with --fleet")


@pytest.fixture
def small_disk(driver: Driver) -> Iterator[Path]:
    """The home of mac5 on a disk that is too small."""
    home = driver.hosts["mac5"].home
    if os.getuid():
        pytest.skip("a small disk wants root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL_BYTES}", "tmpfs", str(home)], check=True)
    try:
        yield home
    finally:
        subprocess.run(["umount", "-l", str(home)], check=True)


@EIGHT
@pytest.mark.usefixtures("in_full", "small_disk")
def test_eight_with_faults_each_in_its_row_and_the_retry_does_the_rest(driver: Driver, tmp_path: Path) -> None:
    """mac3 is down, mac5's disk is too small, mac6's server is frozen, mac7 is killed in the middle, mac8 is slow."""
    driver.toml = driver.hosts.hosts_toml(f'[env]\nUV_CACHE_DIR = "{tmp_path / "uv"}"\n')
    hosts, all_ = driver.hosts, ("all", "--silence", "45", "--", "--rehearse")
    hosts["mac3"].stop()
    hosts["mac6"].signal(signal.SIGSTOP)
    process = driver.start(*all_)
    try:
        assert eventually(lambda: bool(run_of(hosts["mac7"])))
        os.kill(run_of(hosts["mac7"]), signal.SIGKILL)
        assert eventually(lambda: bool(run_of(hosts["mac8"])))
        slowed = psutil.Process(run_of(hosts["mac8"]))
        for _ in range(10):
            slowed.suspend()
            time.sleep(1)
            slowed.resume()
            time.sleep(0.3)
    finally:
        with suppress(psutil.Error, UnboundLocalError):
            slowed.resume()
    code, rows, _ = driver.ended(process, limit_s=500)
    assert code == 1
    assert {mac: row["outcome"] for mac, row in rows.items()} == {
        **dict.fromkeys(("mac1", "mac2", "mac4", "mac8"), "ok"),
        "mac3": "down",
        "mac5": rows["mac5"]["outcome"],
        "mac6": "down",
        "mac7": "lost",
    }
    assert rows["mac5"]["outcome"] in ("full", "failed")  # install.sh says it in words, `all` by a code
    hosts["mac3"].start()
    hosts["mac6"].signal(signal.SIGCONT)
    code, rows, _ = driver.run(*all_[:1], "--retry", *all_[1:], limit_s=500)
    assert {mac: row["outcome"] for mac, row in rows.items() if mac != "mac5"} == dict.fromkeys(
        ("mac3", "mac6", "mac7"), "ok"
    )
    code, rows, _ = driver.run("all", "--", "--rehearse", limit_s=500)
    assert {row["outcome"] for mac, row in rows.items() if mac != "mac5"} == {"unchanged"}
    driver.run("stop", limit_s=500)


def run_of(host: Host) -> int:
    """The process of the tool at work in a home; 0 for none."""
    held = host.home / "provision" / "state" / "in-progress.json"
    try:
        return int(json.loads(held.read_text())["seen"]["pid"])
    except (OSError, ValueError, KeyError):
        return 0


@pytest.mark.usefixtures("in_full")
@pytest.mark.parametrize("driver", [32], indirect=True)
def test_thirty_two_hosts_cost_the_driver_little(driver: Driver) -> None:
    """Under 300 MB and one CPU: this command and its driver, with a line from each host five times a second."""
    step = line("progress", step="models", subject="x", done=1, total=7 * 10**9, kind="download", unit="bytes")
    talk = f"for i in $(seq 100); do echo '{step}'; sleep 0.2; done\n"
    runs(driver, dict.fromkeys(driver.hosts.hosts, BEGUN + talk + said(report())))
    began = time.monotonic()
    reading = threading.Thread(target=lambda: answers.append(driver.ended(process)))
    process, answers = driver.start(), list[Answer]()
    reading.start()
    peak_bytes = cpu_s = 0.0
    while reading.is_alive():
        with suppress(psutil.Error):
            top = psutil.Process(process.pid)
            family = [top, *(each for each in top.children(recursive=True))]
            peak_bytes = max(peak_bytes, sum(each.memory_info().rss for each in family))
            cpu_s = max(cpu_s, sum(sum(each.cpu_times()[:2]) for each in family))
        time.sleep(0.2)
    took_s = time.monotonic() - began
    reading.join()
    print(f"32 hosts: {peak_bytes / 1e6:.0f} MB, {cpu_s:.1f} s of CPU in {took_s:.1f} s")
    assert answers[0][0] == 0
    assert peak_bytes < 300e6
    assert cpu_s < took_s
