"""Where models, pictures and settings lie, and what is there. The disk is read anew at each call."""

from __future__ import annotations

import logging
import os
import re
import time
from pathlib import Path

import yaml
from cli_args import args

BASE = Path(args.base_directory).absolute() if args.base_directory else Path(__file__).resolve().parent
MODEL_EXTENSIONS = frozenset({".ckpt", ".pt", ".pt2", ".bin", ".pth", ".safetensors", ".pkl", ".sft"})
MODEL_FOLDERS = {
    "checkpoints": ("checkpoints",),
    "configs": ("configs",),
    "loras": ("loras",),
    "vae": ("vae",),
    "text_encoders": ("text_encoders", "clip"),
    "diffusion_models": ("unet", "diffusion_models"),
    "clip_vision": ("clip_vision",),
    "embeddings": ("embeddings",),
    "diffusers": ("diffusers",),
    "vae_approx": ("vae_approx",),
    "controlnet": ("controlnet", "t2i_adapter"),
    "upscale_models": ("upscale_models",),
}
LEGACY_NAMES = {"unet": "diffusion_models", "clip": "text_encoders"}
folders = {kind: [BASE / "models" / name for name in names] for kind, names in MODEL_FOLDERS.items()}


def directory(kind: str) -> Path:
    """The absolute folder of `output`, `input`, `temp` or `user`."""
    given = getattr(args, f"{kind}_directory")
    if not given:
        return BASE / kind
    return Path(given, "temp" if kind == "temp" else "").absolute()


def is_inside(path: Path, folder: Path) -> bool:
    """Whether an absolute `path` is `folder` or lies in it, by name alone."""
    return Path(os.path.normpath(path)).is_relative_to(folder)


def list_models(kind: str) -> list[str]:
    """Every model file of the kind's folders, at any depth, by its name as it is written on the disk."""
    found: set[str] = set()
    for folder in folders[kind]:
        for parent, subfolders, files in os.walk(folder, followlinks=True):
            subfolders[:] = [name for name in subfolders if name != ".git"]
            models = (Path(parent, name) for name in files)
            found.update(str(path.relative_to(folder)) for path in models if path.suffix.lower() in MODEL_EXTENSIONS)
    return sorted(found)


def full_path(kind: str, name: str) -> Path:
    """The file of that name; FileNotFoundError where there is none."""
    inside = os.path.normpath(f"/{name}").lstrip("/")
    for path in (folder / inside for folder in folders[kind]):
        if path.is_file():
            return path
        if path.is_symlink():
            logging.warning(f"WARNING path {path} exists but doesn't link anywhere, skipping.")
    raise FileNotFoundError(f"Model in folder '{kind}' with filename '{name}' not found.")


def next_picture(prefix: str, width: int, height: int, kind: str = "output") -> tuple[Path, str, str, int]:
    """Folder, subfolder, base name and first free counter for pictures saved under `prefix`.

    `prefix` may hold %width%, %height%, %year% and the like. ValueError where it leads out of the output folder.
    """
    for variable, value in picture_variables(width, height).items():
        prefix = prefix.replace(f"%{variable}%", value)
    subfolder, name = os.path.split(os.path.normpath(prefix))
    output = directory(kind)
    if not is_inside(output / subfolder, output):
        raise ValueError("**** ERROR: Saving image outside the output folder is not allowed.")
    folder = output / subfolder
    folder.mkdir(parents=True, exist_ok=True)
    pattern = re.compile(re.escape(name) + r"_(\d+)_", re.IGNORECASE)
    taken = (pattern.match(path.name) for path in folder.iterdir())
    return folder, subfolder, name, max((int(found[1]) for found in taken if found), default=0) + 1


def picture_variables(width: int, height: int) -> dict[str, str]:
    """What may stand between percent signs in a file name's prefix."""
    now = time.localtime()
    parts = dict(zip(("month", "day", "hour", "minute", "second"), now[1:6], strict=True))
    plain = {"width": width, "height": height, "year": now.tm_year}
    return {name: str(value) for name, value in plain.items()} | {name: f"{value:02}" for name, value in parts.items()}


def load_extra_paths(config_file: Path) -> None:
    """Add the model folders that a YAML file names. Whatever is wrong with it ends the start."""
    sections = yaml.safe_load(config_file.read_text(encoding="utf-8"))
    for section in sections:
        entries = sections[section]
        if entries is None:
            continue
        base = Path(os.path.expandvars(entries.pop("base_path", ""))).expanduser()
        is_default = entries.pop("is_default", False)
        for kind in entries:
            known = folders.setdefault(LEGACY_NAMES.get(kind, kind), [])
            for line in filter(None, entries[kind].split("\n")):
                folder = Path(os.path.normpath(config_file.absolute().parent / base / line))
                logging.info(f"Adding extra search path {kind} {folder}")
                if folder not in known:
                    known.insert(0 if is_default else len(known), folder)
