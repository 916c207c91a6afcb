"""The text-to-image graph with the manifest's settings, as the API takes it and as ComfyUI's page opens it.

Node classes, inputs and the order of widgets are those of ComfyUI's nodes.py; the file is LiteGraph's version 0.4,
which old and new pages read. Ids are the same in both, so that an error names the node on the page.
"""

from __future__ import annotations

import re
import uuid
from typing import Any

from provision.core.manifest import FirstImage, Model, ModelFile

PREFIX = "provision"
NEGATIVE = "Negative prompt"
SEED_LIMIT = 2**48
"""ComfyUI takes 64 bits; its page, in JavaScript, only 53."""


def listed_name(model: Model, file: ModelFile) -> str:
    """The file's name in ComfyUI's list, with the folders below `checkpoints`."""
    return "/".join([*model.folder.split("/")[1:], file.name])


def prompt_graph(
    image: FirstImage, checkpoint: str, seed: int, prefix: str = PREFIX, *, kept: bool = True
) -> dict[str, Any]:
    """The graph that `/prompt` takes. All inputs are required.

    An image that is not kept goes to ComfyUI's folder `temp`, which is emptied at its start.
    """
    save = {"filename_prefix": prefix} if kept else {}
    return {
        "1": _call("CheckpointLoaderSimple", ckpt_name=checkpoint),
        "2": _call("CLIPTextEncode", text=image.prompt, clip=["1", 1]),
        "3": _call("CLIPTextEncode", text="", clip=["1", 1]),
        "4": _call("EmptyLatentImage", width=image.width, height=image.height, batch_size=1),
        "5": _call(
            "KSampler",
            model=["1", 0],
            positive=["2", 0],
            negative=["3", 0],
            latent_image=["4", 0],
            seed=seed,
            steps=image.steps,
            cfg=image.cfg,
            sampler_name=image.sampler,
            scheduler=image.scheduler,
            denoise=1.0,
        ),
        "6": _call("VAEDecode", samples=["5", 0], vae=["1", 2]),
        "7": _call("SaveImage" if kept else "PreviewImage", images=["6", 0], **save),
    }


def _call(kind: str, **inputs: object) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


# (id, source node, its slot, target node, its slot, type)
LINKS = (
    (1, 1, 0, 5, 0, "MODEL"),
    (2, 1, 1, 2, 0, "CLIP"),
    (3, 1, 1, 3, 0, "CLIP"),
    (4, 1, 2, 6, 1, "VAE"),
    (5, 2, 0, 5, 1, "CONDITIONING"),
    (6, 3, 0, 5, 2, "CONDITIONING"),
    (7, 4, 0, 5, 3, "LATENT"),
    (8, 5, 0, 6, 0, "LATENT"),
    (9, 6, 0, 7, 0, "IMAGE"),
)
# node: (class, title, left, top, width, height, inputs, outputs)
NODES = {
    1: ("CheckpointLoaderSimple", "", 30, 200, 350, 98, (), ("MODEL", "CLIP", "VAE")),
    2: ("CLIPTextEncode", "Prompt", 430, 60, 420, 170, ("clip",), ("CONDITIONING",)),
    3: ("CLIPTextEncode", NEGATIVE, 430, 290, 420, 120, ("clip",), ("CONDITIONING",)),
    4: ("EmptyLatentImage", "", 430, 470, 320, 106, (), ("LATENT",)),
    5: ("KSampler", "", 900, 60, 320, 262, ("model", "positive", "negative", "latent_image"), ("LATENT",)),
    6: ("VAEDecode", "", 1260, 60, 210, 46, ("samples", "vae"), ("IMAGE",)),
    7: ("SaveImage", "", 1260, 170, 480, 540, ("images",), ()),
}


def ui_workflow(image: FirstImage, checkpoint: str, seed: int = 0) -> dict[str, Any]:
    """The graph as a file that ComfyUI's page opens; the page draws a new seed after each image."""
    widgets: dict[int, list[object]] = {
        1: [checkpoint],
        2: [image.prompt],
        3: [""],
        4: [image.width, image.height, 1],
        5: [seed, "randomize", image.steps, image.cfg, image.sampler, image.scheduler, 1.0],
        6: [],
        7: [PREFIX],
    }
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"provision:{checkpoint}")),
        "revision": 0,
        "last_node_id": max(NODES),
        "last_link_id": max(link[0] for link in LINKS),
        "nodes": [_node(node, widgets[node], idle=image.cfg == 1) for node in NODES],
        "links": [list(link) for link in LINKS],
        "groups": [],
        "config": {},
        "extra": {"ds": {"scale": 0.7, "offset": [90, 140]}},
        "version": 0.4,
    }


def _node(node: int, widgets: list[object], *, idle: bool) -> dict[str, Any]:
    """A node as the page draws it. `idle`: the negative prompt has no effect."""
    kind, title, left, top, width, height, inputs, outputs = NODES[node]
    if title == NEGATIVE and idle:
        title += " (has no effect at cfg 1)"
    return {
        "id": node,
        "type": kind,
        "pos": [left, top],
        "size": [width, height],
        "flags": {},
        "order": node - 1,
        "mode": 0,
        "inputs": [_input(node, slot, name) for slot, name in enumerate(inputs)],
        "outputs": [_output(node, slot, name) for slot, name in enumerate(outputs)],
        "properties": {"Node name for S&R": kind},
        "widgets_values": widgets,
        **({"title": title} if title else {}),
    }


def _input(node: int, slot: int, name: str) -> dict[str, Any]:
    link = next(link for link in LINKS if link[3:5] == (node, slot))
    return {"name": name, "type": link[5], "link": link[0]}


def _output(node: int, slot: int, name: str) -> dict[str, Any]:
    links = [link[0] for link in LINKS if link[1:3] == (node, slot)]
    return {"name": name, "type": name, "links": links, "slot_index": slot}


def workflow_file_name(title: str, fallback: str) -> str:
    """A manifest's title as a file name that every system takes and ComfyUI's page lists."""
    kept = re.sub(r"[^\w .()+-]+", "-", title).strip(" .-")[:80].rstrip(" .-")
    return f"{kept or fallback}.json"
