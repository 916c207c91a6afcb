"""What only a Mac can tell, a line each: `python -m contrib.mac_checks [--torch PYTHON] [--change] [CHECK...]`.

Every check runs, whatever became of the others; the last line has the number of failures, which is also the exit code's
truth. Run it in a checkout, by a Python that has the tool's packages. `--torch` names a Python with torch, which the
checks of the GPU ask; `--change` allows what lasts beyond this run (a certificate in the system's keychain, taken away
again). Elsewhere than on a Mac it says of each check that this is none, and does what is not a Mac's alone.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from contrib.mac_checks import answers, files, fresh, gpu, programs, trust
from contrib.mac_checks.check import IS_MAC, Bench, Check, Skipped, in_one_line

CHECKS = (
    Check("facts", answers.facts),
    Check("limits", answers.limits, of_macs_alone=False),
    Check("masquerade", answers.masquerade),
    Check("clonefile", files.clonefile, of_macs_alone=False),
    Check("copy", files.copy_of_environment),
    Check("exchange", files.exchange, of_macs_alone=False),
    Check("sync", files.sync),
    Check("quarantine", files.quarantine),
    Check("lsof", programs.lsof, of_macs_alone=False),
    Check("open", programs.open_image),
    Check("caffeinate", programs.caffeinate),
    Check("sandbox", programs.sandbox, of_macs_alone=False),
    Check("keychain", trust.keychain, of_macs_alone=False),
    Check("mps", gpu.mps, of_macs_alone=False),
    Check("ssh", gpu.ssh, of_macs_alone=False),
    Check("launch-agent", gpu.launch_agent),
    Check("install", fresh.install, of_macs_alone=False),
)


def outcome(check: Check, torch: str | None, may_change: bool) -> tuple[str, str]:
    """A check's word (`ok`, `FAIL`, `skip`) and its sentence."""
    if check.of_macs_alone and not IS_MAC:
        return "skip", f"not a Mac: this is {platform.system()}"
    with tempfile.TemporaryDirectory(prefix="mac checks ") as folder:
        try:
            return "ok", check.run(Bench(Path(folder).resolve(), torch, may_change))
        except Skipped as why:
            return "skip", str(why)
        except Exception as error:  # noqa: BLE001  (the next check runs whatever this one meets)
            return "FAIL", in_one_line(f"{type(error).__name__}: {error}")


def main(words: Sequence[str] | None = None, checks: Sequence[Check] = CHECKS) -> int:
    """Run the checks, a line each; the number of failures, at most 1 as an exit code."""
    parser = argparse.ArgumentParser(description="What only a Mac can tell, a line each.")
    parser.add_argument("names", nargs="*", metavar="CHECK", help=", ".join(check.name for check in checks))
    parser.add_argument("--torch", metavar="PYTHON", help="a Python that has torch")
    parser.add_argument("--change", action="store_true", help="allow what lasts beyond this run")
    asked = parser.parse_args(words)
    words_said = []
    for check in checks:
        if not asked.names or check.name in asked.names:
            word, sentence = outcome(check, asked.torch, asked.change)
            print(f"{word:5} {check.name:13} {sentence}", flush=True)
            words_said.append(word)
    failed, passed, skipped = (words_said.count(word) for word in ("FAIL", "ok", "skip"))
    print(f"{failed} failed, {passed} passed, {skipped} not tried here")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
