"""contrib/ as far as a machine that is no Mac can run it: macOS's own programs are stand-ins on the PATH."""

from __future__ import annotations

import os
import plistlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.lan_model import GBIT, MODEL_BYTES, REST_BYTES, WIFI, Room, seconds, star, table, waves
from tests.support.paths import CHECKOUT

CONTRIB = CHECKOUT / "contrib"
ITEM = CONTRIB / "munki" / "ComfyUI.plist"
JAMF, CHECK = CONTRIB / "jamf" / "provision.sh", CONTRIB / "munki" / "installcheck.sh"
DAEMON = CONTRIB / "launchdaemon" / "as-daemon.sh"
PLAYBOOK = CONTRIB / "ansible" / "provision.yml"
WRITE = "PROVISION_WRITE_DOCS" in os.environ
STAND_INS = {
    "stat": 'echo "$CONSOLE"',
    "id": "case $# in 1) echo 0 ;; *) echo 501 ;; esac",
    "dscl": 'echo "NFSHomeDirectory: $PERSON_HOME"',
    "chown": ":",
    "sudo": 'echo "sudo $1 $2 $3" >>"$RECORD"; shift 3; exec "$@"',
    "launchctl": """
case $1 in
  asuser) echo "asuser $2" >>"$RECORD"; shift 2; exec "$@" ;;
  bootstrap) "$PYTHON" -c '
import plistlib, subprocess, sys
job = plistlib.load(open(sys.argv[1], "rb"))
subprocess.Popen(job["ProgramArguments"], env=job["EnvironmentVariables"], cwd=job["WorkingDirectory"])
' "$3"; cp "$3" "$RECORD.plist" ;;
  print | bootout) ;;
  *) exit 64 ;;
esac""",
    "curl": 'echo "curl $2" >>"$RECORD"; cat "$INSTALLER"',
}
PROGRAM = """#!/bin/sh
printf '%s\\n' "provision $*" >>"$HOME/words"
printf '{"type": "note"}\\n{"type": "report", "ok": true, "changed": false}\\n'
exit "$(cat "$HOME/code")"
"""


@dataclass
class Mac:
    """A person's folder, and the stand-ins."""

    folder: Path

    @property
    def person(self) -> Path:
        return self.folder / "person"

    def install(self) -> None:
        """provision, as install.sh leaves it."""
        program = self.person / ".local" / "bin" / "provision"
        program.parent.mkdir(parents=True)
        program.write_text(PROGRAM)
        program.chmod(0o755)

    def run(self, script: Path, *words: str, console: str = "kim", code: int = 0) -> subprocess.CompletedProcess[str]:
        (self.person / "code").write_text(str(code))
        installer = self.folder / "installer.sh"
        installer.write_text(
            f'echo "installer $*" >>"{self.record}"; mkdir -p "$PERSON_HOME/.local/bin"\n'
            f'cp "{self.folder}/program" "$PERSON_HOME/.local/bin/provision"\n'
        )
        environ = {
            "PATH": f"{self.folder}/bin:/usr/bin:/bin",
            "HOME": str(self.person),
            "PERSON_HOME": str(self.person),
            "CONSOLE": console,
            "RECORD": str(self.record),
            "INSTALLER": str(installer),
            "PYTHON": sys.executable,
            "LAUNCH_DAEMONS": str(self.folder),
        }
        argv = ["/bin/sh", str(script), *words]
        return subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=60, check=False)

    @property
    def record(self) -> Path:
        return self.folder / "record"

    @property
    def words(self) -> list[str]:
        return (self.person / "words").read_text().splitlines()


@pytest.fixture
def mac(tmp_path: Path) -> Mac:
    made = Mac(tmp_path)
    made.person.mkdir()
    (tmp_path / "bin").mkdir()
    for name, does in STAND_INS.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "program").write_text(PROGRAM)
    (tmp_path / "program").chmod(0o755)
    return made


@pytest.mark.parametrize("code", [0, 1, 130])
def test_jamf_runs_as_the_person_and_ends_as_provision_does(mac: Mac, code: int) -> None:
    mac.install()
    flags = ("--torch", "stable")
    ended = mac.run(JAMF, "/", "mac1", "kim", "http://10.0.0.5:8765", "ab12", " ".join(flags), code=code)
    assert ended.returncode == code, ended.stderr
    assert ended.stdout == '{"type": "report", "ok": true, "changed": false}\n'
    source = "--from http://10.0.0.5:8765 --from-sha256 ab12"
    assert mac.words == [f"provision all --yes --json {source} {' '.join(flags)}"]
    assert mac.record.read_text().splitlines() == ["asuser 501", "sudo -u kim -H"]


