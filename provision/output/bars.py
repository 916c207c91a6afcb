"""A bar chart in characters, for a terminal and for plain text. Pure."""

from __future__ import annotations

from collections.abc import Sequence

EIGHTHS = " ▏▎▍▌▋▊▉"
FULL, MUTED = "█", "░"
BAR_LEAST, BAR_MOST = 8, 40


def bars_text(rows: Sequence[tuple[str, float, str, str]], columns: int = 100) -> str:
    """A line a row: what, a bar as long as its number, words. Rows of the kind `other` have a lighter bar.

    A terminal that is too narrow for bars gets what and words.
    """
    if not rows:
        return ""
    names, words = max(len(row[0]) for row in rows), max(len(row[2]) for row in rows)
    wide = min(BAR_MOST, columns - names - words - 4)
    most = max(row[1] for row in rows) or 1.0
    if wide < BAR_LEAST:
        return "\n".join(f"{what:<{names}}  {told}" for what, _, told, _ in rows)
    return "\n".join(f"{what:<{names}}  {bar(value / most, wide, kind)}  {told}" for what, value, told, kind in rows)


def bar(share: float, wide: int, kind: str = "") -> str:
    """`share` of `wide` characters, in eighths, padded to `wide`; what is not nothing is to be seen."""
    eighths = max(1, round(share * wide * 8)) if share > 0 else 0
    if kind == "other":
        return (MUTED * max(1, round(eighths / 8))).ljust(wide)
    return (FULL * (eighths // 8) + EIGHTHS[eighths % 8].strip()).ljust(wide)
