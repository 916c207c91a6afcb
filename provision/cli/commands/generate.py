"""`provision generate`: images from prompts, made by the running server, which is started when it is down."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from provision.cli.command import Session, command
from provision.cli.request import ASKING, Request
from provision.command import Fix, ours, program
from provision.errors import CommandFailed, CommandMissing, HomeError, UsageError
from provision.output.result import Picture, Result, Words, answer
from provision.output.safe_streams import rest

if TYPE_CHECKING:
    from provision.core.step import Context
    from provision.output.layout import Line
    from provision.steps.first_image.step import Picture as Image

FROM_STDIN = "-"
NAME_FILE = Fix("Name a file: --output fox.png")
PROMPT_MAX = 20_000
"""Letters: SDXL reads the first 77 words of each piece, and nobody writes as many."""
WORDS_MAX = 40
"""Characters of the prompt in a file's name."""


@dataclass(frozen=True, slots=True)
class Made:
    """An image that was made; `judgement` says why it counts as one."""

    path: str
    prompt: str
    seed: int
    seconds: float
    judgement: str


@dataclass(frozen=True, slots=True)
class Pictures:
    """Every image, in the order of the prompts."""

    images: tuple[Made, ...]


def image_wishes(overrides: Sequence[str], steps: int | None, size: str | None) -> list[str]:
    """`--steps` and `--size` as manifest overrides. Raises UsageError."""
    wishes = [] if steps is None else [f"first_image.steps={steps}"]
    if size is not None:
        width, _, height = size.lower().partition("x")
        if not width.isdigit() or not (height or width).isdigit():
            raise UsageError(f"--size {size!r} is not N or WxH.", hint=Fix("As in: --size 512, or --size 768x512"))
        wishes += [f"first_image.width={width}", f"first_image.height={height or width}"]
    return wishes + list(overrides)


def ask(
    request: Request,
    *,
    steps: Annotated[
        int | None, Option("--steps", metavar="N", min=1, max=100, help="1 to 4 for SDXL-Turbo (default: 1).")
    ] = None,
    size: Annotated[
        str | None, Option("--size", metavar="N|WxH", help="Pixels, multiples of 8 (default: 512).")
    ] = None,
) -> Request:
    """`--steps` and `--size` as keys of the manifest. Raises UsageError."""
    return replace(request, overrides=image_wishes(request.overrides, steps, size))


def generate(
    at: Session,
    *,
    prompt: Annotated[str, Argument(metavar="PROMPT", help="The prompt; - reads one per line from standard input.")],
    output: Annotated[
        Path | None, Option("-o", "--output", metavar="FILE", help="Where the PNG goes (default: a new file here).")
    ] = None,
    seed: Annotated[
        int | None, Option("--seed", metavar="N", min=0, max=2**63, help="Seed of the first image (default: random).")
    ] = None,
    count: Annotated[int, Option("--count", metavar="N", min=1, max=1000, help="Number of images per prompt.")] = 1,
    open_it: Annotated[bool, Option("--open", help="Open each image in the system's viewer.")] = False,
) -> Result:
    """`count` images of each prompt, each shown as soon as it is made; those that were made are kept on an error.

    Raises UsageError where there is no prompt, and what making an image raises.
    """
    from provision.cli.server import bring_up
    from provision.comfyui.attention_limit import check_size
    from provision.comfyui.workflow_graph import SEED_LIMIT

    prompts = _prompts(at.ctx, prompt)
    if (first := next(prompts, None)) is None:
        raise UsageError("No prompt on standard input.", hint=ours("generate", "a red fox in snow"))
    place = place_of(output, alone=count == 1 and prompt != FROM_STDIN)
    check_size(at.ctx, at.ctx.manifest.first_image, lambda w, h: ours("generate", "--size", size_word(w, h), prompt))
    if not (server := bring_up(at)).ok:
        return server
    if not place.exact or place.is_folder:
        at.ctx.note(f"Saving to {place.path if place.is_folder else place.path.parent}")
    seeds = [None if seed is None else (seed + number) % max(SEED_LIMIT, seed + 1) for number in range(count)]
    made = [_one(at, place, words, each, open_it=open_it) for words in chain([first], prompts) for each in seeds]
    return answer(Pictures(tuple(made)), changed=True)


def size_word(width: int, height: int) -> str:
    """A size as `--size` takes it."""
    return str(width) if width == height else f"{width}x{height}"


