"""A small SDXL checkpoint in a hub's repository, and a context that downloads it into a home of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from provision.core.events import Event, Note, Output, Progress
from provision.core.home import Home
from provision.core.manifest import ComfyUI, FirstImage, License, Manifest, Model, ModelFile
from provision.core.step import Context, Options
from provision.download.backend import HubFile
from provision.rehearsal.checkpoints import write_safetensors
from provision.rehearsal.model_repo import ModelRepo, make_model_repo
from provision.system.local_machine import LocalMachine
from provision.system.machine import Machine
from tests.support.hub import Hub

REPO, FILE, TWIN = "made/up-model", "model_fp16.safetensors", "model.safetensors"
TOKEN = "hf_made_up_secret"
SHAPES = {
    "model.diffusion_model.in.weight": (1024, 2048),
    "conditioner.embedders.0.in.weight": (256, 512),
    "conditioner.embedders.1.in.weight": (256, 512),
    "first_stage_model.in.weight": (256, 512),
}
"""About 5 MB in fp16: enough pieces to be killed between them."""


class Brisk(LocalMachine):
    """A machine on which waiting takes no time, and is counted."""

    def __init__(self, **environ: str) -> None:
        super().__init__({"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/nonexistent", **environ})
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.check_interrupted()


@dataclass
class Heard:
    """What a context emitted."""

    events: list[Event] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    @property
    def notes(self) -> list[str]:
        return [event.says for event in self.events if isinstance(event, Note)]

    @property
    def text(self) -> str:
        """All words that a person or a log could see."""
        return "\n".join([*self.notes, *(event.line for event in self.events if isinstance(event, Output))])

    def last(self, subject: str) -> Progress:
        return [event for event in self.events if isinstance(event, Progress) and event.subject == subject][-1]


def make_small_repo(folder: Path, shapes: dict[str, tuple[int, ...]] | None = None) -> ModelRepo:
    """A repository with an fp16 file and its fp32 twin, under the hub's root `folder/hub`."""
    for name, dtype in ((FILE, "F16"), (TWIN, "F32")):
        write_safetensors(folder / "weights" / name, shapes or SHAPES, dtype=dtype, seed=3)  # type: ignore[arg-type]
    return make_model_repo(folder / "hub", REPO, {name: folder / "weights" / name for name in (FILE, TWIN)})


def manifest_of(model: ModelRepo, *, known: bool = True) -> Manifest:
    """A manifest of the small model; without `known`, sizes and hashes are the hub's to tell."""

    def entry(path: str, precision: str) -> ModelFile:
        size, sha256 = model.files[path]
        return ModelFile(path, precision, size, sha256) if known else ModelFile(path, precision)

    files = (entry(FILE, "fp16"), entry(TWIN, "fp32"))
    return Manifest(
        schema=1,
        name="small",
        title="Small",
        license=License("made-up"),
        comfyui=ComfyUI("https://example.org/x"),
        models=(Model(REPO, "checkpoints", files, model.commit),),
        first_image=FirstImage("a fox"),
    )


def small_context(
    root: Path,
    model: ModelRepo,
    endpoint: str,
    *,
    machine: Machine | None = None,
    emit: Heard | None = None,
    known: bool = True,
    **options: object,
) -> Context:
    """A prepared home under `root`, the small manifest, this endpoint."""
    home = Home(root / "home")
    home.prepare()
    asked = replace(Options(endpoint=endpoint), **options)  # type: ignore[arg-type]
    return Context(machine or Brisk(), manifest_of(model, known=known), home, asked, emit or Heard())


def remote_file(hub: Hub, model: ModelRepo, path: str = FILE) -> HubFile:
    size, sha256 = model.files[path]
    return HubFile(hub.url, REPO, model.commit, path, size, sha256)


def is_one_sentence_with_hint(message: str, hint: str) -> bool:
    """Whether an error reads as it should: a sentence that ends, no Python and no signature in it, and a hint."""
    clean = not re.search(r"Traceback|Exception|Error\(|<class|Signature|\n\n", message)
    return clean and message.rstrip().endswith((".", "!", "”.")) and bool(hint.strip())
