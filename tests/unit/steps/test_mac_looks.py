"""What only a Mac can have, on a scripted one: libraries of another processor, quarantine, iCloud, guarded folders."""

from __future__ import annotations

import errno
import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from provision.command import Command, program
from provision.core.finding import Verdict
from provision.core.home import Home
from provision.core.step import Context
from provision.download.local_copies import SF_DATALESS
from provision.rehearsal.engine_repo import SOURCE as ENGINE
from provision.steps.hardware.guarded_home import check_guarded, check_other_installs
from provision.steps.models.step import check_models
from provision.steps.models.stray_files import check_litter
from provision.steps.python_env import step as python_env
from provision.steps.python_env.step import check_python_env
from provision.steps.server.flags import check_flags
from provision.steps.tools.shell_variables import check_environment
from provision.steps.tools.step import check_tools
from provision.steps.torch.native_libraries import apply_native_libs, check_native_libs
from provision.steps.torch.numpy_abi import apply_known_pairs, check_known_pairs
from provision.system.local_machine import LocalMachine
from provision.system.machine import Ran
from provision.system.macho import processors_of
from tests.support.engine_home import CHECKPOINT, write_checkpoint
from tests.support.fake_machine import FakeMachine
from tests.support.findings import seen

Contexts = Callable[..., Context]
INTEL, ARM = 0x01000007, 0x0100000C
SW_VERS = "ProductName:\t\tmacOS\nProductVersion:\t\t{}\nBuildVersion:\t\t26A1\n"


def thin(kind: int) -> bytes:
    return struct.pack("<II", 0xFEEDFACF, kind) + bytes(24)


def fat(*kinds: int) -> bytes:
    return struct.pack(">II", 0xCAFEBABE, len(kinds)) + b"".join(struct.pack(">5I", kind, 0, 0, 0, 0) for kind in kinds)


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def install(ctx: Context, **versions: str) -> Path:
    site: Path = ctx.home.venv / "lib" / "python3.12" / "site-packages"
    for name, version in versions.items():
        write(site / f"{name}-{version}.dist-info" / "METADATA", b"")
    return site


# -- Mach-O -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "processors"),
    [
        (thin(ARM), {"arm64"}), (thin(INTEL), {"x86_64"}), (fat(INTEL, ARM), {"x86_64", "arm64"}),
        (fat(INTEL), {"x86_64"}),
        (b"", set()), (b"\x7fELF" + bytes(60), set()), (b"\xca\xfe\xba\xbe\x00\x00\x00\x34" + bytes(60), set()),
        (thin(7), set()), (fat(INTEL, ARM)[:20], {"x86_64"}),
    ],
)  # fmt: skip
def test_for_which_processors_a_file_is_built(head: bytes, processors: set[str]) -> None:
    assert processors_of(head) == processors


XATTR = "/usr/bin/xattr -p com.apple.quarantine {}"


def mac(home: Home, *, marked: bool = False) -> FakeMachine:
    library = home.venv / "lib" / "python3.12" / "site-packages" / "torch" / "lib" / "libtorch_cpu.dylib"
    asked = XATTR.format(library)
    return FakeMachine({asked: Ran((asked,), 0 if marked else 1, "0081;x;Safari;" if marked else "")})


def mac_home(ctx: Context, *, torch: int = ARM, numpy: int = ARM, python: int = ARM) -> Path:
    site = install(ctx, torch="2.16.0", numpy="2.1.0")
    write(site / "torch" / "lib" / "libtorch_cpu.dylib", thin(torch))
    write(site / "numpy" / "_core" / "_multiarray_umath.cpython-312-darwin.so", thin(numpy))
    write(ctx.home.python, fat(python))
    return site


def test_libraries_that_are_right(context: Contexts, home: Home) -> None:
    ctx = context(machine=mac(home))
    mac_home(ctx)
    assert list(check_native_libs(ctx)) == []
    assert list(check_native_libs(replace(ctx, machine=FakeMachine(system="Linux")))) == []


