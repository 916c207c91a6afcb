"""`plan --commands`: what `all` would do on this machine, as a shell script with pip, git and curl.

Values from a manifest and paths are quoted; this tool never runs the script.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from provision import __version__
from provision.cli.about import licence_says
from provision.comfyui.server_process import server_argv
from provision.comfyui.workflow_graph import listed_name, prompt_graph
from provision.core.finding import Finding, Verdict
from provision.core.step import Context, Report, StepReport
from provision.download.backend import HubFile
from provision.download.backends.auto import choose
from provision.download.hub.mirrors import endpoints_of
from provision.download.model_files import WantedFile, subject_of, wanted_files
from provision.download.source_archive import archive_address, by_archive, find_revision
from provision.environment.packages import find_uv
from provision.errors import CommandMissing
from provision.output.hints import HERE, Invocation
from provision.steps.torch.place import has_nvidia
from provision.steps.workflow import first_page
from provision.steps.workflow.step import wanted_workflow, workflow_path
from provision.system.visible import shell_word, shell_words

Writer = Callable[[Context, Finding], Iterator[str]]
ORDER = (
    *("hardware", "tools", "python_env", "torch", "comfyui", "requirements"),
    *("models", "workflow", "server", "first_image"),
)
PYTHON = '"$python"'
PREFIX = "by-hand"
SEED = 20231128
"""The day on which SDXL-Turbo came out; any seed will do."""
START_TRIES, IMAGE_TRIES = 180, 1800
"""Seconds that the script waits for the server and for the image."""


def script(ctx: Context, report: Report, call: Invocation = HERE) -> str:
    """The script. Raises GitError where the revision of ComfyUI cannot be looked up, ManifestError."""
    steps = {step.name: step for step in report.steps}
    sections = [_section(ctx, steps[name], call) for name in ORDER if name in steps]
    return "\n\n".join("\n".join(lines) for lines in (_head(ctx), *sections)) + "\n"


def _head(ctx: Context) -> Iterator[str]:
    yield "#!/bin/sh"
    yield f"# What `provision all` (version {__version__}) would do on this machine, by hand."
    yield _comment(licence_says(ctx.manifest))
    yield "set -eu"
    yield f"home={shell_word(str(ctx.home.root))}"
    yield f"comfyui={_below_home(ctx, ctx.home.comfyui)}"
    yield f"python={_below_home(ctx, ctx.home.python)}"
    yield 'mkdir -p "$home/logs"'


def _comment(text: str) -> str:
    return "# " + " ".join(text.split())


def _section(ctx: Context, step: StepReport, call: Invocation) -> Iterator[str]:
    todo = [finding for finding in step.findings if finding.verdict in (Verdict.FIXABLE, Verdict.BLOCKED)]
    if not todo:
        yield f"# {step.name}: nothing to do"
        return
    for finding in todo:
        yield _comment(f"{step.name}: {finding.says}")
        write = WRITERS.get(finding.id)
        if write is not None:
            yield from write(ctx, finding)
        elif finding.fix is not None:
            yield _comment(finding.fix.says)
            if finding.fix.command is not None:
                yield call.text(finding.fix.command)


def _venv(ctx: Context, finding: Finding) -> Iterator[str]:
    if finding.id != "venv-missing":
        yield from _aside('"$home/venv"')
    python = _python_here(ctx)
    if python is not None:
        yield f'{shell_word(str(python))} -m venv "$home/venv"'
        return
    yield f"# There is no Python {ctx.manifest.python.version} with venv here: uv brings one."
    words = [str(find_uv(ctx.machine)), "venv", "--seed", "--python", ctx.manifest.python.version]
    yield f'{shell_words(words)} "$home/venv"'


def _aside(quoted: str) -> Iterator[str]:
    yield f'mkdir -p "$home/moved-aside" && mv {quoted} "$home/moved-aside/by-hand-$$"'


def _python_here(ctx: Context) -> Path | None:
    """A Python of the wanted version and this machine's architecture that can make environments."""
    path = ctx.machine.which(f"python{ctx.manifest.python.version}")
    if path is None:
        return None
    ask = "import ensurepip, venv, platform; print(platform.machine())"
    try:
        ran = ctx.machine.run([path, "-I", "-c", ask], timeout_s=20)
    except CommandMissing:
        return None
    return path if ran.ok and ran.out.strip() == ctx.machine.arch else None


