"""An archive of ComfyUI: unpacked where nothing escapes, compared file by file, replaced without losing an edit."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.comfyui import source_tree
from provision.comfyui.source_tree import (
    NAME,
    BadArchive,
    compare,
    place,
    plan_change,
    read_archived,
    read_listing,
    unpack,
    write_listing,
)

COMMIT = "c" * 40
FILES = {"main.py": b"x = 1\n", "comfy/model.py": b"y\n", "models/checkpoints/put_checkpoints_here": b""}
Member = tuple[str, bytes] | tarfile.TarInfo


def member(name: str, kind: bytes = tarfile.REGTYPE, leads: str = "", mtime: float = 1_700_000_000) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mtime = kind, leads, mtime
    return made


def archive(path: Path, *members: Member, commit: str = COMMIT) -> Path:
    """An archive as GitHub makes them, of these files in one folder and of these members as they are."""
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT, pax_headers={"comment": commit}) as tar:
        tar.addfile(member("top", tarfile.DIRTYPE))
        for each in members:
            if isinstance(each, tarfile.TarInfo):
                tar.addfile(each)
            else:
                made = member(f"top/{each[0]}")
                made.size = len(each[1])
                tar.addfile(made, io.BytesIO(each[1]))
    return path


def unpacked(folder: Path, files: dict[str, bytes], commit: str = COMMIT) -> tuple[Path, source_tree.Listing]:
    folder.mkdir()
    made = archive(folder / "a.tar.gz", *files.items(), commit=commit)
    return folder / "files", unpack(made, folder / "files", commit)


# -- unpacking ----------------------------------------------------------------------------------------------------


def test_an_archive_is_unpacked_and_listed(tmp_path: Path) -> None:
    made = archive(tmp_path / "a.tar.gz", *FILES.items(), member("top/link", tarfile.SYMTYPE, "comfy/model.py"))
    listing = unpack(made, tmp_path / "new", COMMIT)
    assert {name: (tmp_path / "new" / name).read_bytes() for name in FILES} == FILES
    assert (tmp_path / "new/link").read_bytes() == b"y\n"
    assert (listing.commit, listing.date) == (COMMIT, "2023-11-14T22:13:20+00:00")
    assert set(listing.files) == {*FILES, "link"}
    assert read_archived(made, "main.py") == ("x = 1\n", "2023-11-14T22:13:20+00:00")
    with pytest.raises(BadArchive, match=r"has no requirements\.txt"):
        read_archived(made, "requirements.txt")


def test_the_bytes_of_an_archive_do_not_count_but_what_is_in_it(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    _, first = unpacked(one, FILES)
    other.mkdir()
    made = archive(other / "a.tar.gz", *reversed(FILES.items()))
    made.write_bytes(gzip.compress(gzip.decompress(made.read_bytes()), 1))
    assert made.read_bytes() != (one / "a.tar.gz").read_bytes()
    assert unpack(made, other / "files", COMMIT).tree == first.tree


HOSTILE: dict[str, tuple[Member, ...]] = {
    "leads up": (member("top/../../evil"),),
    "is absolute": (member("/top/evil"),),
    "leads up within": (("comfy/../../evil", b""),),
    "is the folder itself": (("a//b", b""),),
    "a link out": (member("top/link", tarfile.SYMTYPE, "../../etc"),),
    "an absolute link": (member("top/link", tarfile.SYMTYPE, "/etc/passwd"),),
    "a link by another link": (
        member("top/b", tarfile.SYMTYPE, "."),
        member("top/a", tarfile.SYMTYPE, "b/.."),
    ),
    "a file below a link": (member("top/d", tarfile.SYMTYPE, "comfy"), ("d/evil", b"")),
    "a link below a link": (member("top/d", tarfile.SYMTYPE, "comfy"), member("top/d/e", tarfile.SYMTYPE, "x")),
    "a hard link": (member("top/hard", tarfile.LNKTYPE, "top/main.py"),),
    "a device": (member("top/device", tarfile.CHRTYPE),),
    "a pipe": (member("top/pipe", tarfile.FIFOTYPE),),
    "git's folder": ((".git/config", b""),),
    "git's folder in other letters": (("sub/.GIT/hooks/post-checkout", b""),),
    "git's folder as a Mac reads it": ((".g\u200cit/config", b""),),
    "twice": (("Main.py", b"other"),),
    "twice in another form": (("u\u0308.py", b""), ("\u00fc.py", b"")),
    "a file as a folder": (("main.py/evil", b""),),
    "a name that is too long": (("n" * 250, b""),),
    "no time": (member("top/old", mtime=-5),),
}


@pytest.mark.parametrize("members", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_would_lie_elsewhere_is_refused(tmp_path: Path, members: tuple[Member, ...]) -> None:
    made = archive(tmp_path / "a.tar.gz", *FILES.items(), *members)
    with pytest.raises(BadArchive):
        unpack(made, tmp_path / "in" / "new", COMMIT)
    outside = {path.name for path in tmp_path.iterdir()} | {path.name for path in (tmp_path / "in").iterdir()}
    assert outside == {"a.tar.gz", "in", "new"}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def page(path: Path) -> None:
    path.write_bytes(b"<html>log in</html>")


def no_tar(path: Path) -> None:
    path.write_bytes(gzip.compress(b"<html>log in</html>" * 100))


@pytest.mark.parametrize("spoil", [cut, page, no_tar])
def test_what_is_no_whole_archive_is_refused(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    made = archive(tmp_path / "a.tar.gz", *FILES.items())
    spoil(made)
    with pytest.raises(BadArchive):
        unpack(made, tmp_path / "new", COMMIT)


def test_an_archive_of_another_commit_is_refused(tmp_path: Path) -> None:
    made = archive(tmp_path / "a.tar.gz", *FILES.items(), commit="d" * 40)
    with pytest.raises(BadArchive, match="another commit"):
        unpack(made, tmp_path / "new", COMMIT)


def test_an_archive_has_its_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = archive(tmp_path / "a.tar.gz", *FILES.items(), ("zeros", bytes(2_000_000)))
    monkeypatch.setattr(source_tree, "UNPACKED_BYTES", 1_000_000)
    with pytest.raises(BadArchive, match="more than 1,000,000 bytes"):
        unpack(made, tmp_path / "new", COMMIT)
    monkeypatch.setattr(source_tree, "UNPACKED_BYTES", 10_000_000)
    monkeypatch.setattr(source_tree, "FILES_MAX", 2)
    with pytest.raises(BadArchive, match="more than 2 files"):
        unpack(made, tmp_path / "again", COMMIT)


# -- comparing and placing ----------------------------------------------------------------------------------------


@pytest.fixture
def code(tmp_path: Path) -> Path:
    return tmp_path / "ComfyUI"


def test_what_is_missing_and_what_is_changed_is_seen(tmp_path: Path, code: Path) -> None:
    files, listing = unpacked(tmp_path / "one", FILES)
    place(code, files, plan_change(code, None, listing, keep=True))
    assert (compare(code, listing).deleted, compare(code, listing).modified) == ((), ())
    (code / "main.py").write_text("mine\n", encoding="utf-8")
    (code / "comfy/model.py").unlink()
    (code / "models/checkpoints/put_checkpoints_here").unlink()
    (code / "own.py").touch()
    state = compare(code, listing)
    assert (state.missing, state.modified) == (("comfy/model.py",), ("main.py",))
    place(code, files, plan_change(code, listing, listing, keep=True))
    assert (code / "main.py").read_text(encoding="utf-8") == "mine\n"
    assert compare(code, listing).missing == ()


def test_another_revision_takes_the_place_of_what_is_ours_alone(tmp_path: Path, code: Path) -> None:
    files, before = unpacked(tmp_path / "one", {**FILES, "old.py": b"old\n", "gone/a.py": b"a\n", "kept.py": b"k\n"})
    place(code, files, plan_change(code, None, before, keep=True))
    (code / "kept.py").write_text("mine\n", encoding="utf-8")
    (code / "main.py").write_text("mine too\n", encoding="utf-8")
    (code / "new.py").write_text("of a person\n", encoding="utf-8")
    (code / "block").write_text("a file where a folder is to be\n", encoding="utf-8")
    newer = {**FILES, "main.py": b"x = 2\n", "comfy/model.py": b"z\n", "new.py": b"n\n", "block/b.py": b"b\n"}
    files, after = unpacked(tmp_path / "two", newer)
    change = plan_change(code, before, after, keep=False)
    assert set(change.persons) == {"main.py", "new.py", "block"}
    assert set(change.remove) == {"old.py", "gone/a.py"}
    for name in change.persons:
        (code / name).rename(tmp_path / name)
    place(code, files, change)
    assert {name: (code / name).read_bytes() for name in newer} == newer
    assert not (code / "gone").exists()
    assert (code / "kept.py").read_text(encoding="utf-8") == "mine\n"
    assert compare(code, after).modified == ()


def test_a_change_that_was_cut_short_is_finished(tmp_path: Path, code: Path) -> None:
    """Half of the files are new: none of them is taken for a person's."""
    files, before = unpacked(tmp_path / "one", {"a.py": b"1", "b.py": b"1"})
    place(code, files, plan_change(code, None, before, keep=True))
    files, after = unpacked(tmp_path / "two", {"a.py": b"2", "b.py": b"2"})
    (code / "a.py").write_bytes(b"2")
    change = plan_change(code, before, after, keep=False)
    assert (change.persons, change.write) == ((), ("b.py",))


