"""Index pages, and which versions belong together."""

from __future__ import annotations

import pytest

from provision.environment import wheel_index
from provision.environment.wheel_index import Pages

MAC = "macosx_11_0_arm64"
PAGE = """<!DOCTYPE html><html><body>
<a href="https://elsewhere.example/whl/torch-2.11.0%2Bcpu-cp312-cp312-manylinux_2_28_x86_64.whl#sha256=ab">one</a><br>
<a data-dist-info-metadata="x" href="../torch-2.12.0-cp312-none-macosx_11_0_arm64.whl">two</a>
<A HREF='torch-2.16.0.dev20261120-cp312-none-macosx_14_0_arm64.whl' data-core-metadata="sha256=ab">three</A>
<a href="torch-2.12.0.tar.gz">sources</a> <a href="torch-odd.whl">no wheel</a> <a name="x">no link</a>
</body></html>"""


def pages(*names: str) -> Pages:
    """Wheels by package, from file names without their ending."""
    found: dict[str, list[wheel_index.Wheel]] = {"torch": [], "torchvision": []}
    for wheel in wheel_index.parse_index_page("".join(f'<a href="{name}.whl">w</a>' for name in names)):
        found.setdefault(wheel.name, []).append(wheel)
    return found


def mac(name: str, version: str, platform: str = MAC) -> str:
    return f"{name}-{version}-cp312-none-{platform}"


TAGS = wheel_index.target_tags("3.12", (14, 5), "arm64")


def test_a_page_is_read_with_absolute_relative_and_encoded_links() -> None:
    found = wheel_index.parse_index_page(PAGE)
    assert [(wheel.version, wheel.day, wheel.metadata) for wheel in found] == [
        ("2.11.0+cpu", "", False),
        ("2.12.0", "", True),
        ("2.16.0.dev20261120", "20261120", True),
    ]
    assert found[1].href == "../torch-2.12.0-cp312-none-macosx_11_0_arm64.whl"
    assert wheel_index.parse_index_page("<html>Please log in</html>") == []


def test_what_a_mac_can_install_depends_on_its_system() -> None:
    tags = wheel_index.target_tags("3.12", (13, 6), "arm64")
    assert f"cp312-none-{MAC}" in tags
    assert "cp312-none-macosx_14_0_arm64" not in tags
    assert f"cp311-cp311-{MAC}" not in tags
    assert "cp312-none-macosx_10_9_x86_64" not in tags


def test_the_newest_day_that_has_all_is_taken() -> None:
    offered = pages(
        mac("torch", "2.16.0.dev20261121"),
        mac("torch", "2.16.0.dev20261120"),
        mac("torch", "2.15.0"),
        mac("torchvision", "0.31.0.dev20261121", "win_amd64"),
        mac("torchvision", "0.31.0.dev20261120"),
    )
    expected = {"torch": "2.16.0.dev20261120", "torchvision": "0.31.0.dev20261120"}
    assert wheel_index.days_of(offered, TAGS) == [{"torch": "2.16.0.dev20261121"}, expected]
    assert wheel_index.passed_over(offered, TAGS, "20261120") == [
        "torchvision of 20261121 has no wheel for this Python and system"
    ]


def test_a_day_without_torch_is_none() -> None:
    offered = pages(mac("torch", "2.16.0.dev20261121"), mac("torchvision", "0.31.0.dev20261120"))
    assert wheel_index.days_of(offered, TAGS) == [{"torch": "2.16.0.dev20261121"}]
    assert wheel_index.why_not(offered, TAGS, "20261120") == "torch has no wheel of 20261120"
    assert wheel_index.days_of(pages(), TAGS) == []


def test_days_come_newest_first_and_what_is_newer_says_why_not() -> None:
    days, packages = ("20261118", "20261119", "20261121"), (("torch", "2.16.0"), ("torchvision", "0.31.0"))
    offered = pages(
        *[mac(name, f"{number}.dev{day}") for day in days for name, number in packages],
        mac("torch", "2.16.0.dev20261122"),
        mac("torchvision", "0.31.0.dev20261123"),
    )
    found = [(wheel_index.day_of(each["torch"]), len(each)) for each in wheel_index.days_of(offered, TAGS)]
    assert found == [("20261122", 1), *((day, 2) for day in reversed(days))]
    assert wheel_index.passed_over(offered, TAGS, days[-1]) == [
        "torch has no wheel of 20261123",
        "torchvision has no wheel of 20261122",
    ]


