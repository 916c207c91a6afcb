"""`docs/errors.md`: a paragraph for each code of an error, with an example that a test holds to the sources."""

from __future__ import annotations

from dataclasses import dataclass

from provision.errors import (
    ERRORS,
    EXIT_BUG,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_UNSATISFIED,
    EXIT_USAGE,
    Bug,
    BundleError,
    CommandFailed,
    CommandMissing,
    ConsentNeeded,
    DiskFull,
    DownloadError,
    EngineError,
    GitError,
    HomeError,
    HomeLocked,
    HubRefused,
    ImageRejected,
    Interrupted,
    LockError,
    ManifestError,
    NetworkError,
    NotSatisfied,
    OutputLost,
    PackageError,
    PortTaken,
    ProbeFailed,
    ProvisionError,
    StartOver,
    UsageError,
    WrongFile,
)

MAKE = "PROVISION_WRITE_DOCS=1 bin/test tests/unit/architecture/test_manual.py"
EXITS = {
    EXIT_OK: "everything is up to date",
    EXIT_UNSATISFIED: "something is missing, broken or failed",
    EXIT_USAGE: "usage error, or an invalid manifest or lock",
    EXIT_BUG: "a bug in provision",
    EXIT_INTERRUPTED: "interrupted",
}
MODEL = "sd_xl_turbo_1.0_fp16.safetensors"


@dataclass(frozen=True, slots=True)
class Paragraph:
    """What an error's code means and what to do about it, with a message and a hint as a person sees them."""

    error: type[ProvisionError]
    title: str
    text: str
    message: str
    hint: str


