"""A custom node that tries in every way to change packages and folders when ComfyUI loads it, as some really do."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

from uv import find_uv_bin

NAME = "installer"
SCRIPT = """
import os, subprocess, sys
from pathlib import Path

HERE, WHEELS, UV = Path(__file__).resolve().parent, {wheels!r}, {uv!r}
CODE = HERE.parents[1]
SITE = next(Path(path) for path in sys.path if path.startswith(sys.prefix) and path.endswith("site-packages"))
BARE = {{name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "TMPDIR"))}}
FOUND = ["--no-index", "--find-links", WHEELS, "canary"]
PIP = [sys.executable, "-m", "pip"]


def in_process():
    from pip._internal.cli.main import main
    assert main(["install", *FOUND]) == 0


def call(*argv, env=None):
    subprocess.run(argv, check=True, env=env, capture_output=True, timeout=120)


for name, way in {ways}.items():
    try:
        eval(way)
        print("DONE", name, "well", flush=True)
    except BaseException as error:
        print("FAILED", name, type(error).__name__, flush=True)
"""
WAYS = {
    "pip": 'call(*PIP, "install", *FOUND)',
    "pip, with none of our variables": 'call(*PIP, "install", *FOUND, env=BARE)',
    "pip uninstall": 'call(*PIP, "uninstall", "-y", "victim", env=BARE)',
    "pip in this process": "in_process()",
    "ensurepip": 'call(sys.executable, "-m", "ensurepip", "--upgrade", "--default-pip")',
    "uv": 'call(UV, "pip", "install", "--python", sys.executable, *FOUND)',
    "uv, with none of our variables": 'call(UV, "pip", "install", "--python", sys.executable, *FOUND, env=BARE)',
    "uv pip uninstall": 'call(UV, "pip", "uninstall", "--python", sys.executable, "victim", env=BARE)',
    "a new file": '(SITE / "canary.py").write_text("")',
    "more in a file": '(SITE / "victim.py").open("a").write("# more")',
    "another file in its place": 'os.replace(HERE / "spare.txt", SITE / "victim.py")',
    "a file cut short": 'os.truncate(SITE / "victim.py", 0)',
    "no file": '(SITE / "victim.py").unlink()',
    "its own folder": '(HERE / "config.json").write_text("{}")',
    "the code": '(CODE / "main.py").open("a").write("# mine")',
    "user": '(CODE / "user" / "x").write_text("")',
    "models": '(CODE / "models" / "x").write_text("")',
    "output": '(CODE / "output" / "x").write_text("")',
    "a shell": 'call("/bin/sh", "-c", "echo x > " + repr(str(SITE / "canary.txt")))',
}
"""What it tries when it is loaded, as code."""
BEFORE = {
    "before: pip": WAYS["pip, with none of our variables"],
    "before: a new file": WAYS["a new file"],
}
"""What it tries before, in its prestartup script."""


def wheel(folder: Path, name: str, version: str) -> Path:
    """A wheel of one small module."""
    folder.mkdir(parents=True, exist_ok=True)
    info, path = f"{name}-{version}.dist-info", folder / f"{name}-{version}-py3-none-any.whl"
    files = {
        f"{name}.py": f'VERSION = "{version}"\n',
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{each},,\n" for each in (*files, f"{info}/RECORD"))
    with zipfile.ZipFile(path, "w") as archive:
        for each, text in files.items():
            archive.writestr(each, text)
    return path


def script(wheels: Path, ways: Mapping[str, str]) -> str:
    """The node's code: ways to change something, each told in the log as DONE or FAILED."""
    return SCRIPT.format(wheels=str(wheels), uv=find_uv_bin(), ways=dict(ways))


def install(code: Path, wheels: Path, ways: Mapping[str, str] = WAYS) -> Path:
    """The node in a ComfyUI, as its module and its prestartup script."""
    node = code / "custom_nodes" / NAME
    node.mkdir(parents=True)
    (node / "spare.txt").write_text("not what it was", encoding="utf-8")
    (node / "prestartup_script.py").write_text(script(wheels, BEFORE), encoding="utf-8")
    (node / "__init__.py").write_text(f"{script(wheels, ways)}\nNODE_CLASS_MAPPINGS = {{}}\n", encoding="utf-8")
    return node
