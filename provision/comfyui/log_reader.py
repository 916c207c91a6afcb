"""What a whole log means: every known sign in it, once, with its line; where none is known, its last exception.

`log_signatures` is the table of signs, `log_digest` takes the lines that may matter out of a log of any size. Here is
also which part of ComfyUI's log is still about now: its last run, and in it the last prompt. What ComfyUI prints is in
its main.py, nodes.py and execution.py.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from provision.comfyui.error_signatures import SIGNATURES, Signature, node_at_end, short
from provision.comfyui.log_digest import Digest, digest
from provision.comfyui.log_signatures import (
    BLACK,
    DATABASE,
    FAILED_EXTRA,
    FAILED_NODE,
    HARMLESS,
    LOG_SIGNATURES,
    UNLISTED,
)
from provision.command import Fix, ours, program
from provision.core.finding import Kind
from provision.system.visible import uncoloured

STARTED = re.compile(r"Total VRAM \d+ MB, total RAM \d+ MB")
"""Printed once by each ComfyUI that starts."""
SERVING = "Starting server"
PROMPT = "got prompt"
ENDED_WELL = "Prompt executed in"
REFUSED = ("Processing interrupted", "invalid prompt", "Failed to validate prompt")
EXCEPTION = "!!! Exception during processing"
TRACEBACK = "Traceback (most recent call last)"
OWN_HEADER = re.compile(r"^--- \d{4}-\d\d-\d\d [\d:]+ provision ")
OWN_FINDING = re.compile(r"^\w*: \[(?:warn|fixable|blocked)\] ([a-z0-9-]+) (.*)$", re.MULTILINE)
BOUNDARY = re.compile("|".join((EXCEPTION, "Cannot import ", PROMPT, SERVING, ENDED_WELL)))
"""Lines beyond which a traceback does not reach."""
GAP_LINES, REACH_LINES = 5, 80
"""Between two lines of one traceback (frame, code, carets); of a whole traceback."""
NEAR_LINES = 30
IMPORTED = re.compile(FAILED_NODE.pattern)
PROGRAM_LINES = 20
PROGRAM_ENDED_WELL = re.compile(r"Successfully installed|Installed \d+ packages|saved \[(\d+)/\1\]|HEAD is now at")
IS_HARMLESS = re.compile(HARMLESS)
RAISED = re.compile(
    r"!!! Exception during processing ?!!! *(?P<node>.*)|\*\*Exception Message:\*\* *(?P<report>.*)"
    r"|(?:^|[\s\]>|])(?P<error>(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Failure|Timeout|Died|NotFound)\b(?::.*|$))"
    r"|^\W{0,4}(?:\w{1,20}: )?(?:fatal(?: error)?|[Ee]rror|ERROR|curl): +(?P<program>.*)"
    r"|\[(?:error|ERROR)\] +(?P<app>.*)|^ *[×x] (?P<uv>[A-Z].*)"
)
ENDED_BY_HAND = re.compile(r"ConnectionResetError|BrokenPipeError|CancelledError|ClientDisconnected")
UNKNOWN = Fix("Search for these words in ComfyUI's issues, or look at everything here:", ours("doctor", "--deep"))
PACKAGE = re.compile(r"(?:site|dist)-packages[/\\]([\w.-]+)")


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
    """As `read_pieces`, of a text that is held already."""
    return read_pieces([text.encode("utf-8", "replace")], kinds)


def read_pieces(pieces: Iterable[bytes], kinds: Iterable[Kind] = ()) -> list[Sign]:
    """Every known sign in a log of ComfyUI, of this tool or of others, each meaning once, in the order of its lines.

    Where none is known: the last exception. Of a log of this tool only the last run is read: what earlier runs found is
    mended by now, or found again. `kinds` are the findings of this tool.
    """
    log, table = Log(digest(pieces)).last_own_run(), (*LOG_SIGNATURES, *SIGNATURES)
    signs = _each_once(chain(log.own_findings(kinds), log.signs(each for each in table if not each.follows)))
    signs += [sign for sign in _each_once(log.signs(each for each in table if each.follows)) if not _said(sign, signs)]
    return sorted(signs, key=lambda sign: sign.line) or [*log.last_exception()]


def signs_of(text: str, signatures: Iterable[Signature]) -> list[Sign]:
    """The signs of some signatures alone, each meaning once, in the order of the signatures."""
    found = Log(digest([text.encode("utf-8", "replace")])).signs(signatures)
    return list({(sign.id, sign.says): sign for sign, _ in found}.values())


def _said(sign: Sign, signs: Iterable[Sign]) -> bool:
    """Whether other signs say more than one that may only follow from them: of the same custom node, or near it."""
    if sign.id == "node-failed":
        return any(other.node == sign.node for other in signs)
    return any(abs(other.line - sign.line) <= NEAR_LINES for other in signs)


def _each_once(found: Iterable[tuple[Sign, range]]) -> list[Sign]:
    """Each meaning at its first line; a line is explained once, by what comes first."""
    taken: set[int] = set()
    signs: dict[tuple[str, str], Sign] = {}
    for sign, lines in found:
        if taken.isdisjoint(lines):
            key = (sign.id, sign.says)
            signs[key] = min(signs.get(key, sign), sign, key=lambda each: each.line)
        taken.update(lines)
    return sorted(signs.values(), key=lambda sign: sign.line)


class Log:
    """The lines of a log that may matter, as one text whose places can be told as lines."""

    def __init__(self, kept: Digest) -> None:
        self.lines = ["" if IS_HARMLESS.match(line) else line for line in kept.lines]
        self.numbers = kept.numbers
        self.text = "\n".join(self.lines)
        self._good = good_parts(self.lines)
        self._ends = [found.start() for found in re.finditer("\n", self.text)]

    def last_own_run(self) -> Log:
        """The part that the last run of this tool wrote; all where it wrote none of it."""
        start = max((at for at, line in enumerate(self.lines) if OWN_HEADER.match(line)), default=0)
        return Log(Digest(self.lines[start:], self.numbers[start:])) if start else self

    def at(self, place: int) -> int:
        """The line of a place in the text, by its place among the lines."""
        return bisect.bisect_left(self._ends, place)

    def own_findings(self, kinds: Iterable[Kind]) -> Iterator[tuple[Sign, range]]:
        """The findings that this tool wrote into its log."""
        known = {kind.id: kind for kind in kinds}
        for found in OWN_FINDING.finditer(self.text):
            about, at = known.get(found[1]), self.at(found.start())
            if about is not None:
                says = found[2].partition(": ")[2] or found[2]
                sign = Sign(self.numbers[at], about.id, says.rstrip("."), Fix(about.remedy), found[0])
                yield sign, range(at, at + 1)

    def signs(self, signatures: Iterable[Signature]) -> Iterator[tuple[Sign, range]]:
        """Each match with the lines that it explains; a traceback before a custom node's failure is that failure's."""
        for signature in signatures:
            if not re.search(signature.beside, self.text):
                continue
            for found in re.compile(signature.pattern, re.MULTILINE).finditer(self.text):
                first, last = self.at(found.start()), self.at(max(found.start(), found.end() - 1))
                sign = self._sign(signature, found, last) if signature.lasts or not self.went_well(last) else None
                if sign is not None:
                    yield sign, range(self._begin(last) if signature is FAILED_NODE else first, last + 1)

    def _sign(self, signature: Signature, found: re.Match[str], at: int) -> Sign | None:
        """What a match means with what stands around it; None where that rules it out."""
        before, after = self.traceback(at)
        near, node = re.search(signature.near, f"{before}\n{after}"), self.node_of(at, before, after)
        if near is None or (signature.in_node and not node):
            return None
        says, hint = signature.says_of(found, near), signature.hint_of(found)
        if signature.id == "node-failed":
            node = found[1]
        elif node:
            says += f" (in the custom node {node})"
            hint = of_node(node) if signature.blames_node else hint
        return Sign(self.numbers[at], signature.id, says, hint, self.lines[at].strip(), node)

    def traceback(self, at: int) -> tuple[str, str]:
        """The lines of one traceback up to a line, and those after it: what stands close together."""
        low = high = at
        while low and at - low < REACH_LINES and self.numbers[low] - self.numbers[low - 1] <= GAP_LINES:
            if BOUNDARY.search(self.lines[low - 1]) or EXCEPTION in self.lines[at]:
                break
            low -= 1
        while high + 1 < len(self.lines) and high - at < REACH_LINES:
            if self.numbers[high + 1] - self.numbers[high] > GAP_LINES or BOUNDARY.search(self.lines[high + 1]):
                break
            high += 1
        return "\n".join(self.lines[low : at + 1]), "\n".join(self.lines[at + 1 : high + 1])

    def node_of(self, at: int, before: str, after: str) -> str:
        """The custom node whose code a traceback ends in, or which could not be imported for it."""
        for line in self.lines[at : at + GAP_LINES]:
            if found := IMPORTED.search(line):
                return found[1]
        return node_at_end(before if 'File "' in before else after)

    def _begin(self, at: int) -> int:
        """The first line of the traceback that ends just above a line; the line itself where there is none."""
        begin = at - self.traceback(at)[0].count("\n")
        return max((low for low in range(begin, at) if TRACEBACK in self.lines[low]), default=begin)

    def went_well(self, at: int) -> bool:
        """Whether a line lies in a part that came to a good end."""
        return any(first <= at <= last for first, last in self._good)

    def last_exception(self) -> Iterator[Sign]:
        """The exception that the log ends with: whose code it came from, and what it says."""
        for at in range(len(self.lines) - 1, -1, -1):
            raised = RAISED.search(self.lines[at])
            if raised is None or self.went_well(at) or ENDED_BY_HAND.search(self.lines[at]):
                continue
            said = next(group for group in raised.groups() if group is not None).strip()
            before, after = self.traceback(at)
            frames = before if 'File "' in before else after
            node, packages = self.node_of(at, before, after), PACKAGE.findall(frames)
            where = f"the custom node {node}" if node else f"the package {packages[-1]}" if packages else ""
            says = f"{where} failed: {said}" if where else f"it ended with: {said}"
            hint, text, in_node = of_node(node) if node else UNKNOWN, self.lines[at].strip(), node or raised["node"]
            yield Sign(self.numbers[at], "node-error" if in_node else "unknown-error", short(says), hint, text, node)
            return


def good_parts(lines: list[str]) -> list[tuple[int, int]]:
    """First and last lines of what came to a good end: a start of ComfyUI, a prompt, pip, uv, git or wget."""
    parts: list[tuple[int, int]] = []
    started, prompt, served = 0, -1, False
    for at, line in enumerate(lines):
        if STARTED.search(line) and served:
            started = at
        if PROMPT in line or EXCEPTION in line:
            prompt = at if PROMPT in line else -1
        if SERVING in line:
            parts.append((started, at))
            served = True
        if ENDED_WELL in line and prompt >= 0:
            parts.append((prompt, at))
        if PROGRAM_ENDED_WELL.search(line):
            parts.append((at - PROGRAM_LINES, at))
    return parts


def of_node(node: str) -> Fix:
    """What to do about a custom node."""
    folder = f"ComfyUI/custom_nodes/{node}"
    return Fix("Update the custom node, or disable it:", program("mv", folder, f"{folder}.disabled"))


# -- which part is about now ------------------------------------------------------------------------------------


def last_run(text: str) -> str:
    """The part of ComfyUI's log that its last start wrote; a log that was begun anew by it is all its own."""
    text = uncoloured(text)
    starts = [found.start() for found in STARTED.finditer(text)]
    return text[starts[-1] :] if len(starts) > 1 else text


def start_signs(run: str) -> list[Sign]:
    """What went wrong while the server came up; where it never did, why."""
    before, came_up, _ = run.partition(SERVING)
    if came_up:
        return signs_of(before, (FAILED_NODE, FAILED_EXTRA, *DATABASE))
    return read_log(before)


def import_signs(text: str, *, ended_well: bool) -> list[Sign]:
    """What ComfyUI's quick test says: what it goes on without; where it ended badly, all that is known."""
    return signs_of(text, (FAILED_NODE, FAILED_EXTRA, *DATABASE)) if ended_well else read_log(text)


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
