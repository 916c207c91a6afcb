"""What a command says about its home beside its own answer: licence, adopted install, address, and measured speed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from provision.cli.command import Session
from provision.core.estimate import REHEARSED_S, USUAL_S, Pace, believable
from provision.core.home import AdoptedJson, Home
from provision.core.manifest import Manifest
from provision.core.receipt_kinds import ImageReceipt
from provision.core.receipts import read_state, write_json
from provision.core.step import Context
from provision.rehearsal.sent import Sent


def introduce(at: Session) -> None:
    """Print the licence, and which adopted install is used."""
    ctx, home = at.ctx, at.ctx.home
    introduce_licence(ctx)
    if home.adopted is not None:
        python = home.venv_of_another
        whose = f"the Python of {python}" if python is not None else "a new Python environment"
        ctx.note(f"Using the ComfyUI in {home.base} as is, with {whose}; the install folder is {home.root}.")


def introduce_licence(ctx: Context) -> None:
    """Print the licence of the weights, unless they are here."""
    chosen = ctx.manifest.chosen(ctx.options.precision)
    if not all((ctx.home.models / model.folder / file.name).is_file() for model, file in chosen):
        ctx.note(licence_says(ctx.manifest))


def licence_says(manifest: Manifest) -> str:
    """The licence of the weights as its page has it, in a sentence, with the address of its text."""
    return f"{manifest.title}: {terms_of(manifest)}; text: {manifest.license.url}"


def terms_of(manifest: Manifest) -> str:
    """The licence's name and what its page says of commercial use; that it was not read where nobody did."""
    terms = manifest.license
    return f"licence {terms.id or 'on its page'}; commercial use: {terms.commercial or 'not read here'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeImage(ImageReceipt):
    """The first image: where it is, what it was made with, and the result."""

    path: str


@dataclass(frozen=True, slots=True)
class Provisioned:
    """`url` is ComfyUI's page; `rehearsal` what its own hub sent, null outside of a rehearsal."""

    home: str
    url: str
    image: MadeImage | None
    adopted: AdoptedJson | None
    rehearsal: Sent | None


def run_facts(at: Session) -> Provisioned:
    """What `--json` adds to the report of a run."""
    home, image = at.ctx.home, None
    if home.first_image.exists():
        image = MadeImage(**asdict(at.ctx.receipts.read("first_image", ImageReceipt)), path=str(home.first_image))
    sent = at.world.sent() if at.world is not None else None
    return Provisioned(str(home.root), at.ctx.manifest.comfyui.page, image, home.adopted_json, sent)


def read_pace(home: Home) -> Pace:
    """How fast the network and the steps were in earlier runs."""
    return believable(read_state(_pace_file(home), Pace) or Pace())


def keep_pace(home: Home, pace: Pace) -> None:
    """Record what a run measured. Raises HomeError, DiskFull."""
    write_json(_pace_file(home), pace.to_json())


def usual_seconds(ctx: Context) -> Mapping[str, float]:
    """Seconds that each step usually takes beside its download; less in a rehearsal."""
    return REHEARSED_S if ctx.options.rehearsal else USUAL_S


def _pace_file(home: Home) -> Path:
    return home.state / "pace.json"
