"""Breakers of the lock: the file that says what is installed, exactly."""

from __future__ import annotations

from dataclasses import replace

from provision.core.lockfile import load_lock, write_lock
from tests.breakers.breaker import Breaker, breaks
from tests.breakers.patient import Patient

LOCK = "lock"


@breaks("lock-missing", LOCK)
def delete_it(at: Patient) -> None:
    """The lock is deleted."""
    at.home.lock_file.unlink()


@breaks("lock-stale", LOCK)
def take_anothers(at: Patient) -> None:
    """The lock is that of another install."""
    lock = load_lock(at.home.lock_file)
    packages = tuple(replace(each, version="98.0") if each.name == "attrs" else each for each in lock.packages)
    at.home.lock_file.write_text(write_lock(replace(lock, packages=packages)), encoding="utf-8")


@breaks("lock-stale", LOCK)
def spoil_it(at: Patient) -> None:
    """The lock was cut in half."""
    whole = at.home.lock_file.read_bytes()
    at.home.lock_file.write_bytes(whole[: len(whole) // 2])


@breaks("lock-partial", f"{LOCK} torch packages python checkout")  # what makes the lock stale hides it
def lack_a_hash(at: Patient) -> None:
    """The lock was written when no index could be asked for a package's hash."""
    lock = load_lock(at.home.lock_file)
    packages = tuple(replace(each, wheel="", sha256="") if each.name == "attrs" else each for each in lock.packages)
    at.home.lock_file.write_text(write_lock(replace(lock, packages=packages)), encoding="utf-8")


BREAKERS = [value for value in list(vars().values()) if isinstance(value, Breaker)]
