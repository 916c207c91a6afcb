"""The address of a custom node, as it is typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from provision.cli.commands.nodes import parse_address
from provision.comfyui.added_nodes import name_for
from provision.core.receipt_kinds import NODE_NAME
from provision.errors import UsageError

COMMIT = "0" * 40


@pytest.mark.parametrize(
    ("typed", "url", "ref"),
    [
        ("https://github.com/me/node", "https://github.com/me/node", ""),
        ("https://github.com/me/node.git@v1.2", "https://github.com/me/node.git", "v1.2"),
        ("https://me@host.example/a/node@feature/x", "https://me@host.example/a/node", "feature/x"),
        (f"git@github.com:me/node@{COMMIT}", "git@github.com:me/node", COMMIT),
        ("git@github.com:me/node.git", "git@github.com:me/node.git", ""),
        ("ssh://git@host.example/me/node@main", "ssh://git@host.example/me/node", "main"),
        ("file:///srv/node.git@v1", "file:///srv/node.git", "v1"),
    ],
)
def test_an_address_and_its_ref_are_told_apart(typed: str, url: str, ref: str) -> None:
    assert parse_address(typed) == (url, ref)


def test_a_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "an @ in it"
    folder.mkdir()
    assert parse_address(str(folder)) == (str(folder), "")


@pytest.mark.parametrize(
    "typed",
    [
        "ext::sh -c 'touch /tmp/x'",
        "--upload-pack=touch /tmp/x",
        "-x",
        "https://host.example/node@-x",
        "https://host.example/node@a..b",
        "https://-oProxyCommand=x/node",
        "fd::17",
        "",
        "node",
        "https://host.example/a b",
    ],
)
def test_what_git_is_never_given_is_refused(typed: str) -> None:
    with pytest.raises(UsageError):
        parse_address(typed)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://github.com/me/ComfyUI_node.git", "ComfyUI_node"),
        ("git@github.com:me/node/", "node"),
        ("https://host.example/..%2f..%2fx", "2f..-2fx"),
        ("https://host.example/.git", ""),
        ("file:///srv/예쁜 node.git", "node"),
    ],
)
def test_a_folder_has_a_harmless_name(url: str, name: str) -> None:
    assert name_for(url) == name
    assert not name or NODE_NAME.fullmatch(name)