def test_a_day_may_be_pinned() -> None:
    assert wheel_index.pinned_day("nightly@20261120") == wheel_index.pinned_day("2.16.0.dev20261120") == "20261120"
    assert wheel_index.pinned_day("nightly") == wheel_index.pinned_day("2.15.0") == ""
    assert wheel_index.answers("nightly@20261120", "2.16.0.dev20261120")
    assert not wheel_index.answers("nightly@20261120", "2.16.0.dev20261119")


STABLE = (
    mac("torch", "2.15.0"),
    mac("torch", "2.11.0"),
    mac("torch", "2.16.0.dev20261120"),
    mac("torch", "2.16.0rc1"),
    mac("torchvision", "0.30.0"),
    mac("torchvision", "0.26.0"),
)


def test_a_stable_set_is_bounded_by_the_index() -> None:
    assert wheel_index.stable_pins(pages(*STABLE), TAGS) == ("torch<=2.15.0", "torchvision<=0.30.0")
    assert wheel_index.stable_pins(pages(*STABLE), TAGS, "2.11.0") == ("torch==2.11.0", "torchvision<=0.30.0")
    assert wheel_index.stable_pins(pages(*STABLE), TAGS, "2.12.0") is None
    assert wheel_index.stable_pins(pages(mac("torch", "2.15.0")), TAGS) is None


def test_a_set_of_a_version_keeps_the_build_of_the_index() -> None:
    tags = wheel_index.target_tags("3.12", None, "x86_64") | {"cp312-cp312-here"}
    offered = pages("torch-2.15.0+cpu-cp312-cp312-here", "torchvision-0.30.0+cpu-cp312-cp312-here")
    assert wheel_index.stable_pins(offered, tags, "2.15.0") == ("torch==2.15.0+cpu", "torchvision<=0.30.0")


def test_torchaudio_does_not_decide_which_torch() -> None:
    offered = pages(*STABLE, mac("torchaudio", "2.11.0"), mac("torchaudio", "2.10.0"))
    assert wheel_index.stable_pins(offered, TAGS) == ("torch<=2.15.0", "torchvision<=0.30.0", "torchaudio<=2.11.0")
    exact = ("torch==2.15.0", "torchvision<=0.30.0", "torchaudio<=2.11.0")
    assert wheel_index.stable_pins(offered, TAGS, "2.15.0") == exact
    assert wheel_index.stable_pins({**pages(*STABLE), "torchaudio": []}, TAGS) is None


def test_the_newest_release_is_no_nightly_and_can_be_installed() -> None:
    offered = pages(
        mac("torchvision", "0.31.0.dev20261120"),
        mac("torchvision", "0.29.2"),
        mac("torchvision", "0.30.0", "win_amd64"),
    )["torchvision"]
    found = wheel_index.newest_release(offered, TAGS)
    assert found is not None
    assert found.version == "0.29.2"
    assert wheel_index.newest_release(offered[:1], TAGS) is None


@pytest.mark.parametrize(
    ("wanted", "version", "does"),
    [
        ("nightly", "2.16.0.dev20261120", True),
        ("nightly", "2.15.0", False),
        ("stable", "2.15.0+cpu", True),
        ("stable", "2.16.0.dev20261120+cpu", False),
        ("2.11.0", "2.11.0+cu130", True),
        ("2.11", "2.11.0", True),
        ("2.11.0", "2.11.1", False),
        ("2.16.0.dev20261120", "2.16.0.dev20261120+cpu", True),
    ],
)
def test_whether_a_torch_answers_a_wish(wanted: str, version: str, does: bool) -> None:
    assert wheel_index.answers(wanted, version) is does


@pytest.mark.parametrize(
    "page",
    [
        "<a " * 300_000,
        "<a href=" * 200_000,
        '<a href="' + "x" * 1_000_000,
        '<a href="http://[::1/torch-2.0-py3-none-any.whl">',
        '<a href="' + "torch-2.0-" + "-".join([".".join(["a"] * 400)] * 3) + '.whl">',
        '<a href="torch-2.0-py3-none-' + "x" * 300 + '.whl">',
        '<a href="torch-' + "9" * 200 + '-\ud800-none-any.whl">',
    ],
    ids=["tags", "links", "long", "bracket", "combinations", "long name", "surrogate"],
)
def test_a_hostile_page_has_no_wheels(page: str) -> None:
    """Each would take hours, all memory, or end in a crash, were its length not bounded."""
    assert wheel_index.parse_index_page(page) == []


def test_a_page_of_many_wheels_is_read_whole() -> None:
    names = [mac("torch", f"2.16.0.dev202601{day:02}") for day in range(1, 29)]
    assert len(wheel_index.parse_index_page("".join(f'<a href="{name}.whl"></a>\n' for name in names))) == len(names)