def test_nothing_is_written_through_a_link_of_a_persons(tmp_path: Path, code: Path) -> None:
    files, listing = unpacked(tmp_path / "one", FILES)
    (elsewhere := tmp_path / "big disk").mkdir()
    code.mkdir()
    (code / "models").symlink_to(elsewhere)
    place(code, files, plan_change(code, None, listing, keep=True))
    assert list(elsewhere.iterdir()) == []
    assert compare(code, listing).missing == ()


def test_a_listing_is_believed_only_as_it_was_written(tmp_path: Path) -> None:
    _, listing = unpacked(tmp_path / "one", FILES)
    write_listing(tmp_path, listing)
    assert read_listing(tmp_path) == listing
    told = json.loads((tmp_path / NAME).read_text(encoding="utf-8"))
    for change in ({"tree": "0" * 40}, {"commit": "latest"}, {"files": {"../x": "100644 " + "0" * 40}}, {"files": []}):
        (tmp_path / NAME).write_text(json.dumps(told | change), encoding="utf-8")
        assert read_listing(tmp_path) is None
    other = {**told["files"], "main.py": "100644 " + "1" * 40}
    (tmp_path / NAME).write_text(json.dumps(told | {"files": other}), encoding="utf-8")
    assert read_listing(tmp_path) is None
