"""The nodes of a first image: ComfyUI's names, inputs and words. A model is a digest, a picture painted."""

from __future__ import annotations

import hashlib
import json
import logging
import random
import string
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import folder_paths
import picture
from checkpoint import CLIP_PREFIXES, VAE_PREFIX, read_checkpoint
from cli_args import args
from PIL import Image
from PIL.PngImagePlugin import PngInfo

SAMPLER_NAMES = """
euler euler_cfg_pp euler_ancestral euler_ancestral_cfg_pp heun heunpp2 dpm_2 dpm_2_ancestral lms dpm_fast
dpm_adaptive dpmpp_2s_ancestral dpmpp_2s_ancestral_cfg_pp dpmpp_sde dpmpp_sde_gpu dpmpp_2m dpmpp_2m_cfg_pp
dpmpp_2m_sde dpmpp_2m_sde_gpu dpmpp_2m_sde_heun dpmpp_2m_sde_heun_gpu dpmpp_3m_sde dpmpp_3m_sde_gpu ddpm lcm
ipndm ipndm_v deis res_multistep res_multistep_cfg_pp res_multistep_ancestral res_multistep_ancestral_cfg_pp
gradient_estimation gradient_estimation_cfg_pp er_sde seeds_2 seeds_3 sa_solver sa_solver_pece ddim uni_pc
uni_pc_bh2
"""
SCHEDULER_NAMES = "simple sgm_uniform karras exponential ddim_uniform beta normal linear_quadratic kl_optimal"
SAMPLERS, SCHEDULERS = SAMPLER_NAMES.split(), SCHEDULER_NAMES.split()
MAX_RESOLUTION = 16384
STEP_S = 0.005
HIDDEN = {"hidden": {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}}
"""Inputs that the engine adds."""

interrupt = threading.Event()
Inputs = dict[str, dict[str, Any]]
Produced = tuple[tuple[Any, ...], dict[str, Any]]
"""Outputs for other nodes, and what the node shows (`images`)."""


class InterruptProcessingException(Exception):
    """The prompt was interrupted."""

    __module__ = "comfy.model_management"


@dataclass(frozen=True)
class Context:
    """What a node may know of its prompt: the graph, texts for the PNG, and whom to tell of progress."""

    prompt: dict[str, Any]
    extra_pnginfo: dict[str, Any]
    progress: Callable[[int, int, Image.Image | None], None]


@dataclass(frozen=True)
class Latent:
    """A picture to be: its size in pixels, how many, and the key to paint it by, None while it is empty."""

    width: int
    height: int
    batch_size: int
    key: bytes | None = None


@dataclass(frozen=True)
class NodeClass:
    """A node: what it takes, what it gives, and the function from a context and inputs to that."""

    name: str
    display_name: str
    inputs: Callable[[], Inputs]
    run: Callable[..., Produced]
    outputs: tuple[str, ...] = ()
    is_output: bool = False
    python_module: str = "nodes"

    def describe(self) -> dict[str, Any]:
        """The node as /object_info shows it."""
        inputs = self.inputs()
        return {
            "input": inputs,
            "input_order": {kind: list(entries) for kind, entries in inputs.items()},
            "output": self.outputs,
            "output_is_list": [False] * len(self.outputs),
            "output_name": self.outputs,
            "name": self.name,
            "display_name": self.display_name,
            "python_module": self.python_module,
            "output_node": self.is_output,
        }


def digest(*parts: object) -> bytes:
    """One hash of several values; the order and the kind of each count."""
    return hashlib.sha256(repr(parts).encode()).digest()


def load_checkpoint(context: Context, ckpt_name: str) -> Produced:
    """Model, text encoder and decoder of a checkpoint file; None for a part that it lacks."""
    checkpoint = read_checkpoint(folder_paths.full_path("checkpoints", ckpt_name))
    precision = {"F16": "torch.float16", "BF16": "torch.bfloat16"}.get(checkpoint.dtype, "torch.float32")
    logging.info(f"model weight dtype {precision}, manual cast: None")
    logging.info("model_type EPS")
    clip = checkpoint.digest if all(checkpoint.has(prefix) for prefix in CLIP_PREFIXES) else None
    if clip is None:
        logging.warning("no CLIP/text encoder weights in checkpoint, the text encoder model will not be loaded.")
    return (checkpoint.digest, clip, checkpoint.digest if checkpoint.has(VAE_PREFIX) else None), {}


def encode_text(context: Context, clip: bytes | None, text: str) -> Produced:
    if clip is None:
        raise RuntimeError(
            "ERROR: clip input is invalid: None\n\nIf the clip is from a checkpoint loader node your "
            "checkpoint does not contain a valid clip or text encoder model."
        )
    return (digest(clip, text),), {}


