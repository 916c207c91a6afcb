"""A model that is on this machine already: found, proven, taken over without a byte from the network."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from provision.core.finding import Finding, Verdict
from provision.core.runner import run_step
from provision.core.step import Context, StepReport
from provision.download import local_copies
from provision.download.known_folders import asked_places, checkpoint_folders, hub_cache, known_places
from provision.download.local_copies import find_copies
from provision.download.model_files import wanted_files
from provision.errors import Interrupted
from provision.rehearsal.hub import Hub
from provision.rehearsal.model_repo import ModelRepo
from provision.steps.models.step import MODELS, check_models
from provision.steps.tools.network import model_hosts
from tests.support.foreign_install import SHARED_MODELS, desktop
from tests.support.small_model import FILE, REPO, Brisk, Heard, small_context

DEAD = "http://127.0.0.1:9"


@pytest.fixture
def person(tmp_path: Path) -> Path:
    folder = tmp_path / "person"
    folder.mkdir()
    return folder


@pytest.fixture
def ctx(tmp_path: Path, model: ModelRepo, person: Path, heard: Heard) -> Context:
    """Nobody answers there: whatever is brought in place was on this machine."""
    return small_context(tmp_path, model, DEAD, machine=Brisk(HOME=str(person)), emit=heard)


def put(place: Path, data: bytes) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)
    return place


def place_of(ctx: Context) -> Path:
    return ctx.home.comfyui / "models" / "checkpoints" / FILE


def look(ctx: Context) -> Finding:
    [finding] = check_models(ctx)
    return finding


def apply(ctx: Context) -> StepReport:
    return run_step(MODELS, ctx, apply=True)


def copies(ctx: Context) -> list[Path]:
    sought = wanted_files(ctx)[0].sought
    assert sought
    return find_copies(ctx, sought)


def is_right(path: Path, model: ModelRepo) -> bool:
    return hashlib.sha256(path.read_bytes()).hexdigest() == model.files[FILE][1]


def flipped(data: bytes) -> bytes:
    """The same header and size, one bit of the weights changed."""
    return data[:-1] + bytes([data[-1] ^ 1])


# -- places -------------------------------------------------------------------------------------------------

PLACES = [
    f".cache/huggingface/hub/models--made--up-model/blobs/{FILE}",
    f"ComfyUI/models/checkpoints/{FILE}",
    f"Documents/ComfyUI/models/checkpoints/turbo/{FILE}",
    f"stable-diffusion-webui/models/Stable-diffusion/{FILE}",
    f"Documents/stable-diffusion-webui-forge/models/Stable-diffusion/sdxl/{FILE}",
    f"Fooocus/models/checkpoints/{FILE}",
    f"invokeai/models/sdxl/main/turbo/{FILE}",
    f"Library/Containers/com.liuliu.draw-things/Data/Documents/Models/{FILE}",
    f".diffusionbee/imported_models/{FILE}",
    f"Library/Application Support/StabilityMatrix/Models/StableDiffusion/{FILE}",
    f"pinokio/drive/drives/peers/d1704581225212/checkpoints/{FILE}",
    f"provision/ComfyUI/models/checkpoints/{FILE}",
    f"Downloads/{FILE}",
    f"Downloads/from a friend/{FILE}",
]


@pytest.mark.parametrize("place", PLACES)
def test_it_is_found_where_other_programs_keep_it(
    ctx: Context, person: Path, model: ModelRepo, data: bytes, heard: Heard, place: str
) -> None:
    copy = put(person / place, data)
    finding = look(ctx)
    assert (finding.id, finding.verdict, finding.paths) == ("ckpt-missing", Verdict.FIXABLE, (copy,))
    assert finding.cost.download_bytes == finding.cost.disk_bytes == 0
    assert f"Found a copy, {copy}; it will be verified and cloned or linked." in finding.says
    assert finding.fix
    assert "nothing is downloaded" in finding.fix.says
    assert model_hosts(ctx) == []
    report = apply(ctx)
    assert (report.error, report.verdict) == (None, Verdict.OK)
    assert is_right(place_of(ctx), model)
    assert is_right(copy, model)
    assert f"{copy} is the right file (sha256 OK)" in heard.text
    assert list(ctx.home.parts.iterdir()) == []
    assert not apply(ctx).changed
    assert place_of(ctx).stat().st_ino == ctx.receipts.read(f"model-{model.files[FILE][1][:12]}")["inode"]


def test_nothing_is_searched_when_the_model_is_there(
    ctx: Context, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(place_of(ctx), data)
    assert apply(ctx).verdict is Verdict.OK
    monkeypatch.setattr(local_copies, "known_places", lambda *given: pytest.fail("searched"))
    assert look(ctx).verdict is Verdict.OK


def test_a_rehearsal_looks_only_where_it_is_told(ctx: Context, person: Path, data: bytes, tmp_path: Path) -> None:
    put(person / "Downloads" / FILE, data)
    rehearsed = replace(ctx, options=replace(ctx.options, rehearsal=True))
    assert look(rehearsed).cost.download_bytes == len(data)
    copy = put(tmp_path / "usb" / "deep" / "er" / FILE, data)
    told = replace(rehearsed, options=replace(rehearsed.options, look_in=(tmp_path / "usb",)))
    assert copies(told) == [copy]


def test_the_home_itself_is_never_searched(ctx: Context, data: bytes) -> None:
    put(ctx.home.aside / FILE, data)
    put(ctx.home.comfyui / "models" / "other" / FILE, data)
    looking = replace(ctx, options=replace(ctx.options, look_in=(ctx.home.root.parent, ctx.home.root, ctx.home.aside)))
    assert copies(looking) == [ctx.home.aside / FILE], "only a folder of it that was asked for by name"
    parent = replace(ctx, options=replace(ctx.options, look_in=(ctx.home.root.parent,)))
    assert copies(parent) == []


def test_links_lead_to_the_file_once_and_loops_end(ctx: Context, person: Path, data: bytes, tmp_path: Path) -> None:
    real = put(tmp_path / "elsewhere" / "weights.safetensors", data)
    folder = person / "ComfyUI" / "models" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "one.safetensors").symlink_to(real)
    (folder / "two").symlink_to(real.parent)
    (folder / "round").symlink_to(person / "ComfyUI" / "models")
    (folder / "dead").symlink_to(tmp_path / "nowhere")
    assert copies(ctx) == [real]


def test_a_blob_named_by_its_hash_comes_first(ctx: Context, person: Path, model: ModelRepo, data: bytes) -> None:
    put(person / "ComfyUI" / "models" / "checkpoints" / "a.safetensors", data)
    named = put(person / "Downloads" / FILE, data)
    blob = put(hub_cache(ctx.machine.environ) / "models--x--y" / "blobs" / model.files[FILE][1], data)
    assert copies(ctx)[:2] == [blob, named]


def test_another_kind_of_the_same_size_is_no_copy(ctx: Context, person: Path, data: bytes) -> None:
    put(person / "Downloads" / "a.zip", b"PK\x03\x04" + bytes(len(data) - 4))
    put(person / "Downloads" / "zeros", bytes(len(data)))
    assert copies(ctx) == []


def test_folders_that_cannot_be_read_are_passed_over(
    ctx: Context, person: Path, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = put(person / "Downloads" / FILE, data)
    (person / "ComfyUI" / "models").mkdir(parents=True)
    scandir = os.scandir

    def refusing(folder: Path) -> object:
        if "ComfyUI" in str(folder):  # what macOS says without the person's leave; root may read everything
            raise PermissionError(1, "Operation not permitted")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    assert copies(ctx) == [copy]


def test_a_folder_that_hangs_does_not_hold_up_the_plan(
    ctx: Context, person: Path, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(person / "Downloads" / FILE, data)
    blob = put(hub_cache(ctx.machine.environ) / "models--x--y" / "blobs" / "b", data)
    (person / "ComfyUI" / "models").mkdir(parents=True)
    scandir, answered = os.scandir, threading.Event()

    def hanging(folder: Path) -> object:
        if "ComfyUI" in str(folder):
            answered.wait(30)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", hanging)
    monkeypatch.setattr(local_copies, "DEADLINE_S", 0.3)
    started = time.monotonic()
    try:
        assert copies(ctx) == [blob]
    finally:
        answered.set()
    assert time.monotonic() - started < 5


def test_a_place_is_looked_at_up_to_a_number_of_names(
    ctx: Context, person: Path, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_copies, "ENTRIES_MAX", 5)
    for name in range(30):
        put(person / "ComfyUI" / "models" / "checkpoints" / f"{name}" / "x", b"x")
    copy = put(person / "Downloads" / FILE, data)
    assert copies(ctx) == [copy]


def test_a_search_through_many_files_is_quick(ctx: Context, person: Path) -> None:
    folder = person / "ComfyUI" / "models" / "loras"
    folder.mkdir(parents=True)
    for name in range(2000):
        (folder / f"{name}").touch()
    started = time.process_time()
    assert copies(ctx) == []
    assert time.process_time() - started < 1


# -- taking it ----------------------------------------------------------------------------------------------


def sharing(monkeypatch: pytest.MonkeyPatch, *, clone: bool, link: bool) -> None:
    def cloning(source: Path, destination: Path) -> bool:
        source.open("rb").close()
        if clone:
            destination.write_bytes(source.read_bytes())
        return clone

    monkeypatch.setattr(local_copies, "clone_file", cloning)
    if not link:
        monkeypatch.setattr(local_copies, "link_file", lambda source, destination: False)


@pytest.mark.parametrize(
    ("clone", "link", "asked", "says", "same"),
    [
        (True, True, False, "cloned, which takes no space", False),
        (False, True, False, "hard-linked", True),
        (False, True, True, "copied, because", False),
        (True, True, True, "cloned", False),
        (False, False, False, "copied, because it cannot be shared", False),
    ],
)
def test_it_is_cloned_else_linked_else_copied(
    ctx: Context,
    person: Path,
    model: ModelRepo,
    data: bytes,
    heard: Heard,
    monkeypatch: pytest.MonkeyPatch,
    clone: bool,
    link: bool,
    asked: bool,
    says: str,
    same: bool,
) -> None:
    copy = put(person / "Downloads" / FILE, data)
    sharing(monkeypatch, clone=clone, link=link)
    ctx = replace(ctx, options=replace(ctx.options, copy=asked))
    if asked:
        assert look(ctx).cost.disk_bytes == len(data)
    assert apply(ctx).verdict is Verdict.OK
    assert is_right(place_of(ctx), model)
    assert place_of(ctx).samefile(copy) is same
    assert says in heard.text


def test_the_real_sharing_of_this_system_works(tmp_path: Path) -> None:
    source = put(tmp_path / "a", b"weights" * 1000)
    shared = local_copies._shared(source, tmp_path / "b", links=True)
    assert shared in ("cloned", "linked")
    assert (tmp_path / "b").read_bytes() == source.read_bytes()
    cloned = local_copies.clone_file(source, tmp_path / "c")
    assert (tmp_path / "c").exists() is cloned, "nothing is left of what could not be done"


def test_a_copy_with_a_wrong_hash_is_passed_over_for_the_next(
    ctx: Context, person: Path, model: ModelRepo, data: bytes, heard: Heard
) -> None:
    wrong = put(person / "ComfyUI" / "models" / "checkpoints" / FILE, flipped(data))
    right = put(person / "Downloads" / "other name.safetensors", data)
    assert copies(ctx)[0] == wrong
    assert apply(ctx).verdict is Verdict.OK
    assert is_right(place_of(ctx), model)
    assert f"{wrong} has the size of {FILE} but a wrong sha256" in heard.text
    place_of(ctx).unlink()
    assert copies(ctx) == [right], "it is not hashed again"
    put(wrong, data)
    assert set(copies(ctx)) == {wrong, right}, "but when it has changed"


def test_without_a_right_copy_it_is_downloaded(
    ctx: Context, hub: Hub, person: Path, model: ModelRepo, data: bytes
) -> None:
    wrong = put(person / "Downloads" / FILE, flipped(data))
    report = apply(replace(ctx, options=replace(ctx.options, endpoint=hub.url)))
    assert (report.error, report.verdict) == (None, Verdict.OK)
    assert is_right(place_of(ctx), model)
    assert wrong.read_bytes() == flipped(data)
    assert list(ctx.home.parts.iterdir()) == []


def test_a_part_that_a_former_run_left_goes_when_a_copy_comes(ctx: Context, person: Path, data: bytes) -> None:
    (ctx.home.parts / f"{hashlib.sha256(data).hexdigest()}.part").write_bytes(data[:1000])
    put(person / "Downloads" / FILE, data)
    assert apply(ctx).verdict is Verdict.OK
    assert list(ctx.home.parts.iterdir()) == []


def test_what_only_the_hub_knows_is_found_too(
    tmp_path: Path, hub: Hub, model: ModelRepo, person: Path, data: bytes
) -> None:
    machine = Brisk(HOME=str(person))
    ctx = small_context(tmp_path, model, hub.url, machine=machine, known=False)
    put(person / "Downloads" / FILE, data)
    assert apply(ctx).verdict is Verdict.OK
    assert is_right(place_of(ctx), model)
    assert hub.sent_bytes() == 0


def test_a_stop_while_it_is_hashed_leaves_nothing(ctx: Context, person: Path, data: bytes) -> None:
    put(person / "Downloads" / FILE, data)
    stopping = replace(ctx, emit=lambda event: ctx.machine.interrupt() if event.type == "progress" else None)
    with pytest.raises(Interrupted):
        apply(stopping)
    assert list(ctx.home.parts.iterdir()) == []
    assert not place_of(ctx).exists()


def test_a_truncated_file_that_another_program_has_too_is_not_written_to(
    ctx: Context, hub: Hub, person: Path, data: bytes, model: ModelRepo
) -> None:
    theirs = put(person / "theirs.safetensors", data[:3_000_000])
    place_of(ctx).parent.mkdir(parents=True)
    place_of(ctx).hardlink_to(theirs)
    assert apply(replace(ctx, options=replace(ctx.options, endpoint=hub.url))).verdict is Verdict.OK
    assert is_right(place_of(ctx), model)
    assert theirs.read_bytes() == data[:3_000_000]


# -- extra_model_paths.yaml ---------------------------------------------------------------------------------

YAML = """\
# a comment
a111:
    base_path: /srv/webui/   # where it lies
    checkpoints: models/Stable-diffusion
    loras: |
         models/Lora
         models/LyCORIS