PARAGRAPHS: tuple[Paragraph, ...] = (
    Paragraph(
        UsageError, "The command line is wrong",
        "A flag has an invalid value, two flags exclude each other, or a file that you named does not "
        "exist. Nothing was "
        "changed. `provision help all` lists what `all` accepts.",
        "--limit-rate 'abc' is not a rate of at least 1k (bytes per second).", "As in: --limit-rate 5M",
    ),
    Paragraph(
        ManifestError, "The manifest, or a --set, is invalid",
        "An unknown key, a wrong type or a value out of range. The message names the key. See "
        "[manifests](manifests.md) for "
        "all keys; `provision manifests validate FILE` checks a file.",
        "--set comfyui.prot: unknown key.", "Nearest: comfyui.port",
    ),
    Paragraph(
        LockError, "The lock is invalid, or for another kind of machine",
        "`--locked` only accepts a file that provision wrote, on a machine of the same system, processor "
        "and Python. See "
        "[the same install on another Mac](lock.md).",
        "The lock has no commit of ComfyUI: it was made from a ComfyUI without git.", "provision all",
    ),
    Paragraph(
        BundleError, "The bundle is not complete, or does not fit",
        "`--from` reads only a bundle that `provision bundle` finished, and nothing of it without a matching sha256. A"
        " bundle is for one kind of machine and one Python, unless it was made with `--for`. `provision bundle --check"
        " DIR` names what is missing or damaged; making the bundle again writes only that: "
        "[Macs without internet](offline.md).",
        "The disk of /Volumes/USB is FAT32, which holds no file over 4 GiB, and sd_xl_turbo_1.0_fp16.safetensors has"
        " 6.9 GB.",
        "Format it as exFAT or APFS in Disk Utility, or use another disk.",
    ),
    Paragraph(
        HomeError, "The install folder is not usable",
        "It is a file, contains something not made by provision, or is not writable. Choose "
        "another with `--home`.",
        "The install folder /Users/you/provision is a file, not a folder.", "provision all --home ~/provision",
    ),
    Paragraph(
        HomeLocked, "Another provision is running",
        "Two commands never change one install folder at the same time. The message names the other one.",
        "This install folder is in use by `provision all` (pid 4242), since 10:15:00.",
        "Wait for it to finish, or use another folder: provision all --home DIR",
    ),
    Paragraph(
        ConsentNeeded, "A question could not be asked",
        "Something must be confirmed, such as an install with Homebrew, but there was no terminal, or the "
        "answer was no.",
        "Install wget with Homebrew? Confirmation needed, but no terminal.",
        "To answer yes to all questions: add --yes.",
    ),
    Paragraph(
        CommandFailed, "Another program failed",
        "The message ends with the program's own output. The full output is in `logs/provision.log`.",
        "wget could not write sd_xl.part: wget: Cannot write to file", "df -h /Users/you/provision/state/parts",
    ),
    Paragraph(
        CommandMissing, "A program is missing",
        "wget and git-lfs are needed for their backends only; without git, ComfyUI is downloaded as an archive. "
        "`provision doctor --fix` offers to install what is missing.",
        "wget is not installed.",
        "Install wget, or choose another backend: --backend http. brew install wget",
    ),
    Paragraph(
        NetworkError, "The network failed",
        "A host could not be reached or stopped answering, also after [waiting](networks.md). Downloads "
        "resume when you run "
        "the same command again. `provision doctor` checks all required hosts, the proxy and certificates.",
        "huggingface.co cannot be reached (Connection refused).",
        "Check the network, then run the same command again: the download resumes.",
    ),
    Paragraph(
        HubRefused, "Hugging Face said no",
        "The repository or file does not exist (404), is private or gated (401, 403), or there were too many "
        "requests (429). "
        "Check the name on huggingface.co; for a gated model accept its terms there and log in with `hf auth login`.",
        "huggingface.co requires a login (401): owner/model is private or does not exist.",
        "Set HF_TOKEN, or log in: hf auth login",
    ),
    Paragraph(
        DownloadError, "The download did not finish",
        "The downloaded part is kept, and every backend can resume it.",
        f"The download of {MODEL} stopped at 2,911,000,000 of 6,938,081,905 bytes; the downloaded part is kept.",
        "Run the same command again: it resumes there.",
    ),
    Paragraph(
        WrongFile, "The file is not the right one",
        "Its size, sha256 or content is not what the manifest lists: usually a mirror, a proxy that "
        "changes files, or a "
        "manifest with an old revision. The file is never used.",
        f"{MODEL} was downloaded twice, the second time with a wrong sha256 (0badc0ffee00, not e869ac7d6942); "
        "nothing was "
        "installed.",
        "A proxy may be changing the file: try another network, or: provision all --backend git-lfs",
    ),
    Paragraph(
        DiskFull, "The disk is full",
        "Free some space and run the same command again. `provision plan` shows how much is needed.",
        "The disk that holds /Users/you/provision is full; what was written so far is kept.",
        "Free some space, then run the same command again. df -h /Users/you/provision",
    ),
    Paragraph(
        GitError, "git could not download or repair ComfyUI",
        "The revision does not exist, another git is running, or git's configuration gets in the way; "
        "the message says which.",
        "https://github.com/Comfy-Org/ComfyUI has no tag or branch v99.", "provision all --comfyui latest",
    ),
    Paragraph(
        PackageError, "Python packages could not be installed",
        "uv could not reach the package index, found no wheel for this machine, or found no versions that fit "
        "together. The "
        "message ends with uv's output.",
        "torch could not be installed: the package index cannot be reached. uv's last output:\nerror: Failed to fetch",
        "Check the network or HTTPS_PROXY, or set a mirror with UV_DEFAULT_INDEX=URL; then run the command again.",
    ),
    Paragraph(
        ProbeFailed, "torch computes incorrectly",
        "Its results on the GPU differ from the CPU's, so images would be wrong. Another torch is tried "
        "automatically, unless "
        "you pinned one.",
        "torch 2.13.0 computes incorrectly on mps: group norm is off by 0.5, at most 0.01 is right.",
        "provision all --torch nightly",
    ),
    Paragraph(
        EngineError, "ComfyUI failed",
        "It did not start, exited, or rejected the workflow. `provision logs` shows its log, and "
        "`provision doctor` explains "
        "it.",
        "ComfyUI exited while making the image.", "provision logs",
    ),
    Paragraph(
        PortTaken, "The port is in use",
        "Another program uses ComfyUI's port. Close it, or choose another port; it is remembered.",
        "Port 8188 is used by a program that is not ComfyUI.", "provision all --set comfyui.port=8189",
    ),
    Paragraph(
        ImageRejected, "The image is black or noise",
        "ComfyUI made an image, but nothing can be seen in it. Other flags and stable torch were tried already.",
        "ComfyUI made an image, but it is not usable. It is black (mean 0.0 of 255). The decoder produced "
        "NaN, as fp16 does "
        "on some systems.",
        "provision doctor --deep",
    ),
    Paragraph(
        OutputLost, "The output could not be written",
        "The file or pipe that standard output goes to is full or gone.",
        "Standard output cannot be written (No space left on device).", "Check the disk that it is written to: df -h",
    ),
    Paragraph(
        StartOver, "An earlier step must be repeated",
        "You normally do not see this: the run continues with that step by itself. If it was interrupted "
        "there, run it again.",
        "The image is black: trying again with --force-upcast-attention.", "To continue: provision all",
    ),
    Paragraph(
        NotSatisfied, "A fix did not help",
        "A step fixed something without an error, and its check still finds the problem. This is a bug in provision.",
        "workflow: 'SDXL-Turbo 1.0' is missing. It was just fixed, and is still broken: this is a bug in provision.",
        "provision doctor --json",
    ),
    Paragraph(
        Interrupted, "Interrupted",
        "Ctrl-C, or the system asked provision to stop. Finished work is kept; the next run resumes.",
        "Stopped. Finished work is kept; the next run resumes here.", "Run the same command again to resume.",
    ),
    Paragraph(
        Bug, "A bug in provision",
        "Please report it, with the file that `provision doctor --report report.md` writes.",
        "This is a bug in provision (ValueError: x).", "Please report it with report.md",
    ),
    Paragraph(
        ProvisionError, "provision itself cannot work",
        "Its output cannot be written, as to a full disk, or a package of its own is gone.",
        "The output cannot be written (No space left on device).", "df -h .",
    ),
)  # fmt: skip

INTRODUCTION = f"""\
# Errors

<!-- Made from docs/generate/errors.py, whose examples a test holds to the sources: {MAKE} -->

An error says what happened, what to type next, and where the log is:

```text
✗ The download of {MODEL} stopped at 2,911,000,000 of 6,938,081,905 bytes; the downloaded part is kept.
  → Run the same command again: it resumes there.
  log: /Users/you/provision/logs/provision.log
```

With `--json` the last line contains `error.code` (the names below, which never change), `error.message`, `error.hint`,
and `error.argv`: the command of the hint as a list, or null. What a *check* finds is not an error but a finding
with an id: see [When it fails](doctor.md).

| exit code | |
|---|---|
"""


def errors_page() -> str:
    """The page, in Markdown."""
    exits = "".join(f"| {code} | {says} |\n" for code, says in EXITS.items())
    order = (*ERRORS, ProvisionError)
    return "\n".join(
        [INTRODUCTION + exits, *(_part(each) for each in sorted(PARAGRAPHS, key=lambda p: order.index(p.error)))]
    )


def _part(each: Paragraph) -> str:
    code = each.error.exit_code
    shown = each.message.replace("\n", "\n  ")
    return (
        f"## `{each.error.code}`: {each.title}\n\n{each.text} Exit code {code}.\n\n"
        f"```text\n✗ {shown}\n  → {each.hint}\n```\n"
    )