def _torch(ctx: Context, finding: Finding) -> Iterator[str]:
    torch = ctx.manifest.torch
    nightly = torch.channel == "nightly" or ".dev" in torch.channel
    index = torch.nightly_index if nightly else torch.stable_index
    pin = "" if torch.channel in ("nightly", "stable") else f"=={torch.channel}"
    words = ["install", "--upgrade", *(["--pre"] if nightly else []), f"torch{pin}", "torchvision"]
    yield _pip(*words, *(["--index-url", index] if index else []))


def _pip(*words: str) -> str:
    return f"{PYTHON} -m pip {shell_words(words)}"


def _requirements(ctx: Context, finding: Finding) -> Iterator[str]:
    yield f"{PYTHON} -m pip list --format freeze | grep -E '^torch(vision|audio)?==' >\"$home/held.txt\""
    yield f'{PYTHON} -m pip install -r "$comfyui/requirements.txt" -c "$home/held.txt"'


def _comfyui(ctx: Context, finding: Finding) -> Iterator[str]:
    comfy, folder = ctx.manifest.comfyui, ctx.home.comfyui
    revision = find_revision(ctx, comfy.url, comfy.ref)
    if by_archive(ctx, comfy.url):
        yield 'mkdir -p "$comfyui"'
        address = shell_word(archive_address(comfy.url, revision))
        yield f'curl -fsSL {address} | tar -xz --strip-components 1 -C "$comfyui"'
        return
    names = {"tag": f"refs/tags/{revision.name}", "branch": f"refs/heads/{revision.name}"}
    if revision.kind != "commit" and not folder.exists():
        words = ["git", "clone", "--depth", "1", "--branch", revision.name, "--", comfy.url]
        yield f'{shell_words(words)} "$comfyui"'
        return
    yield 'git init --quiet "$comfyui"'
    yield f'git -C "$comfyui" fetch --depth 1 -- {shell_words([comfy.url, names.get(revision.kind, revision.name)])}'
    if finding.id == "comfyui-ref":
        yield 'git -C "$comfyui" stash'
    yield 'git -C "$comfyui" checkout --quiet FETCH_HEAD'


def _workflow(ctx: Context, finding: Finding) -> Iterator[str]:
    place = _below_home(ctx, workflow_path(ctx))
    yield f"mkdir -p {_below_home(ctx, workflow_path(ctx).parent)}"
    yield f"cat >{place} <<'WORKFLOW'"
    yield json.dumps(wanted_workflow(ctx))
    yield "WORKFLOW"
    if ctx.home.adopted is None:
        yield from _first_page(ctx, finding)


def _first_page(ctx: Context, finding: Finding) -> Iterator[str]:
    yield "# ComfyUI's page begins with it:"
    for path, text in first_page.wanted_files(ctx).items():
        yield f"mkdir -p {_below_home(ctx, path.parent)}"
        yield f"cat >{_below_home(ctx, path)} <<'PAGE'"
        yield text.rstrip("\n")
        yield "PAGE"


def _below_home(ctx: Context, path: Path) -> str:
    """A quoted path; one in the home begins with the script's variable for it."""
    if not path.is_relative_to(ctx.home.root):
        return shell_word(str(path))
    return f'"$home"/{shell_word(str(path.relative_to(ctx.home.root)))}'


def _server(ctx: Context, finding: Finding) -> Iterator[str]:
    flags = list(server_argv(ctx)[3:])
    if ctx.machine.system != "Darwin" and not has_nvidia(ctx) and "--cpu" not in flags:  # no receipt says so yet
        flags.append("--cpu")
    yield 'cd "$comfyui"'
    yield f'nohup {PYTHON} -s "$comfyui/main.py" {shell_words(flags)} >"$home/logs/comfyui.log" 2>&1 &'
    yield from _until(f"curl --silent --fail --output /dev/null {ctx.manifest.comfyui.page}/system_stats", START_TRIES)