comfyui:
    is_default: true
    base_path: "~/big disk/ComfyUI"
    checkpoints: |
      models/checkpoints
      /mnt/more checkpoints
    vae: models/vae
other:
    checkpoints: 'beside'
"""


def test_extra_model_paths_name_folders_of_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert checkpoint_folders(YAML, Path("/comfy")) == [
        Path("/srv/webui/models/Stable-diffusion"),
        Path("/home/me/big disk/ComfyUI/models/checkpoints"),
        Path("/mnt/more checkpoints"),
        Path("/comfy/beside"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\x00",
        ":",
        "::::",
        "- - -",
        "a:\n b:\n  c:\n",
        "checkpoints",
        "checkpoints: ~nobody-here/x\n",
        "base_path:\ncheckpoints:\n",
        "\t\tcheckpoints: |\n",
        "a:\n  checkpoints: [b]\n",
        "{checkpoints: [a, b]}",
        "x: &a\n  <<: *a\n",
    ],
)
def test_what_is_no_such_file_is_passed_over(text: str) -> None:
    assert all(isinstance(folder, Path) for folder in checkpoint_folders(text, Path("/comfy")))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def by_extra_paths(person: Path, models: Path) -> None:
    write(person / "ComfyUI" / "extra_model_paths.yaml", f"mine:\n  base_path: {models}\n  checkpoints: .\n")


def by_desktop(person: Path, models: Path) -> None:
    base = models / "base"
    write(person / "Library/Application Support/ComfyUI/config.json", f'{{"basePath": "{base}"}}')
    models.rename(models.with_name("moved"))
    base.mkdir(parents=True)
    models.with_name("moved").rename(base / "models")


def by_desktop_extra(person: Path, models: Path) -> None:
    settings = person / "Library/Application Support/ComfyUI"
    write(settings / "config.json", "not json")
    write(settings / "extra_models_config.yaml", f"comfyui_desktop:\n  base_path: {models}\n  checkpoints: |\n    .\n")


def by_newer_extra_paths(person: Path, models: Path) -> None:
    write(person / "ComfyUI" / "extra_paths.yaml", f"mine:\n  base_path: {models}\n  checkpoints: .\n")


def by_comfy_desktop(person: Path, models: Path) -> None:
    made = desktop(person)
    shared = SHARED_MODELS.format(models=models).replace("'checkpoints/'", "'.'")
    write(made.settings / "shared_model_paths.yaml", shared)


def by_comfy_desktops_setting(person: Path, models: Path) -> None:
    write(desktop(person).settings / "settings.json", json.dumps({"modelsDirs": [str(models)], "theme": None}))


def by_comfy_desktops_record(person: Path, models: Path) -> None:
    made = desktop(person)
    made.record(installPath=str(models.with_name("one")))
    (models.with_name("one") / "ComfyUI").mkdir(parents=True)
    models.rename(models.with_name("one") / "ComfyUI" / "models")


def by_one_installs_own_folders(person: Path, models: Path) -> None:
    own = desktop(person).settings / "instance-model-paths" / "inst-1.yaml"
    write(own, f"comfy.desktop_0:\n  base_path: '{models}'\n  'checkpoints': '.'\n")


def by_stability_matrix(person: Path, models: Path) -> None:
    models.rename(models.with_name("Models"))
    folder = person / "Library/Application Support/StabilityMatrix"
    write(folder / "library.json", json.dumps({"LibraryPath": str(models.parent)}))


def by_pinokio(person: Path, models: Path) -> None:
    app = models.parent / "pinokio" / "api" / "comfy.git" / "app"
    app.mkdir(parents=True)
    models.rename(app / "models")
    write(person / ".pinokio/config.json", json.dumps({"home": str(models.parent / "pinokio"), "theme": "dark"}))


def by_comfy_cli(person: Path, models: Path) -> None:
    workspace = models.with_name("work")
    workspace.mkdir()
    models.rename(workspace / "models")
    config = f"[DEFAULT]\nenable_tracking = False\nrecent_workspace = {workspace}\n"
    write(person / "Library/Application Support/comfy-cli/config.ini", config)


@pytest.mark.parametrize(
    "settle",
    [
        by_extra_paths,
        by_newer_extra_paths,
        by_desktop,
        by_desktop_extra,
        by_comfy_desktop,
        by_comfy_desktops_setting,
        by_comfy_desktops_record,
        by_one_installs_own_folders,
        by_stability_matrix,
        by_pinokio,
        by_comfy_cli,
    ],
)
def test_settings_of_other_programs_lead_to_the_file(
    ctx: Context, person: Path, data: bytes, tmp_path: Path, settle: Callable[[Path, Path], None]
) -> None:
    put(tmp_path / "volume" / "models" / FILE, data)
    settle(person, tmp_path / "volume" / "models")
    [found] = copies(ctx)
    assert found.is_relative_to(tmp_path / "volume")


@pytest.mark.parametrize(
    "text", ["", 'a:\n  checkpoints: "b\\0c"\n', "a:\n  checkpoints: ~nobody-here/x\n", "a: [" * 5000]
)
def test_extra_paths_that_lead_nowhere_are_passed_over(ctx: Context, person: Path, text: str) -> None:
    write(person / "ComfyUI" / "extra_model_paths.yaml", text)
    assert copies(ctx) == []


SETTINGS = (
    "Library/Application Support/ComfyUI/config.json",
    "Library/Application Support/Comfy Desktop/settings.json",
    "Library/Application Support/Comfy Desktop/installations.json",
    "Library/Application Support/StabilityMatrix/library.json",
    "Library/Application Support/comfy-cli/config.ini",
    ".pinokio/config.json",
)
BROKEN = (
    "",
    "[]",
    "{}",
    '{"basePath": 5}',
    "[" * 5000,
    '{"basePath": "a\\u0000b"}',
    '{"modelsDirs": ["a\\u0000b"]}',
    '[{"installPath": "/a\\u0000b"}]',
    '{"home": "\\u0000"}',
    '{"LibraryPath": "~nobody-here/x"}',
    "default_workspace = x",
    "[DEFAULT]\nrecent_workspace = %(x)s\0\n",
)


@pytest.mark.parametrize("text", BROKEN)
def test_broken_settings_are_passed_over(ctx: Context, person: Path, text: str) -> None:
    for name in SETTINGS:
        write(person / name, text)
    assert copies(ctx) == []


@pytest.mark.parametrize(
    "place",
    [
        "ComfyUI-Shared/models/checkpoints",
        "ComfyUI-Installs/mine/ComfyUI/models/checkpoints",
        "Documents/comfy/ComfyUI/models/checkpoints",
        "comfy/ComfyUI/models/checkpoints",
        "stable-diffusion-webui-forge/models/Stable-diffusion",
        "sd-webui-forge-neo/models/Stable-diffusion",
        "sdnext/models/Stable-diffusion",
        "pinokio/drive/drives/peers/d1700000000000/checkpoints",
        "Library/Application Support/StabilityMatrix/Models/StableDiffusion",
        ".diffusionbee/models",
        "Downloads",
    ],
)
def test_where_each_program_keeps_models_by_itself(ctx: Context, person: Path, data: bytes, place: str) -> None:
    put(person / place / FILE, data)
    assert copies(ctx) == [(person / place / FILE).resolve()]


def test_the_cache_is_where_its_variables_say(tmp_path: Path) -> None:
    assert hub_cache({"HOME": "/me"}) == Path("/me/.cache/huggingface/hub")
    assert hub_cache({"HOME": "/me", "XDG_CACHE_HOME": "/c"}) == Path("/c/huggingface/hub")
    assert hub_cache({"HOME": "/me", "HF_HOME": "/hf"}) == Path("/hf/hub")
    assert hub_cache({"HOME": "/me", "HF_HOME": "/hf", "HF_HUB_CACHE": "/hc"}) == Path("/hc")


def test_what_the_system_asks_about_comes_last() -> None:
    folders = [place.folder for place in known_places({"HOME": "/me"})]
    assert folders[-2:] == [
        Path("/me/Library/Containers/com.liuliu.draw-things/Data/Documents/Models"),
        Path("/me/Downloads"),
    ]
    assert [place.folder for place in asked_places([Path("/usb")])] == [Path("/usb")]


# -- sharing with the Hugging Face cache --------------------------------------------------------------------


def test_the_cache_gets_the_same_bytes_and_the_library_finds_them(
    ctx: Context, hub: Hub, person: Path, model: ModelRepo, heard: Heard
) -> None:
    from huggingface_hub import try_to_load_from_cache

    ctx = replace(ctx, options=replace(ctx.options, endpoint=hub.url, share_cache=True))
    report = apply(ctx)
    assert (report.error, report.verdict) == (None, Verdict.OK)
    cache = hub_cache(ctx.machine.environ)
    for revision in (model.commit, "main"):
        found = try_to_load_from_cache(REPO, FILE, cache_dir=cache, revision=revision)
        assert isinstance(found, str)
        assert Path(found).resolve() == cache / "models--made--up-model" / "blobs" / model.files[FILE][1]
        assert is_right(Path(found), model)
    assert not [path for path in cache.rglob(".*") if path.is_file()], "nothing is left of the way there"
    assert "The Hugging Face cache has" in heard.text
    assert not apply(ctx).changed


def test_a_copy_from_the_cache_leaves_it_as_it_is(ctx: Context, model: ModelRepo, data: bytes) -> None:
    folder = hub_cache(ctx.machine.environ) / "models--made--up-model"
    blob = put(folder / "blobs" / model.files[FILE][1], data)
    before = blob.stat().st_ino
    write(folder / "refs" / "main", "0" * 40)
    assert apply(replace(ctx, options=replace(ctx.options, share_cache=True))).verdict is Verdict.OK
    assert blob.stat().st_ino == before
    assert (folder / "refs" / "main").read_text() == "0" * 40
    assert (folder / "snapshots" / model.commit / FILE).samefile(blob)


def test_what_keeps_it_from_being_shared_is_said(ctx: Context, person: Path, data: bytes, heard: Heard) -> None:
    put(person / "Downloads" / FILE, data)
    write(person / ".cache" / "huggingface", "a file in the way")
    assert apply(replace(ctx, options=replace(ctx.options, share_cache=True))).verdict is Verdict.OK
    assert "could not be shared with the Hugging Face cache" in heard.text


def test_a_rehearsal_leaves_the_cache_alone(ctx: Context, hub: Hub, person: Path, heard: Heard) -> None:
    options = replace(ctx.options, endpoint=hub.url, share_cache=True, rehearsal=True)
    assert apply(replace(ctx, options=options)).verdict is Verdict.OK
    assert not (person / ".cache").exists()
    assert "does not use the Hugging Face cache" in heard.text
