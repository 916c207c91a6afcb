"""A custom node for tests/live/test_page.py where there are no weights: copy it into `custom_nodes` of a real ComfyUI.

What loads, samples and decodes gives a gradient at once; the page, the queue, the execution and *Save Image* are real.
"""

from __future__ import annotations

import nodes
import torch

NODE_CLASS_MAPPINGS: dict[str, type] = {}


def gradient(self, samples, vae):
    height, width = (8 * side for side in samples["samples"].shape[-2:])
    rows, columns = torch.linspace(0, 1, height)[:, None], torch.linspace(0, 1, width)[None]
    return (torch.stack([rows * columns, rows.expand(height, width), columns.expand(height, width)], -1)[None],)


nodes.CheckpointLoaderSimple.load_checkpoint = lambda self, ckpt_name: ("model", "clip", "vae")
nodes.CLIPTextEncode.encode = lambda self, clip, text: ([],)
nodes.KSampler.sample = lambda self, latent_image, **settings: (latent_image,)
nodes.VAEDecode.decode = gradient
