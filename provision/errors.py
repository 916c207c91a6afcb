"""Every way in which the tool can fail, with its code, its exit code and a hint for the person.

A `ProvisionError` is an `apply` that could not finish or words on the command line that cannot be used.
An unhealthy machine is not an error: it is a `Finding`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, TypeVar

from provision.command import Command, Fix, as_fix

EXIT_OK = 0
EXIT_UNSATISFIED = 1
EXIT_USAGE = 2
EXIT_BUG = 3
EXIT_INTERRUPTED = 130


class Passing(StrEnum):
    """Why a failure may be over in a while: what is worth waiting for (see `core.patience`)."""

    RATE_LIMIT = "rate_limit"
    BUSY = "busy"
    """The server says so (408, 5xx), or another program is at work."""
    NETWORK = "network"
    """Nobody answers, or stops in the middle."""
    NAME = "name"
    """The resolver knows no such host, and does know others."""
    ANSWER = "answer"
    """The answer does not fit the question: a login page, another range."""


@dataclass(frozen=True, slots=True)
class ErrorJson:
    """Why something failed: a code that never changes, a sentence, what to do next, and that as argv."""

    code: str
    message: str
    hint: Fix
    argv: Command | None


class ProvisionError(Exception):
    """The root: `message` says what happened, `hint` what to do next.

    `passing` is None for what stays as it is; `wait_s` are the seconds that a server asks to wait.
    """

    code: ClassVar[str] = "failed"
    exit_code: ClassVar[int] = EXIT_UNSATISFIED
    passing: Passing | None = None

    def __init__(
        self, message: str, *, hint: Fix | Command, passing: Passing | None = None, wait_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = as_fix(hint)
        self.passing = passing or self.passing
        self.wait_s = wait_s

    @property
    def sentence(self) -> str:
        """The message with its full stop, so that another sentence can follow."""
        return self.message if self.message.endswith((".", "!", "?")) else f"{self.message}."

    def to_json(self) -> ErrorJson:
        """The error as it stands in `--json`."""
        return ErrorJson(self.code, self.message, self.hint, self.hint.command)


E = TypeVar("E", bound=ProvisionError)


def lasting(error: E) -> E:
    """The same failure, as one that stays as it is and is not waited for."""
    error.passing = None
    return error


class UsageError(ProvisionError):
    """Words on the command line that cannot be used."""

    code = "usage"
    exit_code = EXIT_USAGE


class ManifestError(ProvisionError):
    """A manifest, or a `--set`, that the strict loader refuses."""

    code = "manifest"
    exit_code = EXIT_USAGE


class LockError(ProvisionError):
    """A lock that the strict loader refuses, or that cannot be rebuilt on this machine."""

    code = "lock"
    exit_code = EXIT_USAGE


class BundleError(ProvisionError):
    """A bundle that is not whole, or lacks what this machine needs."""

    code = "bundle"
    exit_code = EXIT_USAGE


class HomeError(ProvisionError):
    """The home cannot be made, read or written."""

    code = "home"


class HomeLocked(ProvisionError):
    """Another provision works in this home."""

    code = "home_locked"


class ConsentNeeded(ProvisionError):
    """Something is installed only after a yes, and nobody was there to give it."""

    code = "consent_needed"


class CommandFailed(ProvisionError):
    """A program that was run ended badly."""

    code = "command_failed"


class CommandMissing(ProvisionError):
    """A program that is needed is not installed."""

    code = "command_missing"


class NetworkError(ProvisionError):
    """A host could not be reached, or stopped answering."""

    code = "network"
    passing: Passing | None = Passing.NETWORK


class HubRefused(ProvisionError):
    """The hub answered, and the answer is no (401, 403, 404, 429 ...)."""

    code = "hub_refused"


class DownloadError(ProvisionError):
    """The bytes did not come, or not all of them; the downloaded part is kept."""

    code = "download"
    passing: Passing | None = Passing.ANSWER


class WrongFile(ProvisionError):
    """What is offered or what arrived is not the file that the manifest names."""

    code = "wrong_file"


class DiskFull(ProvisionError):
    """The disk is full; what was written is kept."""

    code = "disk_full"


class GitError(ProvisionError):
    """Git could not bring or repair ComfyUI."""

    code = "git"


class PackageError(ProvisionError):
    """uv could not make the environment or install packages."""

    code = "packages"


class ProbeFailed(ProvisionError):
    """torch is installed and does not compute right."""

    code = "torch_probe"


class EngineError(ProvisionError):
    """ComfyUI did not start, or refused or failed the work; `finding` is the catalogue's id of why, if it is known."""

    code = "engine"

    def __init__(self, message: str, *, hint: Fix | Command, finding: str = "") -> None:
        super().__init__(message, hint=hint)
        self.finding = finding


class PortTaken(ProvisionError):
    """The port belongs to somebody else."""

    code = "port_taken"


class ImageRejected(ProvisionError):
    """An image came, and it is not a picture."""

    code = "image"


class OutputLost(ProvisionError):
    """Standard output takes no more: the disk of the file that it goes to is full, or gone."""

    code = "output"


class StartOver(ProvisionError):
    """What an earlier step made must be made otherwise: the wish is kept, and the run goes on from that step."""

    code = "start_over"

    def __init__(self, message: str, *, hint: Fix | Command, step: str) -> None:
        super().__init__(message, hint=hint)
        self.step = step


class NotSatisfied(ProvisionError):
    """A step applied its fix without an error, and its check still finds the fault: our bug."""

    code = "not_satisfied"


class Bug(ProvisionError):
    """Something that provision does not expect: our bug."""

    code = "bug"
    exit_code = EXIT_BUG


class Interrupted(ProvisionError):
    """Ctrl-C or SIGTERM: children are ended, partial work is kept."""

    code = "interrupted"
    exit_code = EXIT_INTERRUPTED


ERRORS: tuple[type[ProvisionError], ...] = (
    UsageError,
    ManifestError,
    LockError,
    BundleError,
    HomeError,
    HomeLocked,
    ConsentNeeded,
    CommandFailed,
    CommandMissing,
    NetworkError,
    HubRefused,
    DownloadError,
    WrongFile,
    DiskFull,
    GitError,
    PackageError,
    ProbeFailed,
    EngineError,
    PortTaken,
    ImageRejected,
    OutputLost,
    StartOver,
    NotSatisfied,
    Bug,
    Interrupted,
)
"""The registry: a test checks that each is raised somewhere and that no code stands twice."""
