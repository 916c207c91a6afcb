"""An install that was cut short: what is half there counts as not installed, and nothing else does."""

from __future__ import annotations

from pathlib import Path

from provision.core.home import Home
from provision.environment.half_installed import forget_torn
from provision.environment.packages import installed_versions


def lay(home: Home, name: str, *, lost: bool = False, record: bool = True) -> None:
    folder = home.venv / "lib" / "python3.12" / "site-packages"
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.4\n")
    if record:
        (info / "RECORD").write_text(f'{name}.py,,\n"{name}, 2.py",,\n{info.name}/RECORD,,\n__pycache__/x.pyc,,\n')
    (folder / f"{name}, 2.py").write_text("")
    if not lost:
        (folder / f"{name}.py").write_text("")


def test_what_is_half_there_is_not_installed(home: Home) -> None:
    lay(home, "whole")
    lay(home, "half", lost=True)
    lay(home, "unlisted", record=False)
    home.installing.write_text(str(home.venv))
    forget_torn(home)
    assert installed_versions(home.venv) == {"whole": "1.0"}
    assert not home.installing.exists()


def test_without_a_note_of_this_environment_nothing_is_touched(home: Home, tmp_path: Path) -> None:
    lay(home, "half", lost=True)
    forget_torn(home)
    home.installing.write_text(str(tmp_path))
    forget_torn(home)
    assert installed_versions(home.venv) == {"half": "1.0"}
