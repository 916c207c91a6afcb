"""What a command says about its home beside its own answer: licence, adopted install, address, and measured speed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from provision.cli.command import Session
from provision.core.estimate import REHEARSED_S, USUAL_S, Pace, believable
from provision.core.finding import JSON
from provision.core.home import Home
from provision.core.manifest import Manifest
from provision.core.receipts import read_state, write_json
from provision.core.step import Context


def introduce(at: Session) -> None:
    """Print the licence, and which adopted install is used."""
    ctx, home = at.ctx, at.ctx.home
    ctx.note(licence_says(ctx.manifest))
    if home.adopted is not None:
        python = home.venv_of_another
        whose = f"the Python of {python}" if python is not None else "a new Python environment"
        ctx.note(f"Using the ComfyUI in {home.base} as is, with {whose}; the install folder is {home.root}.")


def licence_says(manifest: Manifest) -> str:
    """The licence of the weights as its page has it, in a sentence, with the address of its text."""
    return f"{manifest.title}: {terms_of(manifest)}; text: {manifest.license.url}"


def terms_of(manifest: Manifest) -> str:
    """The licence's name and what its page says of commercial use; that it was not read where nobody did."""
    terms = manifest.license
    return f"licence {terms.id or 'on its page'}; commercial use: {terms.commercial or 'not read here'}"


def adopted_json(home: Home) -> dict[str, JSON]:
    """The adopted install for `--json`; empty where the home has its own ComfyUI."""
    if home.adopted is None:
        return {}
    python = str(home.python) if home.venv_of_another is not None else None
    return {"adopted": {"base": str(home.base), "code": str(home.comfyui), "python": python}}


def run_facts(at: Session) -> dict[str, JSON]:
    """What `--json` adds to the report of a run."""
    home = at.ctx.home
    facts: dict[str, JSON] = {"command": at.request.command, "home": str(home.root)}
    facts |= {"url": at.ctx.manifest.comfyui.page, **adopted_json(home)}
    if home.first_image.exists():
        facts["image"] = {"path": str(home.first_image), **at.ctx.receipts.read("first_image")}
    if at.world is not None:
        facts["rehearsal"] = at.world.sent_json()
    return facts


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