@pytest.mark.parametrize(
    ("source", "asked", "installed"),
    [
        ("", "https://raw.githubusercontent.com/OWNER/provision/HEAD/install.sh", "installer "),
        ("http://10.0.0.5:8765", "http://10.0.0.5:8765/kit/install.sh", "installer --from http://10.0.0.5:8765"),
        ("/Volumes/USB/b", "file:///Volumes/USB/b/kit/install.sh", "installer --from /Volumes/USB/b"),
    ],
)
def test_jamf_installs_provision_where_it_is_missing(mac: Mac, source: str, asked: str, installed: str) -> None:
    ended = mac.run(JAMF, "/", "mac1", "", source)
    assert ended.returncode == 0, ended.stderr
    said = mac.record.read_text().splitlines()
    assert said[0] == f"curl {asked}"
    assert said[1:4] == ["asuser 501", "sudo -u kim -H", installed]
    assert mac.words == [f"provision all --yes --json{f' --from {source}' if source else ''}"]


@pytest.mark.parametrize("script", [JAMF, CHECK])
@pytest.mark.parametrize("console", ["", "root", "loginwindow", "_mbsetupuser"])
def test_nothing_is_done_while_nobody_is_logged_in(mac: Mac, script: Path, console: str) -> None:
    mac.install()
    assert mac.run(script, console=console).returncode == 1
    assert not mac.record.exists()


@pytest.mark.parametrize(("code", "answer"), [(0, 1), (1, 0), (3, 0)])
def test_munki_is_told_to_install_where_doctor_finds_something(mac: Mac, code: int, answer: int) -> None:
    assert mac.run(CHECK).returncode == 0, "provision is missing"
    mac.install()
    assert mac.run(CHECK, code=code).returncode == answer
    assert mac.words == ["provision doctor --json"]


@pytest.mark.parametrize("code", [0, 1, 130])
def test_a_daemon_runs_one_command_and_is_removed(mac: Mac, code: int) -> None:
    mac.install()
    ended = mac.run(DAEMON, "kim", "generate", "salt & <pepper>", "it's", code=code)
    assert ended.returncode == code, ended.stderr
    assert '"type": "report"' in ended.stdout
    assert mac.words == ["provision generate salt & <pepper> it's"]
    job = plistlib.loads(mac.record.with_name("record.plist").read_bytes())
    assert (job["UserName"], job["AbandonProcessGroup"]) == ("kim", True)
    assert not list(mac.folder.glob("local.provision.*"))


def test_munkis_item_holds_the_scripts() -> None:
    item: dict[str, Any] = {
        "name": "ComfyUI-SDXL-Turbo",
        "display_name": "ComfyUI with SDXL-Turbo",
        "description": "Makes images on this Mac. The first run downloads about 8 GB.",
        "version": "1.0",
        "catalogs": ["testing"],
        "installer_type": "nopkg",
        "minimum_os_version": "14.0",
        "supported_architectures": ["arm64"],
        "unattended_install": True,
        "autoremove": False,
        "uninstallable": False,
        "installcheck_script": CHECK.read_text(encoding="utf-8"),
        "postinstall_script": JAMF.read_text(encoding="utf-8"),
    }
    if WRITE:
        ITEM.write_bytes(plistlib.dumps(item, sort_keys=False))
    assert plistlib.loads(ITEM.read_bytes()) == item, (
        "PROVISION_WRITE_DOCS=1 bin/test tests/unit/architecture/test_contrib.py"
    )


def test_the_daemon_that_launches_names_a_person_to_fill_in() -> None:
    job = plistlib.loads((CONTRIB / "launchdaemon" / "local.provision.launch.plist").read_bytes())
    assert job["ProgramArguments"] == ["/Users/PERSON/.local/bin/provision", "launch", "--json"]
    assert job["UserName"] == "PERSON"


def test_the_playbook_needs_no_python_on_the_macs() -> None:
    (play,) = yaml.safe_load(PLAYBOOK.read_text(encoding="utf-8"))
    modules = [key for task in play["tasks"] for key in task if key.startswith("ansible.builtin")]
    assert set(modules) == {"ansible.builtin.raw", "ansible.builtin.debug"}
    assert play["gather_facts"] is False


def test_ansible_accepts_the_playbook(tmp_path: Path) -> None:
    if (ansible := shutil.which("ansible-playbook")) is None:
        pytest.skip("ansible-playbook is not installed here")
    argv = [ansible, "-i", "localhost,", "--syntax-check", str(PLAYBOOK)]
    assert subprocess.run(argv, cwd=tmp_path, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("folder", ["ansible", "jamf", "munki", "launchdaemon"])
def test_each_has_a_page_that_says_whether_it_was_tried(folder: str) -> None:
    page = (CONTRIB / folder / "README.md").read_text(encoding="utf-8")
    assert "## Tried" in page
    assert len(page.splitlines()) < 60


def test_the_page_has_the_table_of_the_model() -> None:
    assert table() in (CHECKOUT / "docs" / "many-macs.md").read_text(encoding="utf-8"), "python -m benchmarks.lan_model"


def test_the_model_of_a_room_agrees_with_what_is_plain() -> None:
    alone = (MODEL_BYTES + REST_BYTES) / GBIT
    assert seconds(Room(macs=9), star) == pytest.approx(8 * alone)
    assert seconds(Room(macs=8), waves) == pytest.approx(3 * alone)
    assert seconds(Room(macs=9, air=WIFI, first_on_air=True), star) == pytest.approx(16 * alone * GBIT / WIFI)
