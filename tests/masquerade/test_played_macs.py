"""Every recorded Mac from nothing to the image and back, on a Linux that answers as it does; a few without `--macs`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provision.core.image import Quality, judge
from tests.masquerade import page
from tests.masquerade.mac import PlayedMac, why_not
from tests.support.macs import mac_names

FEW = ("intel", "no-tools")
"""What an ordinary run plays: those that have least in common with the machines that tests run on."""
STUB = "git"
SIDE = 512
Report = dict[str, Any]


@pytest.fixture(scope="session")
def uv_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packages from the index are fetched once for all Macs of a worker."""
    return tmp_path_factory.mktemp("uv-cache")


@pytest.fixture
def mac(request: pytest.FixtureRequest, tmp_path: Path, uv_cache: Path) -> Iterator[PlayedMac]:
    """That Mac, out of its box; what runs there is ended afterwards."""
    if request.param not in FEW and not request.config.getoption("--macs"):
        pytest.skip("--macs plays every Mac")
    if reason := why_not():
        pytest.skip(f"no Mac can be played here: {reason}")
    played = PlayedMac(request.param, tmp_path / "mac", uv_cache)
    played.set_up()
    yield played
    command(played, "stop")


def command(mac: PlayedMac, *words: str) -> tuple[int, Report]:
    """The exit code and the report of a command in the Mac's home."""
    ran = mac.run(*words, "--home", str(mac.folder / "home"), "--json")
    assert "Traceback" not in ran.stderr, ran.stderr
    return ran.returncode, json.loads(ran.stdout.splitlines()[-1])


@pytest.mark.parametrize("mac", mac_names(), indirect=True)
def test_each_mac_comes_to_its_image_or_is_told_why_not(mac: PlayedMac) -> None:
    home = mac.folder / "home"
    command(mac, "check")
    came = [_all(mac), _again(mac), *(_said(*command(mac, word)) for word in ("status", "doctor"))]
    code, report = command(mac, "uninstall", "--yes")
    came.append(_said(code, report) if not home.exists() else "left something")
    assert mac.opened == []
    page.settle(mac.name, came)


SELECT, DEFAULTS = "/usr/bin/xcode-select", "/usr/bin/defaults"
XCODE, PREFERENCES = "/Applications/Xcode.app/Contents", "/Library/Preferences/com.apple.dt.Xcode"
CLT = "/Library/Developer/CommandLineTools"
LOST: dict[str, dict[tuple[str, ...], str | int]] = {
    "clt-missing": {(SELECT, "-p"): 2},
    "clt-stale": {(SELECT, "-p"): f"{CLT}\n"},
    "xcode-license": {
        (SELECT, "-p"): f"{XCODE}/Developer\n",
        (DEFAULTS, "read", f"{XCODE}/Resources/LicenseInfo", "licenseID"): "EA1881\n",
        (DEFAULTS, "read", PREFERENCES, "IDELastGMLicenseAgreedTo"): "EA1647\n",
    },
}
"""What a Mac answers that lost its tools, by the finding: what is said, or the exit code."""


@pytest.mark.parametrize("mac", ["no-tools"], indirect=True)
def test_a_home_that_lost_its_tools_says_so_and_never_runs_the_stub(
    mac: PlayedMac, pytestconfig: pytest.Config
) -> None:
    tools = {f"{CLT}/usr/bin/xcrun": f"{CLT}/usr/bin/xcrun"}
    before = [each for each in mac.recorded["commands"] if Path(each["command"][0]).name not in ("git", "xcode-select")]
    mac.change(programs={**mac.recorded["programs"], **tools}, commands=before)
    assert command(mac, "all", "--rehearse", "--yes")[0] == 0
    assert (mac.folder / "home/ComfyUI/.git").is_dir()
    ids = LOST if pytestconfig.getoption("--macs") else ("xcode-license",)
    for id, answers in ((id, LOST[id]) for id in ids):
        told = [
            {"command": words, "code": said if isinstance(said, int) else 0, "err": "", "out": str(said)}
            for words, said in answers.items()
        ]
        xcrun = {f"{XCODE}/Developer/usr/bin/xcrun": f"{XCODE}/Developer/usr/bin/xcrun"}
        mac.change(programs={"git": "/usr/bin/git", **xcrun}, commands=[*before, *told])
        (mac.folder / "called").unlink()
        for words in (["all", "--rehearse", "--yes"], ["doctor"], ["doctor", "--fix", "--yes"], ["status"]):
            code, report = command(mac, *words)
            assert code == (0 if words == ["status"] else 1), report
            assert id in json.dumps(report), words
        assert command(mac, "generate", "a fox", "-o", str(mac.folder / "fox.png"))[0] == 0
        assert [line for line in mac.called if line.startswith((STUB, "xcode-select --install"))] == []


def _all(mac: PlayedMac) -> str:
    code, report = command(mac, "all", "--rehearse", "--yes")
    if code == 0:
        picture = (mac.folder / "home/first-image.png").read_bytes()
        assert judge(picture, SIDE, SIDE).verdict is Quality.OK
    if _tools_are_missing(mac):
        assert [line for line in mac.called if line.startswith(STUB)] == []
    return _said(code, report)


def _again(mac: PlayedMac) -> str:
    code, report = command(mac, "all", "--rehearse", "--yes")
    changed = [step["name"] for step in report.get("steps", ()) if step["changed"]]
    return f"changed {', '.join(changed)}" if code == 0 and changed else _said(code, report)


def _tools_are_missing(mac: PlayedMac) -> bool:
    return not any(name.startswith("/Library") for name in mac.recorded["programs"])


def _said(code: int, report: Report) -> str:
    """`right`, or what stopped it; with the ids of what was told beside it."""
    assert code in (0, 1, 2), report
    found = [each for step in report.get("steps", ()) for each in step["findings"]]
    blocked = dict.fromkeys(each["id"] for each in found if each["verdict"] == "blocked")
    told = dict.fromkeys(each["id"] for each in found if each["verdict"] == "warn")
    ids = ", ".join(f"`{id}`" for id in (blocked or told))
    if code == 0:
        return f"right, {ids}" if ids else "right"
    return ids or f"`{(report.get('error') or {}).get('code', 'nothing is there')}`"
