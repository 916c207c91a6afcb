"""What a whole log means: every known sign in it, once, with its line.

`explain` says what one text means; here are the signs that only a log shows (a custom node that failed while the
server came up, a picture of no numbers), the words of other programs that people paste, and which part of ComfyUI's
log is still about now: its last run, and in it the last prompt. What ComfyUI prints is in its main.py, nodes.py and
execution.py.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain

from provision.comfyui.error_explanations import AGAIN, SIGNATURES, SMALLER, filled
from provision.command import Command, Fix, as_fix, ours, program
from provision.core.finding import Kind

UPCAST = ours("all", "--set", 'comfyui.args=["--force-fp16", "--force-upcast-attention"]')
LOGIN = program("hf", "auth", "login")
DISABLE = Fix("Rename its folder in ComfyUI/custom_nodes to end in .disabled, then:", ours("launch"))

FAILED_NODE = (
    "node-failed",
    r"Cannot import (?![^\n]*comfy_(?:extras|api_nodes)[/\\])(?:[^\n]*[/\\])?([^/\\\n]+?)"
    r" module for custom nodes: ([^\n]*)",
    "the custom node {0} could not be loaded ({1})", DISABLE,
)  # fmt: skip
FAILED_EXTRA = (
    "extras-failed", r"(?<!\()IMPORT FAILED: (nodes_\w+\.py)",
    "{0}, which comes with ComfyUI, could not be loaded: a package that it asks for is missing", AGAIN,
)  # fmt: skip
BLACK = (
    "black-image", r"invalid value encountered in cast",
    "the picture was computed to no numbers (NaN), and is black", UPCAST,
)  # fmt: skip
DATABASE = (
    "db-bad", r"Failed to initialize database[^\n]*file is not a database",
    "ComfyUI's database is damaged; it goes on without", ours("doctor", "--fix", "--yes"),
)  # fmt: skip

UNLISTED = (
    "ckpt-unlisted", r"Value not in list: ckpt_name: '([^']*)'",
    "ComfyUI does not see the checkpoint {0}", ours("doctor", "--fix"),
)  # fmt: skip
Signatures = tuple[tuple[str, str, str, Fix | Command], ...]

# As `explain.SIGNATURES`, for what the engine's own errors do not hold. What is narrow stands first.
LOG_SIGNATURES: Signatures = (
    FAILED_NODE, FAILED_EXTRA, BLACK, DATABASE, UNLISTED,
    ("mem-killed", r"(?:zsh|bash): killed|Killed: 9|^Killed$|leaked semaphore objects",
     "the system ended the program, most often because the memory was full", SMALLER),
    ("ckpt-deadlink", r"path (\S+) exists but doesn't link anywhere",
     "{0} is a link to something that is gone", ours("doctor", "--fix")),
    ("origin-403", r"request with non matching host and origin",
     "a page of another address asked, and ComfyUI refused it", Fix("Open the address that ComfyUI itself shows.")),
    ("numpy-abi", r"compiled using NumPy 1\.x cannot be run in|Numpy is not available",
     "this torch is too old for the NumPy beside it", ours("all", "--torch", "nightly")),
    ("omp-dup", r"OMP: Error #15",
     "two OpenMP libraries are loaded, as where conda and pip are mixed", ours("all", "--home", "~/provision")),
    ("py-rosetta", r"No matching distribution found for (comfy-angle|torch)\b",
     "there is no {0} for this Python: it is for Intel, too old or too new", ours("doctor")),
    ("nightly-gap", r"No matching distribution found for torchvision==(\S+dev\S+)",
     "the nightly torchvision {0} was never built for this machine", ours("all", "--torch", "nightly")),
    ("pip-managed", r"externally-managed-environment",
     "pip was asked to change the system's own Python, and refused", AGAIN),
    ("clt-stale", r"xcrun: error: invalid active developer path",
     "Apple's Command Line Tools are gone, as after an upgrade", program("xcode-select", "--install")),
    ("clt-missing", r"xcode-select: note: no developer tools were found",
     "Apple's Command Line Tools are missing", program("xcode-select", "--install")),
    ("xcode-license", r"not agreed to the Xcode license",
     "Xcode's license was not agreed to", program("sudo", "xcodebuild", "-license")),
    ("lfs-missing", r"git: 'lfs' is not a git command",
     "git-lfs is not installed", ours("all", "--backend", "auto")),
    ("venv-dangling", r"bad interpreter: No such file|Library not loaded: \S*[Pp]ython",
     "the Python of an environment is gone, as after an upgrade of it", AGAIN),
    ("git-owner", r"detected dubious ownership in repository",
     "the checkout belongs to another user", ours("doctor", "--only", "git-owner")),
    ("git-lock", r"Unable to create '[^']*\.lock': File exists",
     "a git that was killed left its lock behind", ours("doctor", "--fix")),
    ("hf-badtoken", r"Invalid credentials in Authorization header",
     "the Hugging Face token is wrong or has expired", LOGIN),
    ("hf-gated", r"requires approval|GatedRepo",
     "the repository asks for its terms to be accepted", Fix("Accept them on its page, then:", LOGIN)),
    ("hf-429", r"\b429 Too Many Requests",
     "the hub asks to wait", AGAIN),
    ("hf-offline", r"HF_HUB_OFFLINE|offline mode is enabled",
     "HF_HUB_OFFLINE keeps huggingface_hub from the network",
     program("unset", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")),
    ("hf-endpoint", r"missing the 'X-Repo-Commit' header",
     "what answered is not the hub: a mirror, or a login page of the network", program("unset", "HF_ENDPOINT")),
    ("tls-store", r"CERTIFICATE_VERIFY_FAILED[^\n]*unable to get local issuer|UnknownIssuer",
     "a certificate is not trusted here: a company's proxy, or a Python without certificates",
     program("export", "SSL_CERT_FILE=/path/to/ca.pem")),
    ("net-down", r"Name or service not known|nodename nor servname|Could not resolve host|Network is unreachable",
     "a host could not be reached", ours("doctor", "--only", "net-down")),
)  # fmt: skip

ANSI = re.compile(r"\x1b\[[0-9;]*m")
STARTED = re.compile(r"Total VRAM \d+ MB, total RAM \d+ MB")
"""Printed once by each ComfyUI that starts."""
SERVING = "Starting server"
PROMPT = "got prompt"
ENDED_WELL = "Prompt executed in"
REFUSED = ("Processing interrupted", "invalid prompt", "Failed to validate prompt")
EXCEPTION = "!!! Exception during processing"
TRACEBACK = "Traceback (most recent call last)"
OWN_HEADER = re.compile(r"^--- \d{4}-\d\d-\d\d [\d:]+ provision ", re.MULTILINE)
OWN_FINDING = re.compile(r"^\w*: \[(?:warn|fixable|blocked)\] ([a-z0-9-]+) (.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Sign:
    """A known sign in a log: its line (1 is the first), the catalogue's id, what it means, what to run next."""

    line: int
    id: str
    says: str
    hint: Fix
    text: str
    node: str = ""
    """The custom node that it is about, by the name of its folder."""


