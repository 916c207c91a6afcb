"""A home that an earlier provision made (commit c2dfc14): today's goes on with it and downloads nothing.

Its small files are in `tests/facts/home_of_c2dfc14`: receipts, lock, the record of the server; it has no mark and no
`provision.toml`. They are laid over a home of today, with this machine's values under the keys that they had then.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from provision.comfyui.server_process import read_record
from provision.core.lockfile import load_lock
from tests.breakers.patient import Patient
from tests.support.paths import FACTS

RECORDED = FACTS / "home_of_c2dfc14"
SINCE = ("provision.toml", "state/home.json")
"""What was not there yet."""


def make_older(home: Path) -> None:
    """Give a home the files of the earlier provision, and take those that came since."""
    for name in SINCE:
        (home / name).unlink()
    shutil.copy(RECORDED / "state/pace.json", home / "state/pace.json")
    for recorded in (*RECORDED.glob("state/receipts/*.json"), RECORDED / "state/server.json"):
        # A model's receipt is named after its hash, and the rehearsal's weights are others today.
        [place] = home.glob(re.sub(r"model-\w+", "model-*", str(recorded.relative_to(RECORDED))))
        was, here = (json.loads(path.read_text(encoding="utf-8")) for path in (recorded, place))
        assert {key for key in was if type(was[key]) is not type(here.get(key))} == set(), place
        place.write_text(json.dumps({key: here[key] for key in was}, indent=1), encoding="utf-8")
    lock, was = home / "provision.lock", (RECORDED / "provision.lock").read_text(encoding="utf-8")
    here = load_lock(lock)
    text = was.replace(re.findall(r'commit = "(\w+)"', was)[0], here.comfyui.commit)
    [model] = here.models
    for key, value in (("revision", model.revision), ("sha256", model.sha256)):
        text = re.sub(rf'(?<=\n{key} = ")\w+', value, text, count=1)
    lock.write_text(re.sub(r"http://127\.0\.0\.1:\d+", here.torch.index.rpartition("/whl")[0], text), encoding="utf-8")


def test_a_home_of_an_earlier_provision_goes_on_without_a_download(sick: Patient) -> None:
    served = read_record(sick.ctx)
    make_older(sick.home.root)
    seen = sick.doctor(fix=True)
    assert seen.troubles == {}, seen.says()
    assert not seen.changed, seen.says()
    assert {"ckpt-ready", "venv-ready", "torch-ready", "req-ready", "first-image-made", "lock-ready"} <= seen.ids
    assert served is not None
    assert read_record(sick.ctx) == served
