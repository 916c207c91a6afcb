"""The two forms of one graph say the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from provision.comfyui.workflow_graph import listed_name, prompt_graph, ui_workflow, workflow_file_name
from provision.core.manifest import FirstImage, Model, ModelFile

IMAGE = FirstImage("a red fox", width=640, height=512, steps=2, cfg=1.5, sampler="euler", scheduler="karras")


def test_the_prompt_graph_has_every_required_input() -> None:
    graph = prompt_graph(IMAGE, "turbo.safetensors", 42, "mine")
    assert graph["1"] == {
        "class_type": "CheckpointLoaderSimple",
        "inputs": {"ckpt_name": "turbo.safetensors"},
    }
    assert graph["5"]["inputs"] == {
        "model": ["1", 0],
        "positive": ["2", 0],
        "negative": ["3", 0],
        "latent_image": ["4", 0],
        "seed": 42,
        "steps": 2,
        "cfg": 1.5,
        "sampler_name": "euler",
        "scheduler": "karras",
        "denoise": 1.0,
    }
    assert graph["4"]["inputs"] == {"width": 640, "height": 512, "batch_size": 1}
    assert graph["7"]["inputs"]["filename_prefix"] == "mine"


def test_the_page_draws_the_links_of_the_prompt_graph() -> None:
    graph, workflow = prompt_graph(IMAGE, "turbo.safetensors", 0), ui_workflow(IMAGE, "turbo.safetensors")
    nodes = {node["id"]: node for node in workflow["nodes"]}
    links = {link[0]: link for link in workflow["links"]}
    for id, call in graph.items():
        node = nodes[int(id)]
        assert node["type"] == call["class_type"] == node["properties"]["Node name for S&R"]
        for drawn in node["inputs"]:
            link = links[drawn["link"]]
            assert call["inputs"][drawn["name"]] == [str(link[1]), link[2]]
        linked = {name for name, value in call["inputs"].items() if isinstance(value, list)}
        assert {drawn["name"] for drawn in node["inputs"]} == linked


def test_both_ends_of_each_link_agree() -> None:
    workflow = ui_workflow(IMAGE, "turbo.safetensors")
    nodes = {node["id"]: node for node in workflow["nodes"]}
    for id, source, out, target, into, kind in workflow["links"]:
        assert id in nodes[source]["outputs"][out]["links"]
        assert nodes[source]["outputs"][out]["slot_index"] == out
        assert nodes[target]["inputs"][into]["link"] == id
        assert nodes[source]["outputs"][out]["type"] == nodes[target]["inputs"][into]["type"] == kind
    assert workflow["last_link_id"] == len(workflow["links"])
    assert workflow["last_node_id"] == len(nodes)
    assert workflow["version"] == 0.4


def test_widgets_stand_in_the_order_of_the_page() -> None:
    widgets: dict[str, Any] = {
        node["type"]: node["widgets_values"] for node in ui_workflow(IMAGE, "turbo.safetensors")["nodes"]
    }
    assert widgets["KSampler"] == [0, "randomize", 2, 1.5, "euler", "karras", 1.0]
    assert widgets["EmptyLatentImage"] == [640, 512, 1]


def test_the_page_says_where_a_negative_prompt_has_no_effect() -> None:
    def title(cfg: float) -> str:
        [_, negative] = [
            node for node in ui_workflow(replace(IMAGE, cfg=cfg), "x")["nodes"] if node["type"] == "CLIPTextEncode"
        ]
        return str(negative["title"])

    assert (title(1.0), title(7.0)) == ("Negative prompt (has no effect at cfg 1)", "Negative prompt")


def test_nodes_do_not_lie_on_each_other() -> None:
    boxes = [(*node["pos"], *node["size"]) for node in ui_workflow(IMAGE, "x")["nodes"]]
    for place, (left, top, width, height) in enumerate(boxes):
        for other_left, other_top, other_width, other_height in boxes[place + 1 :]:
            apart = left + width <= other_left or other_left + other_width <= left
            assert apart or top + height <= other_top or other_top + other_height <= top


def test_the_listed_name_holds_the_folders_below_checkpoints() -> None:
    file = ModelFile("a/b/turbo.safetensors")
    assert listed_name(Model("o/r", "checkpoints", (file,)), file) == "turbo.safetensors"
    assert listed_name(Model("o/r", "checkpoints/sdxl", (file,)), file) == "sdxl/turbo.safetensors"


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("SDXL-Turbo 1.0", "SDXL-Turbo 1.0.json"),
        ("a/b\\c: d?", "a-b-c- d.json"),
        ("../..", "fallback.json"),
        ("", "fallback.json"),
        ("x" * 300, "x" * 80 + ".json"),
    ],
)
def test_a_title_becomes_a_file_name(title: str, name: str) -> None:
    assert workflow_file_name(title, "fallback") == name