def read_log(text: str, kinds: Iterable[Kind] = ()) -> list[Sign]:
    """Every known sign in a log of ComfyUI or of this tool, each meaning once, in the order of its lines.

    Of a log of ours only the last run is read: what earlier runs found is mended by now, or found again. `kinds` are
    the findings that may stand there.
    """
    log = _Log(ANSI.sub("", text))
    start = max((found.start() for found in OWN_HEADER.finditer(log.text)), default=0)
    taken: set[int] = set()
    signs: dict[tuple[str, str], Sign] = {}
    for sign, lines in chain(
        log.own_findings({kind.id: kind for kind in kinds}, start), log.signs((*LOG_SIGNATURES, *SIGNATURES), start)
    ):
        if taken.isdisjoint(lines):
            signs.setdefault((sign.id, sign.says), sign)
        taken.update(lines)
    return sorted(signs.values(), key=lambda sign: sign.line)


def signs_of(text: str, signatures: Signatures) -> list[Sign]:
    """The signs of some signatures alone, each meaning once."""
    found = {(sign.id, sign.says): sign for sign, _ in _Log(ANSI.sub("", text)).signs(signatures)}
    return list(found.values())


class _Log:
    """A text whose places can be told as lines."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._ends = [found.start() for found in re.finditer("\n", text)]

    def line_at(self, place: int) -> int:
        """The number of the line of a place."""
        return bisect.bisect_left(self._ends, place) + 1

    def line(self, number: int) -> str:
        """A line by its number."""
        start = self._ends[number - 2] + 1 if number > 1 else 0
        return self.text[start : self._ends[number - 1] if number <= len(self._ends) else None].strip()

    def own_findings(self, kinds: Mapping[str, Kind], start: int) -> Iterator[tuple[Sign, range]]:
        """The findings that this tool wrote into its log."""
        for found in OWN_FINDING.finditer(self.text, start):
            about, line = kinds.get(found[1]), self.line_at(found.start())
            if about is not None:
                says = found[2].partition(": ")[2] or found[2]
                yield Sign(line, about.id, says.rstrip("."), Fix(about.remedy), found[0]), range(line, line + 1)

    def signs(self, signatures: Signatures, start: int = 0) -> Iterator[tuple[Sign, range]]:
        """Each match with the lines that it explains; a traceback before a custom node's failure is that failure's."""
        for id, pattern, says, hint in signatures:
            for found in re.compile(pattern, re.MULTILINE).finditer(self.text, start):
                first, last = self.line_at(found.start()), self.line_at(max(found.start(), found.end() - 1))
                sign = Sign(last, id, filled(says, found), as_fix(hint), self.line(last))
                if id == "node-failed":
                    sign, first = replace(sign, node=found[1]), self._traceback_before(first, start)
                yield sign, range(first, last + 1)

    def _traceback_before(self, line: int, start: int) -> int:
        """The first line of the traceback that ends just above a line; the line itself where there is none."""
        end = self._ends[line - 2] if line > 1 else 0
        begin = self.text.rfind(TRACEBACK, start, end)
        if begin < 0 or "Cannot import" in self.text[begin:end]:
            return line
        return self.line_at(begin)


# -- which part is about now ------------------------------------------------------------------------------------


def last_run(text: str) -> str:
    """The part of ComfyUI's log that its last start wrote; a log that was begun anew by it is all its own."""
    text = ANSI.sub("", text)
    starts = [found.start() for found in STARTED.finditer(text)]
    return text[starts[-1] :] if len(starts) > 1 else text


