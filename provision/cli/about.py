"""What commands tell of a session beside what they do: the licence, whose ComfyUI it is, where its page is."""

from __future__ import annotations

from provision.cli.command import Session
from provision.core.finding import JSON
from provision.core.home import Home
from provision.core.manifest import Manifest


def introduce(at: Session) -> None:
    """The licence; and of an adopted install, that it is used, and where what is known of it lies."""
    ctx, home = at.ctx, at.ctx.home
    ctx.note(licence_says(ctx.manifest))
    if home.adopted is not None:
        python = home.venv_of_another
        whose = f"the Python of {python}" if python is not None else "a Python that this tool makes"
        ctx.note(f"The ComfyUI in {home.base} is used as it is, with {whose}; the home is {home.root}.")


def licence_says(manifest: Manifest) -> str:
    """The licence of the weights as its page has it, in a sentence, with the address of its text."""
    return f"{manifest.title}: {terms_of(manifest)}; text: {manifest.license.url}"


def terms_of(manifest: Manifest) -> str:
    """The licence's name and what its page says of commercial use; that it was not read where nobody did."""
    terms = manifest.license
    return f"licence {terms.id or 'on its page'}; commercial use: {terms.commercial or 'not read here'}"


def adopted_json(home: Home) -> dict[str, JSON]:
    """What `--json` tells of an adopted install; nothing where the home has its own."""
    if home.adopted is None:
        return {}
    python = str(home.python) if home.venv_of_another is not None else None
    return {"adopted": {"base": str(home.base), "code": str(home.comfyui), "python": python}}


def run_facts(at: Session) -> dict[str, JSON]:
    """What `--json` tells at the end of a run, beside its report."""
    home = at.ctx.home
    facts: dict[str, JSON] = {"command": at.request.command, "home": str(home.root)}
    facts |= {"url": at.ctx.manifest.comfyui.page, **adopted_json(home)}
    if home.first_image.exists():
        facts["image"] = {"path": str(home.first_image), **at.ctx.receipts.read("first_image")}
    if at.world is not None:
        facts["rehearsal"] = at.world.sent_json()
    return facts