def _prompts(ctx: Context, prompt: str) -> Iterator[str]:
    """The prompt on the command line, or each line of standard input as it comes. Raises UsageError."""
    if prompt != FROM_STDIN:
        if len(prompt) > PROMPT_MAX:
            raise UsageError(f"The prompt has more than {PROMPT_MAX:,} characters.", hint=ours("generate", "a red fox"))
        if not prompt.strip():
            raise UsageError("The prompt is empty.", hint=ours("generate", "a red fox in snow"))
        yield _text(prompt)
        return
    if sys.stdin is None or sys.stdin.closed:
        return
    if sys.stdin.isatty():
        rest()
        ctx.note("One prompt per line; Ctrl-D to finish.")
    if isinstance(sys.stdin, io.TextIOWrapper):  # `_text` refuses invalid bytes; they must not be replaced
        sys.stdin.reconfigure(errors="surrogateescape")
    while line := sys.stdin.readline(PROMPT_MAX + 2):
        if len(line) > PROMPT_MAX and not line.endswith("\n"):
            raise UsageError(
                f"A prompt has more than {PROMPT_MAX:,} characters.", hint=Fix("Write one prompt per line.")
            )
        if line.strip():
            yield _text(line.strip())


def _text(prompt: str) -> str:
    """The prompt. Raises UsageError where it is not UTF-8."""
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise UsageError("The prompt is not text (UTF-8).", hint=ours("generate", "a red fox in snow")) from error
    return prompt


@dataclass(frozen=True, slots=True)
class Place:
    """Where images go: `path` is a folder, a file to overwrite (`exact`), or a name that gets numbers."""

    path: Path
    is_folder: bool
    exact: bool

    def keep(self, prompt: str, png: bytes) -> Path:
        """Write an image; returns its path. Raises HomeError, DiskFull."""
        from provision.comfyui.saved_pictures import keep_as, keep_new

        if self.is_folder:
            return keep_new(self.path, words_of(prompt), ".png", png)
        if self.exact:
            return keep_as(self.path, png)
        return keep_new(self.path.parent, self.path.stem, self.path.suffix or ".png", png)


def place_of(output: Path | None, *, alone: bool) -> Place:
    """Where images go, refused before an image is made where it cannot be written.

    A named file is overwritten only by one image `alone`. Raises UsageError, HomeError, DiskFull.
    """
    from provision.comfyui.saved_pictures import check_folder

    try:
        path = (output or Path()).absolute()
        is_folder = path.is_dir()
        folder = path if is_folder else path.parent
        if not folder.is_dir():
            raise UsageError(f"No such folder: {folder}.", hint=program("mkdir", "-p", str(folder)))
        if not is_folder and path.exists() and not path.is_file():
            raise UsageError(f"{path} is not a file.", hint=NAME_FILE)
    except FileNotFoundError as error:
        raise HomeError("The current folder no longer exists.", hint=program("cd", "~")) from error
    except OSError as error:
        raise HomeError(f"{output} is not usable ({error.strerror}).", hint=NAME_FILE) from error
    check_folder(folder)
    return Place(path, is_folder, alone)


def _one(at: Session, place: Place, prompt: str, seed: int | None, *, open_it: bool) -> Made:
    from provision.core.events import ImageMade
    from provision.steps.first_image.step import check_ready, make_image, rejection

    ctx = at.ctx.stamped("generate")
    check_ready(ctx)
    made = make_image(ctx, replace(ctx.manifest.first_image, prompt=prompt), prompt, seed)
    if (error := rejection(made)) is not None:
        raise error
    target, seconds = place.keep(prompt, made.png), round(made.seconds, 3)
    ctx.emit(ImageMade(path=str(target), seconds=seconds))
    at.console.tell(Picture(made.png))
    at.console.tell(Words(_made(target, made, judged=at.request.verbose)))
    if open_it:
        _show(ctx, target)
    return Made(str(target), prompt, made.seed, seconds, made.judgement.says)


def _made(target: Path, made: Image, *, judged: bool) -> Line:
    """Where an image is, and how it was made; what it was judged by where that is wanted."""
    from provision.output.amounts import time_text
    from provision.output.layout import KEPT, line

    judgement = f"; {made.judgement.says}" if judged else ""
    return line((str(target), KEPT), f"  (seed {made.seed}, {time_text(made.seconds)}{judgement})")


def words_of(prompt: str) -> str:
    """A file's name from the first words of a prompt."""
    return "".join(c if c.isalnum() else "-" for c in prompt.lower()[:WORDS_MAX]).strip("-") or "picture"


def _show(ctx: Context, path: Path) -> None:
    """Open an image in the system's viewer, or say that there is none."""
    opener = "/usr/bin/open" if ctx.machine.system == "Darwin" else ctx.machine.which("xdg-open")
    if opener is not None:
        with suppress(CommandMissing, CommandFailed):
            if ctx.machine.run([opener, path], timeout_s=10).ok:
                return
    ctx.note(f"No program found to open {path.name}.")


app = command("generate", generate, ASKING | {"precision"}, ask)
