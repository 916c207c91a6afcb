"""A model that is on the disk twice: in the home, and in the folder of another program.

The home's file is replaced by one that shares its bytes with the other (a clone, or a second name); the other, which is
a person's, stays as it is.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from provision.core.receipts import file_identity, same_facts
from provision.core.step import Context
from provision.download.local_copies import Sought, find_copies, same_volume, taken_from
from provision.download.model_files import WantedFile, keep_receipt, wanted_files
from provision.system.disk_errors import unusable
from provision.system.disk_use import are_clones


@dataclass(frozen=True, slots=True)
class Double:
    """A verified model of the home, and a file of its size and kind elsewhere on its disk, not hashed yet."""

    wanted: WantedFile
    sought: Sought
    copy: Path


def find_doubles(ctx: Context) -> Iterator[Double]:
    """The models that could be one with a file elsewhere. Takes as long as `find_copies`, for each model."""
    for wanted in wanted_files(ctx):
        sought = wanted.sought
        if sought is not None and _is_ours(ctx, wanted, sought):
            for copy in find_copies(ctx, sought):
                if same_volume(copy, wanted.place) and not are_clones(copy, wanted.place):
                    yield Double(wanted, sought, copy)
                    break


def _is_ours(ctx: Context, wanted: WantedFile, sought: Sought) -> bool:
    """Whether it is the file that was downloaded, verified, unchanged and of one name."""
    try:
        about = wanted.place.lstat()
        receipt = wanted.receipt
        verified = receipt.downloaded and receipt.sha256 == sought.sha256
        whole = stat.S_ISREG(about.st_mode) and about.st_nlink == 1 and ctx.home.inside(wanted.place)
        return bool(verified and whole and same_facts(receipt, file_identity(wanted.place)))
    except OSError:
        return False


def make_one(ctx: Context, double: Double) -> bool:
    """Let the home's file share the other's bytes, once their hash is verified; False where they cannot be shared.

    Raises HomeError, DiskFull or Interrupted; the home's file is the whole old one then.
    """
    wanted, sought = double.wanted, double.sought
    taken = taken_from(ctx, sought, double.copy, copies=False)
    if taken is None:
        return False
    try:
        taken.replace(wanted.place)
    except OSError as error:
        raise unusable(wanted.place, error) from error
    keep_receipt(ctx, wanted, size=sought.size, sha256=sought.sha256, found=sought.sha256, downloaded=True)
    return True