def test_a_library_of_another_processor(context: Contexts, home: Home) -> None:
    ctx = context(machine=mac(home))
    mac_home(ctx, torch=INTEL, numpy=INTEL)
    found = list(check_native_libs(ctx))
    assert [(finding.id, finding.subject) for finding in found] == [
        ("mixed-arch-so", "torch"),
        ("mixed-arch-so", "numpy"),
    ]
    assert "is built for x86_64, and Python is for arm64" in found[0].says
    assert found[0].cost.download_bytes > 10**8
    mac_home(ctx, torch=INTEL, python=INTEL)
    assert list(check_native_libs(ctx)) == [], "an Intel Python is py-rosetta"


def test_quarantine_is_lifted_after_a_yes(context: Contexts, home: Home) -> None:
    machine = mac(home, marked=True)
    machine.commands[f"/usr/bin/xattr -dr com.apple.quarantine {home.venv}"] = ""
    ctx = context(machine=machine)
    mac_home(ctx)
    (finding,) = check_native_libs(ctx)
    assert (finding.id, finding.verdict) == ("quarantine", Verdict.BLOCKED)
    assert finding.consent
    (finding,) = check_native_libs(replace(ctx, options=replace(ctx.options, agreed=frozenset({"quarantine"}))))
    assert finding.verdict is Verdict.FIXABLE
    apply_native_libs(ctx, finding)
    assert machine.ran[-1].startswith("/usr/bin/xattr -dr com.apple.quarantine ")


@pytest.mark.parametrize(
    "second",
    [
        "lib/libiomp5.dylib",
        "lib/libomp.dylib",
        "SITE/sklearn/.dylibs/libomp.dylib",
        "SITE/faiss/.dylibs/libomp.dylib",
        "SITE/mkl/lib/libiomp5.dylib",
    ],
)
def test_two_openmps(context: Contexts, home: Home, second: str) -> None:
    ctx = context(machine=mac(home))
    site = mac_home(ctx)
    write(ctx.home.venv / second.replace("SITE", str(site.relative_to(ctx.home.venv))), b"")
    assert list(check_native_libs(ctx)) == [], "alone it does no harm"
    write(site / "torch" / "lib" / "libomp.dylib", b"")
    assert seen(check_native_libs(ctx)) == [("omp-dup", Verdict.WARN)]


def test_torchs_own_openmps_are_one(context: Contexts, home: Home) -> None:
    ctx = context(machine=mac(home))
    site = mac_home(ctx)
    for own in ("torch/lib", "torch/.dylibs", "functorch/.dylibs"):
        write(site / own / "libomp.dylib", b"")
    assert list(check_native_libs(ctx)) == []


# -- pairs of versions --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("torch", "numpy", "bad"),
    [("2.2.2", "2.1.0", True), ("2.2.2", "1.26.4", False), ("2.3.0", "2.0.0", False),
     ("2.16.0.dev20261120", "2.1.0", False)],
)  # fmt: skip
def test_numpy_of_another_abi(context: Contexts, torch: str, numpy: str, bad: bool) -> None:
    ctx = context(machine=FakeMachine(system="Linux"))
    install(ctx, torch=torch, numpy=numpy)
    assert seen(check_known_pairs(ctx)) == ([("numpy-abi", Verdict.FIXABLE)] if bad else [])