def _until(condition: str, tries: int) -> Iterator[str]:
    yield "tries=0"
    yield f"until {condition}; do"
    yield "  tries=$((tries + 1))"
    yield f'  if [ "$tries" -gt {tries} ]; then tail "$home/logs/comfyui.log"; exit 1; fi'
    yield "  sleep 1"
    yield "done"


def _first_image(ctx: Context, finding: Finding) -> Iterator[str]:
    checkpoint = listed_name(*ctx.manifest.checkpoint(ctx.options.precision))
    graph = prompt_graph(ctx.manifest.first_image, checkpoint, SEED, PREFIX)
    yield "prompt=$(curl --silent --show-error --fail --header 'Content-Type: application/json' --data @- \\"
    yield f"  {ctx.manifest.comfyui.page}/prompt <<'PROMPT'"
    yield json.dumps({"prompt": graph})
    yield "PROMPT"
    yield ")"
    yield 'id=$(printf \'%s\' "$prompt" | sed \'s/.*"prompt_id": *"\\([^"]*\\)".*/\\1/\')'
    yield from _until(f'curl --silent "{ctx.manifest.comfyui.page}/history/$id" | grep -q \'"status"\'', IMAGE_TRIES)
    yield f'for picture in "$comfyui"/output/{PREFIX}_*.png; do cp "$picture" "$home/first-image.png"; done'
    yield "printf 'Picture: %s\\nComfyUI: %s\\n' \"$home/first-image.png\" " + ctx.manifest.comfyui.page


def _model(ctx: Context, finding: Finding) -> Iterator[str]:
    wanted = _wanted(ctx, finding)
    place, part = _below_home(ctx, wanted.place), _below_home(ctx, wanted.place.with_name(f"{wanted.place.name}.part"))
    yield f"mkdir -p {_below_home(ctx, wanted.place.parent)}"
    if finding.id != "ckpt-missing":
        yield from _aside(place)
    if finding.paths:
        yield f"cp {shell_word(str(finding.paths[0]))} {part}"
    else:
        model, size, sha256 = wanted.model, wanted.size or 0, wanted.sha256 or ""
        remote = HubFile(endpoints_of(ctx)[0], model.repo, model.revision, wanted.file.path, size, sha256)
        yield from choose(ctx)[0].script(ctx, remote, part)
    if wanted.sha256:
        yield _check_sum(ctx, wanted, part)
    yield f"mv {part} {place}"


def _wanted(ctx: Context, finding: Finding) -> WantedFile:
    return next(each for each in wanted_files(ctx) if subject_of(ctx, each) == finding.subject)


def _check_sum(ctx: Context, wanted: WantedFile, quoted: str) -> str:
    sums = "shasum -a 256" if ctx.machine.system == "Darwin" else "sha256sum"
    return f"printf '%s  %s\\n' {wanted.sha256} {quoted} | {sums} -c -"


def _verify(ctx: Context, finding: Finding) -> Iterator[str]:
    wanted = _wanted(ctx, finding)
    if wanted.sha256:
        yield _check_sum(ctx, wanted, _below_home(ctx, wanted.place))


_OF_A_CHECKPOINT = ("ckpt-missing", "ckpt-bitrot", "ckpt-zeroed", "ckpt-other", "ckpt-truncated", "ckpt-deadlink")
_BY_STEP: Mapping[Writer, tuple[str, ...]] = {
    _venv: ("venv-missing", "venv-dangling", "py-rosetta", "py-too-old", "py-too-new", "py-bad-patch"),
    _torch: ("torch-missing", "torch-channel", "tv-mismatch", "torch-broken", "mps-numerics"),
    _comfyui: ("comfyui-missing", "comfyui-ref", "clone-partial"),
    _requirements: ("req-missing", "frontend-missing", "frontend-old"),
    _model: (*_OF_A_CHECKPOINT, "html-body", "lfs-pointer"),
    _verify: ("ckpt-unproven",),
    _workflow: ("workflow-missing", "workflow-old"),
    _first_page: ("page-chooser",),
    _server: ("server-down",),
    _first_image: ("first-image-missing", "first-image-stale"),
}
WRITERS: Mapping[str, Writer] = {id: write for write, ids in _BY_STEP.items() for id in ids}
"""What writes the commands for a finding, by its id; any other gets its fix as a comment."""
