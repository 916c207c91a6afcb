"""`download --inspect`: what a file or a repository is, without downloading weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from provision.cli.command import Session
from provision.comfyui.safetensors import HeaderTruncated, NotSafetensors, SafetensorsHeader
from provision.command import Fix, ours
from provision.core.step import Context
from provision.download.backend import HubFile
from provision.download.hub.listing import Entry, list_entries, read_remote_header, says
from provision.errors import WrongFile
from provision.output.amounts import size_text
from provision.output.result import Pairs, Result, answer
from provision.system.address import quoted

METADATA_WIDTH = 200
"""Characters shown of a metadata value; some hold an image."""


def inspect(at: Session, repo: str | None, path: str | None) -> Result:
    """Show a file's header, a repository's files, or by default the manifest's file.

    Raises what `read_remote_header` raises, and WrongFile for a file of another kind.
    """
    if repo is None:
        model, file = at.ctx.manifest.checkpoint(at.ctx.options.precision)
        return _inspect_file(at, model.repo, file.path, model.revision)
    return _inspect_repo(at, repo) if path is None else _inspect_file(at, repo, path, "main")


def _inspect_file(at: Session, repo: str, path: str, revision: str) -> Result:
    file, header = _read(at.ctx, repo, path, revision)
    dtypes = [(f"  {quoted(name)}", size_text(size)) for name, size in by_bytes(header)]
    metadata = [(f"  {quoted(key)}", quoted(value, METADATA_WIDTH)) for key, value in header.metadata.items()]
    rows = [
        ("file", f"{file.path} of {file.repo} at {file.revision[:12]}"),
        ("size", f"{size_text(file.size)} ({file.size:,} bytes)"),
        ("sha256", file.sha256 or "unknown"),
        ("architecture", header.architecture),
        ("precision", header.precision),
        ("tensors", f"{header.tensor_count:,} in a header of {header.header_bytes:,} bytes"),
        ("dtypes", f"{size_text(header.data_bytes)} of weights"),
        *dtypes,
        *([("metadata", "")] if metadata else []),
        *metadata,
    ]
    if header.file_size_bytes != file.size:
        rows.append(("but", f"the header describes {header.file_size_bytes:,} bytes"))
    return answer(file_facts(file, header), Pairs(rows))


def _read(ctx: Context, repo: str, path: str, revision: str) -> tuple[HubFile, SafetensorsHeader]:
    try:
        return read_remote_header(ctx, repo, path, revision)
    except (NotSafetensors, HeaderTruncated) as error:
        raise WrongFile(
            f"{path} of {repo} is not a usable safetensors file: {error}",
            hint=ours("download", repo, "--inspect"),
        ) from error


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a file on the hub is, by its header; `whole` says whether that describes a file of this size."""

    repo: str
    path: str
    commit: str
    size: int
    sha256: str | None
    architecture: str
    precision: str
    tensors: int
    header_bytes: int
    data_bytes: int
    dtypes: Mapping[str, int]
    metadata: Mapping[str, str]
    whole: bool


@dataclass(frozen=True, slots=True)
class RepoFile:
    """A file; `checkpoint` says whether it may be a whole one, `size` is 0 where the hub does not tell."""

    path: str
    size: int
    checkpoint: bool


@dataclass(frozen=True, slots=True)
class RepoFacts:
    """A repository's safetensors files; `named` are those whose name says that they are of this precision."""

    repo: str
    precision: str
    named: tuple[str, ...]
    files: tuple[RepoFile, ...]


def file_facts(file: HubFile, header: SafetensorsHeader) -> FileFacts:
    """A file for `--json`."""
    return FileFacts(
        repo=file.repo,
        path=file.path,
        commit=file.revision,
        size=file.size,
        sha256=file.sha256,
        architecture=header.architecture,
        precision=header.precision,
        tensors=header.tensor_count,
        header_bytes=header.header_bytes,
        data_bytes=header.data_bytes,
        dtypes=dict(by_bytes(header)),
        metadata=dict(header.metadata),
        whole=header.file_size_bytes == file.size,
    )


def by_bytes(header: SafetensorsHeader) -> list[tuple[str, int]]:
    """The dtypes with their bytes, the largest first."""
    return sorted(header.dtypes.items(), key=lambda item: -item[1])


def _inspect_repo(at: Session, repo: str) -> Result:
    entries = [entry for entry in list_entries(at.ctx, repo) if entry.path.endswith(".safetensors")]
    precision = at.ctx.options.precision
    named = [entry.path for entry in entries if entry.checkpoint and says(entry.path, precision)]
    table = Pairs([(entry.path, _shown(entry)) for entry in entries])
    verdict = _verdict(repo, precision, entries, named)
    files = tuple(RepoFile(entry.path, entry.size, entry.checkpoint) for entry in entries)
    return answer(RepoFacts(repo, precision, tuple(named), files), table, verdict)


def _shown(entry: Entry) -> str:
    where = "" if entry.checkpoint else ", in a folder: a part or a variant"
    return f"{size_text(entry.size) if entry.size else 'size unknown'}{where}"


def _verdict(repo: str, precision: str, entries: list[Entry], named: list[str]) -> Fix:
    tops = [entry.path for entry in entries if entry.checkpoint]
    if len(named) == 1:
        return Fix(f"{named[0]} is the {precision} checkpoint by its name:", ours("download", repo))
    if not tops:
        return Fix(f"{repo} has no safetensors file at its top level, so no single-file checkpoint.")
    found = "more than one file named" if named else "no file named"
    look = ours("download", f"{repo}/{tops[0]}", "--inspect")
    return Fix(f"{repo} has {found} {precision}. To see what a file is:", look)