def empty_latent(context: Context, width: int, height: int, batch_size: int) -> Produced:
    """Blank paper, its sides multiples of 8."""
    return (Latent(width // 8 * 8, height // 8 * 8, batch_size),), {}


def sample(context: Context, model: bytes, latent_image: Latent, **settings: Any) -> Produced:
    """Decide what to paint, in as many steps as asked for; every setting counts."""
    if settings["cfg"] == 1.0:
        settings["negative"] = b""  # the pass is left out, so its text changes nothing
    key = digest(model, latent_image, sorted(settings.items()))
    logging.info("Requested to load SDXL")
    for step in range(settings["steps"]):
        if interrupt.is_set():
            interrupt.clear()
            raise InterruptProcessingException()
        time.sleep(STEP_S)
        preview = None if args.preview_method == "none" else picture.paint(key, (64, 64))
        context.progress(step + 1, settings["steps"], preview)
    return (Latent(latent_image.width, latent_image.height, latent_image.batch_size, key),), {}


def decode(context: Context, samples: Latent, vae: bytes | None) -> Produced:
    if vae is None:
        raise RuntimeError(
            "ERROR: VAE is invalid: None\n\nIf the VAE is from a checkpoint loader node your checkpoint does "
            "not contain a valid VAE."
        )
    logging.info("Requested to load AutoencoderKL")
    return ([develop(samples, index) for index in range(samples.batch_size)],), {}


def develop(latent: Latent, index: int) -> Image.Image:
    size = (latent.width, latent.height)
    if latent.key is None:
        return Image.new("RGB", size, (127, 127, 127))
    return picture.paint(digest(latent.key, index), size)


def save_images(context: Context, images: list[Image.Image], filename_prefix: str) -> Produced:
    """PNG files in the output folder that carry their prompt and workflow."""
    return write_images(context, images, filename_prefix, "output")


def preview_images(context: Context, images: list[Image.Image]) -> Produced:
    """The same in the folder of temporary files, under a prefix of five letters by chance."""
    letters = "".join(random.choice(string.ascii_lowercase) for _ in range(5))  # noqa: S311 - as ComfyUI names them
    return write_images(context, images, f"ComfyUI_temp_{letters}", "temp")


def write_images(context: Context, images: list[Image.Image], prefix: str, kind: str) -> Produced:
    folder, subfolder, name, counter = folder_paths.next_picture(prefix, *images[0].size, kind)
    texts = PngInfo()
    if not args.disable_metadata:
        texts.add_text("prompt", json.dumps(context.prompt))
        for key, value in context.extra_pnginfo.items():
            texts.add_text(key, json.dumps(value))
    results = []
    for index, image in enumerate(images):
        filename = f"{name.replace('%batch_num%', str(index))}_{counter + index:05}_.png"
        image.save(folder / filename, pnginfo=texts, compress_level=4)
        results.append({"filename": filename, "subfolder": subfolder, "type": kind})
    return (), {"images": results}


def required(**entries: Any) -> Inputs:
    """Inputs that must all be given; an entry is a type, or a type and its options."""
    return {"required": {name: entry if isinstance(entry, tuple) else (entry, {}) for name, entry in entries.items()}}


def number(kind: str, default: float, low: float, high: float, **options: object) -> tuple[str, dict[str, object]]:
    return kind, {"default": default, "min": low, "max": high, **options}


SIDE = number("INT", 512, 16, MAX_RESOLUTION, step=8)
TEXT = required(text=("STRING", {"multiline": True, "dynamicPrompts": True}), clip="CLIP")
LATENT = required(width=SIDE, height=SIDE, batch_size=number("INT", 1, 1, 4096))
SAMPLER = required(
    model="MODEL",
    seed=number("INT", 0, 0, 0xFFFFFFFFFFFFFFFF, control_after_generate=True),
    steps=number("INT", 20, 1, 10000),
    cfg=number("FLOAT", 8.0, 0.0, 100.0, step=0.1, round=0.01),
    sampler_name=(SAMPLERS, {}),
    scheduler=(SCHEDULERS, {}),
    positive="CONDITIONING",
    negative="CONDITIONING",
    latent_image="LATENT",
    denoise=number("FLOAT", 1.0, 0.0, 1.0, step=0.01),
)
DECODER = required(samples="LATENT", vae="VAE")
SAVE = required(images="IMAGE", filename_prefix=("STRING", {"default": "ComfyUI"})) | HIDDEN
PREVIEW = required(images="IMAGE") | HIDDEN


def loader_inputs() -> Inputs:
    """The checkpoints that are there now."""
    return required(ckpt_name=(folder_paths.list_models("checkpoints"), {}))


NODES = (
    NodeClass("CheckpointLoaderSimple", "Load Checkpoint", loader_inputs, load_checkpoint, ("MODEL", "CLIP", "VAE")),
    NodeClass("CLIPTextEncode", "CLIP Text Encode (Prompt)", lambda: TEXT, encode_text, ("CONDITIONING",)),
    NodeClass("EmptyLatentImage", "Empty Latent Image", lambda: LATENT, empty_latent, ("LATENT",)),
    NodeClass("KSampler", "KSampler", lambda: SAMPLER, sample, ("LATENT",)),
    NodeClass("VAEDecode", "VAE Decode", lambda: DECODER, decode, ("IMAGE",)),
    NodeClass("SaveImage", "Save Image", lambda: SAVE, save_images, is_output=True),
    NodeClass("PreviewImage", "Preview Image", lambda: PREVIEW, preview_images, is_output=True),
)
NODE_CLASSES = {node.name: node for node in NODES}