def test_numpy_1_is_installed_with_torch_held(context: Contexts, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx, asked = context(), []
    install(ctx, torch="2.2.2", numpy="2.1.0")
    monkeypatch.setattr("provision.environment.packages.must_install", lambda ctx, *words, what: asked.extend(words))
    (finding,) = check_known_pairs(replace(ctx, machine=FakeMachine(system="Linux")))
    apply_known_pairs(ctx, finding)
    assert asked == ["numpy<2", "torch==2.2.2"]


@pytest.mark.parametrize(("told", "real", "bad"), [("10.16", "15.1", True), ("15.1", "15.1", False),
                                                  ("16.0", "26.1", False), ("10.15", "10.15", False)])  # fmt: skip
def test_a_python_that_takes_macos_for_an_old_one(
    context: Contexts, home: Home, told: str, real: str, bad: bool
) -> None:
    answer = json.dumps(["3.12.7", "arm64", "/opt/python", str(home.venv), told])
    asked = f"{home.python} -I -B -c {python_env.ASK}"
    ctx = context(machine=FakeMachine({asked: answer, "/usr/bin/sw_vers": SW_VERS.format(real)}))
    write(home.python, b"")
    expected = [("venv-ready", Verdict.OK), *([("macver-compat", Verdict.WARN)] if bad else [])]
    assert seen(check_python_env(ctx)) == expected
    agreed = replace(ctx, options=replace(ctx.options, agreed=frozenset({"macver-compat"})))
    assert ("macver-compat", Verdict.FIXABLE) in seen(check_python_env(agreed)) or not bad


# -- where things lie ---------------------------------------------------------------------------------------------


def test_a_folder_that_macos_guards(context: Contexts, home: Home) -> None:
    machine = FakeMachine()
    ctx = context(machine=machine)
    assert list(check_guarded(ctx)) == []
    machine.refused[str(home.venv / "pyvenv.cfg")] = errno.EACCES
    assert list(check_guarded(ctx)) == [], "permissions are another fault"
    machine.refused[str(home.venv / "pyvenv.cfg")] = errno.EPERM
    (finding,) = check_guarded(ctx)
    assert (finding.id, finding.verdict) == ("tcc-folder", Verdict.BLOCKED)
    assert "pyvenv.cfg" in finding.says


def test_what_the_system_refuses_is_told_apart(tmp_path: Path) -> None:
    machine = LocalMachine({})
    assert machine.refusal(tmp_path / "none") == 0
    assert machine.refusal(write(tmp_path / "x", b"")) == machine.refusal(tmp_path) == 0
    assert machine.refusal(tmp_path / "x" / "y") == errno.ENOTDIR
    assert machine.file_flags(tmp_path / "x") == 0


def test_a_checkpoint_in_icloud_is_not_read(context: Contexts) -> None:
    machine = FakeMachine()
    ctx = context(machine=machine)
    write_checkpoint(ctx.home.comfyui / "models" / "checkpoints" / CHECKPOINT)
    machine.flags[CHECKPOINT] = SF_DATALESS | 0x20
    (finding,) = check_models(ctx)
    assert (finding.id, finding.verdict) == ("icloud-dataless", Verdict.BLOCKED)
    assert finding.fix is not None
    assert finding.fix.command.argv[:2] == ("brctl", "download")


def test_other_comfyuis_are_told_and_do_no_harm(context: Contexts, tmp_path: Path) -> None:
    ctx = context(machine=FakeMachine(environ={"HOME": str(tmp_path)}))
    assert list(check_other_installs(ctx)) == []
    write(tmp_path / "ComfyUI" / "main.py", b"")
    (finding,) = check_other_installs(ctx)
    assert (finding.id, finding.verdict) == ("two-installs", Verdict.OK)
    assert str(tmp_path / "ComfyUI") in finding.says


def test_intels_homebrew_is_not_called_in_vain(context: Contexts) -> None:
    programs = {"brew": "/usr/local/bin/brew"}
    ctx = context(machine=FakeMachine(programs=programs))
    (ctx.home.comfyui / ".git").mkdir(parents=True)
    found = list(check_tools(ctx))
    assert seen(found) == [("git-missing", Verdict.BLOCKED), ("brew-prefix", Verdict.OK)]
    assert found[0].fix is not None
    assert found[0].fix.command == program("xcode-select", "--install")
    assert "supports no longer" in found[1].says
    with_own = {**programs, "/opt/homebrew/bin/brew": "/opt/homebrew/bin/brew"}
    found = list(check_tools(context(machine=FakeMachine(programs=with_own))))
    assert found[0].fix is not None
    assert found[0].fix.command == program("/opt/homebrew/bin/brew", "install", "git")
    found = list(check_tools(context(machine=FakeMachine(programs=programs, arch="x86_64"))))
    assert seen(found) == [("git-missing", Verdict.FIXABLE)]


# -- the shell, the flags, what lies twice ------------------------------------------------------------------------


@pytest.mark.parametrize(("ratio", "told"), [("0.7", True), ("0.0", False), ("1.7", False), ("", False), ("x", True)])
def test_a_share_of_memory_that_torch_refuses(context: Contexts, ratio: str, told: bool) -> None:
    machine = LocalMachine({"PYTORCH_MPS_HIGH_WATERMARK_RATIO": ratio})
    assert ("watermark-env" in [finding.id for finding in check_environment(context(machine=machine))]) == told


def test_certificates_that_are_not_there(context: Contexts, tmp_path: Path) -> None:
    environ = {"SSL_CERT_FILE": str(tmp_path / "gone.pem")}
    assert seen(check_environment(context(machine=LocalMachine(environ)))) == [("tls-store", Verdict.WARN)]
    write(tmp_path / "gone.pem", b"")
    assert list(check_environment(context(machine=LocalMachine(environ)))) == []


@pytest.mark.parametrize(
    ("args", "found"),
    [
        (["--force-fp16"], []),
        (["--force-fp16", "--force-fp32"], [("dtype-flags", Verdict.BLOCKED)]),
        (["--fp16-vae"], [("dtype-flags", Verdict.WARN)]),
        (["--fp8_e4m3fn-unet"], [("fp8-fp64-mps", Verdict.BLOCKED)]),
        (["--listen"], [("listen-wrong", Verdict.WARN)]),
        (["--listen", "192.168.1.7"], [("listen-wrong", Verdict.WARN)]),
        (["--listen", "127.0.0.1"], []),
    ],
)
def test_flags_that_a_person_gave(context: Contexts, args: list[str], found: list[tuple[str, Verdict]]) -> None:
    ctx = context(f"comfyui.args={json.dumps(args)}")
    ctx.receipts.write("torch", device="mps")
    findings = list(check_flags(ctx))
    assert seen(findings) == found
    for finding in findings:
        assert finding.fix is not None
        kept = json.loads(finding.fix.command.argv[-1].partition("=")[2])
        ctx = context(f"comfyui.args={json.dumps(kept)}")
        assert list(check_flags(ctx)) == [], "what is told to do helps"


@pytest.mark.parametrize(
    ("args", "found"),
    [
        (["--force-fp16", "--reserve-vram=2", "--listen", "127.0.0.1", "--force-fp"], []),
        (["--force-fp16", "--everything"], [("flag-unknown", Verdict.BLOCKED, ["--force-fp16"])]),
        (["--faster", "3", "--preview-size", "256"], [("flag-unknown", Verdict.BLOCKED, ["--preview-size", "256"])]),
        (["--disable-api-nodes", "--force-fp16"], [("flag-old", Verdict.WARN, ["--force-fp16"])]),
    ],
)
def test_flags_that_this_comfyui_does_not_know_or_calls_deprecated(
    context: Contexts, args: list[str], found: list[tuple[str, Verdict, list[str]]]
) -> None:
    ctx = context(f"comfyui.args={json.dumps(args)}")
    ctx.home.comfyui.mkdir(parents=True, exist_ok=True)
    (ctx.home.comfyui / "cli_args.py").write_bytes((ENGINE / "cli_args.py").read_bytes())
    seen_here = [
        (each.id, each.verdict, json.loads(each.fix.command.argv[-1].partition("=")[2]))
        for each in check_flags(ctx)
        if each.fix is not None and isinstance(each.fix.command, Command)
    ]
    assert seen_here == found


def test_flags_that_only_a_mac_fails_with(context: Contexts) -> None:
    ctx = context('comfyui.args=["--fp8_e4m3fn-unet", "--fp16-vae"]')
    ctx.receipts.write("torch", device="cuda")
    assert list(check_flags(ctx)) == []


def test_a_second_copy_in_the_cache_is_told(context: Contexts, tmp_path: Path) -> None:
    ctx = context(machine=LocalMachine({"HF_HOME": str(tmp_path)}))
    (model, file), *_ = ctx.manifest.chosen("fp16")
    place = write(ctx.home.comfyui / "models" / model.folder / file.name, b"x")
    copy = write(tmp_path / "hub" / "models--stabilityai--sdxl-turbo" / "blobs" / str(file.sha256), b"x")
    assert seen(check_litter(ctx)) == [("hf-dupes", Verdict.OK)]
    copy.unlink()
    copy.hardlink_to(place)
    assert list(check_litter(ctx)) == []


def test_leftovers_of_macos_among_the_custom_nodes(context: Contexts) -> None:
    ctx = context()
    (ctx.home.comfyui / "models").mkdir(parents=True)
    write(ctx.home.comfyui / "custom_nodes" / "._paint.py", bytes.fromhex("0005160700020000"))
    (finding,) = check_litter(ctx)
    assert (finding.id, finding.verdict) == ("fs-appledouble", Verdict.WARN)
