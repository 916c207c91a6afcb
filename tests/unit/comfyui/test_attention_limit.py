"""Which sizes a Mac's GPU makes right, and that the others are refused before a server is started for them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from provision.comfyui.attention_limit import attention_values, check_size, largest
from provision.comfyui.memory import Picture
from provision.command import Command, ours
from provision.core.step import Context
from provision.environment.known_bad_torch import read_attention_limit
from provision.errors import UsageError
from tests.support.fake_machine import FakeMachine

Make = Callable[..., Context]


def test_the_numbers_are_those_of_the_report() -> None:
    assert read_attention_limit().values == 2**31
    assert attention_values(Picture("sdxl", 2048, 2048)) == 10 * 16384**2
    assert attention_values(Picture("sdxl", 512, 512)) == 10 * 1024**2
    assert attention_values(Picture("sdxl", 1024, 1024, True)) == 2 * 10 * 4096**2
    assert attention_values(Picture("sd2", 512, 512)) == 5 * 4096**2


@pytest.mark.parametrize(
    ("picture", "size"),
    [
        (Picture("sdxl", 2048, 2048), (1936, 1936)),
        (Picture("sdxl", 2048, 2048, True), (1616, 1616)),
        (Picture("sdxl", 4096, 1024), (3856, 960)),
        (Picture("sdxl", 1024, 4096), (960, 3856)),
        (Picture("sd2", 2048, 2048), (1144, 1144)),
    ],
)
def test_the_largest_of_a_shape_is_just_below_the_limit(picture: Picture, size: tuple[int, int]) -> None:
    limit = read_attention_limit()
    found = largest(picture, limit)
    assert found == size
    assert attention_values(Picture(picture.architecture, *found, picture.twice)) < limit.values
    more = (found[0] * 17 // 16, found[1] * 17 // 16)
    assert attention_values(Picture(picture.architecture, *more, picture.twice)) >= limit.values


def again(width: int, height: int) -> Command:
    return ours("generate", "--size", f"{width}x{height}", "a fox")


def test_a_size_that_would_come_out_wrong_is_refused_with_the_largest_that_works(context: Make) -> None:
    sets = ("first_image.width=2048", "first_image.height=2048")
    ctx = context(*sets, machine=FakeMachine())
    with pytest.raises(UsageError) as refused:
        check_size(ctx, ctx.manifest.first_image, again)
    assert "2048x2048 takes 2,684,354,560 values" in refused.value.message
    assert "From 2,147,483,648 on" in refused.value.message
    assert "Comfy-Org/ComfyUI#14837" in refused.value.message
    assert refused.value.hint.command == ours("generate", "--size", "1936x1936", "a fox")
    for fine in (
        context("first_image.width=1936", "first_image.height=1936", machine=FakeMachine()),
        context(*sets, 'comfyui.args=["--cpu"]', machine=FakeMachine()),
        context(*sets, machine=FakeMachine(system="Linux", arch="x86_64")),
    ):
        check_size(fine, fine.manifest.first_image, again)
    ctx.receipts.write("torch", device="cpu")  # whose GPU is hidden
    check_size(ctx, ctx.manifest.first_image, again)
