"""install.sh --from: provision itself out of a bundle, by its hashes, on a machine where nothing can be downloaded."""

from __future__ import annotations

import hashlib
import platform
import re
import shutil
from pathlib import Path

import pytest

from tests.support.bare_checkout import INSTALL, UV_VERSION, Bare, bare_checkout
from tests.support.python_build import minor, write_build
from tests.unit.bin.test_install import BACKEND, line_after, link, pasted, root

MACHINE = f"{platform.system()}-{platform.machine()}"


@pytest.fixture
def bare(tmp_path: Path) -> Bare:
    """A machine with a bundle on a disk; its curl only says that it was called."""
    made = bare_checkout(tmp_path)
    made.environ |= made.offer_uv()
    kit = disk(made) / "kit"
    kit.mkdir(parents=True)
    tag = re.findall(rf"^{MACHINE} \S+ (\S+)", INSTALL.read_text(), re.MULTILINE)[0]
    shutil.copy(made.root / "uv.whl", kit / f"uv-{UV_VERSION}-py3-none-{tag}.whl")
    shutil.copy(made.checkout / "install.sh", kit)
    (kit / "python-version").write_text(f"{minor()}\n")
    built: dict[str, object] = {}
    exec(BACKEND, built)
    built["build_wheel"](kit)  # type: ignore[operator]
    made.give("curl", 'echo "$*" >>"$ROOT/curl.log"; exit 6')
    add_up(made)
    return made


def disk(bare: Bare) -> Path:
    return bare.root / "a disk" / "bundle"


def add_up(bare: Bare) -> str:
    """Write SHA256SUMS, and return its digest."""
    files = sorted(path for path in disk(bare).rglob("*") if path.is_file() and path.name != "SHA256SUMS")
    sums = {path.relative_to(disk(bare)).as_posix(): path.read_bytes() for path in files}
    text = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sums.items())
    (disk(bare) / "SHA256SUMS").write_text(text)
    return hashlib.sha256(text.encode()).hexdigest()


def install(bare: Bare, *args: str, **environ: str) -> tuple[int, str]:
    """The script of the bundle, run by a plain sh."""
    ran = bare.run(argv=["/bin/sh", str(disk(bare) / "kit" / "install.sh"), *args], environ=environ)
    return ran.code, ran.out + ran.err


def test_it_installs_from_the_disk_that_it_lies_on(bare: Bare) -> None:
    code, said = install(bare)
    assert code == 0, said
    assert pasted(bare, line_after(said, "Set everything up:")) == f"stand-in all --from {disk(bare)}\n"
    assert not (bare.root / "curl.log").exists()
    assert not list(root(bare).glob("kit-*"))


def test_over_http_each_file_is_asked_for_and_verified(bare: Bare) -> None:
    named = "while [ $# -gt 2 ]; do shift; done\ncase $2 in *..*) exit 1 ;; esac\n"
    bare.give("curl", f'{named}cat "{disk(bare)}/${{2#http://lan/}}" >"$1"')
    ran = bare.run(argv=["/bin/sh", str(bare.checkout / "install.sh"), "--from", "http://lan/"])
    assert ran.code == 0, ran.err
    assert link(bare).is_symlink()


def test_only_the_bundle_with_the_digest_is_taken(bare: Bare) -> None:
    code, said = install(bare, "--from", str(disk(bare)), "--sha256", "0" * 64)
    assert (code, "is not the bundle with that digest" in said) == (1, True), said
    assert not link(bare).exists()
    code, said = install(bare, "--from", str(disk(bare)), "--sha256", add_up(bare))
    assert code == 0, said


@pytest.mark.parametrize("pattern", ["comfy_provision-*.whl", "uv-*.whl", "python-version"])
def test_a_file_that_was_changed_is_not_installed(bare: Bare, pattern: str) -> None:
    (path,) = (disk(bare) / "kit").glob(pattern)
    path.write_bytes(path.read_bytes() + b"x")
    code, said = install(bare)
    assert (code, "is damaged: its sha256 is not the one in SHA256SUMS" in said) == (1, True), said
    assert not link(bare).exists()
    assert not list(root(bare).glob("*-[0-9]*"))


def test_what_is_no_bundle_is_refused(bare: Bare) -> None:
    code, said = install(bare, "--from", str(bare.root))
    assert (code, "SHA256SUMS' cannot be read" in said or "SHA256SUMS cannot be read" in said) == (1, True), said
    (disk(bare) / "SHA256SUMS").write_text(f"{'a' * 64}  kit/../../comfy_provision-1.whl\n")
    code, said = install(bare)
    assert (code, "is not a bundle of provision" in said) == (1, True), said


def test_python_comes_from_the_bundle_where_the_machine_has_none(bare: Bare) -> None:
    build = write_build(disk(bare), bare.root / "tree")
    add_up(bare)
    (bare.programs / "python3").unlink()
    nowhere = {"UV_PYTHON_SEARCH_PATH": str(bare.root / "nowhere"), "UV_MANAGED_PYTHON": "1"}
    code, said = install(bare, **nowhere)
    assert code == 0, said
    assert [path.name for path in (root(bare) / "python").glob("cpython-*")]
    build.write_bytes(build.read_bytes() + b"x")
    shutil.rmtree(root(bare) / "python")
    code, said = install(bare, **nowhere)
    assert (code, "is damaged" in said) == (1, True), said
