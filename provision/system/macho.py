"""The processors that a Mach-O file (a program or library of macOS) is built for, from its first bytes.

From Apple's mach-o/loader.h, mach-o/fat.h and mach/machine.h.
"""

from __future__ import annotations

import struct

HEAD_BYTES = 512
THIN_64, FAT = 0xFEEDFACF, 0xCAFEBABE
PROCESSORS = {0x01000007: "x86_64", 0x0100000C: "arm64"}
BUILDS_MAX = 16
"""A Java class has the magic number of a fat file too, and then its version, 45 or more."""


def processors_of(head: bytes) -> frozenset[str]:
    """The processors that a file is built for; empty for other files."""
    if len(head) < 8:
        return frozenset()
    if struct.unpack_from("<I", head)[0] == THIN_64:
        kinds = [struct.unpack_from("<I", head, 4)[0]]
    elif struct.unpack_from(">I", head)[0] == FAT and (count := struct.unpack_from(">I", head, 4)[0]) <= BUILDS_MAX:
        places = range(8, min(8 + 20 * count, len(head) - 3), 20)
        kinds = [struct.unpack_from(">I", head, place)[0] for place in places]
    else:
        return frozenset()
    return frozenset(PROCESSORS[kind] for kind in kinds if kind in PROCESSORS)