def start_signs(run: str) -> list[Sign]:
    """What went wrong while the server came up; where it never did, why."""
    before, came_up, _ = run.partition(SERVING)
    if came_up:
        return signs_of(before, (FAILED_NODE, FAILED_EXTRA, DATABASE))
    return read_log(before)


def import_signs(text: str, *, ended_well: bool) -> list[Sign]:
    """What ComfyUI's quick test says: what it goes on without; where it ended badly, all that is known."""
    return signs_of(text, (FAILED_NODE, FAILED_EXTRA, DATABASE)) if ended_well else read_log(text)


def missing_module(text: str) -> str:
    """The module for want of which a program ended, from its last traceback; empty where that is not why."""
    last = [line for line in text.splitlines() if line.strip()][-1:]
    found = re.search(r"ModuleNotFoundError: No module named '([\w.]+)'", last[0]) if last else None
    return found[1] if found else ""


def last_prompt(run: str) -> str:
    """What was said since the last prompt came; empty where none did."""
    return run.rpartition(PROMPT)[2] if PROMPT in run else ""


def prompt_signs(prompt: str) -> list[Sign]:
    """What went wrong with a prompt, known or not; nothing for one that ended well."""
    return [*picture_signs(prompt), *error_signs(prompt)]


def picture_signs(prompt: str) -> list[Sign]:
    """What is known of a prompt without an exception: a black picture, a checkpoint that is not seen."""
    return signs_of(prompt, (BLACK, UNLISTED))


def error_signs(prompt: str) -> list[Sign]:
    """The exception that a prompt ended with."""
    if EXCEPTION not in prompt:
        return []
    failed = prompt.rpartition(EXCEPTION)[2]
    said = failed.splitlines()[0].strip(" !") or "no reason"
    unknown = Sign(1, "node-error", f"a node failed: {said}", Fix(command=ours("logs")), said)
    return signs_of(failed, SIGNATURES)[:1] or [unknown]


def is_cut_off(prompt: str) -> bool:
    """Whether a prompt neither ended nor failed: it still runs, or its server was killed."""
    return bool(prompt) and not any(word in prompt for word in (ENDED_WELL, EXCEPTION, *REFUSED))
