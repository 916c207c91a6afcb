"""Bytes, seconds and paths as people read them."""

from __future__ import annotations

from pathlib import Path


def size_text(size_bytes: float) -> str:
    """Bytes for people, in decimal units as disks and networks are sold: `6.94 GB`."""
    for unit, factor, digits, least in (("GB", 1e9, 2, 999.95e6), ("MB", 1e6, 1, 999.95e3), ("kB", 1e3, 1, 1e3)):
        if size_bytes >= least:
            return f"{size_bytes / factor:.{digits}f} {unit}"
    return f"{int(size_bytes)} B"


def time_text(seconds: float) -> str:
    """Seconds for people: `0.4 s`, `12 s`, `3 min 20 s`, `1 h 05 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def rounded_time(seconds: float) -> str:
    """An estimate, no more exact than it can be: `5 s`, `40 s`, `3 min`, `12 min`."""
    if seconds < 60:
        step = 5 if seconds < 30 else 10
        return f"{max(5, round(seconds / step) * step)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def with_tilde(path: Path, folder: str) -> str:
    """A path with `~` for the person's folder."""
    rest = str(path).removeprefix(folder.rstrip("/")) if folder.strip("/") else ""
    return f"~{rest}" if rest.startswith("/") and str(path) != rest else "~" if str(path) == folder else str(path)


def amount_text(done: int, total: int | None) -> str:
    """`2.91 of 6.94 GB`, `83.4 kB of 2.1 MB`; what is done alone where the total is not known."""
    if total is None:
        return size_text(done)
    here, all_ = size_text(done), size_text(total)
    return f"{here.split()[0] if here.split()[1] == all_.split()[1] else here} of {all_}"
