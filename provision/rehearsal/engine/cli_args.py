"""The command line. An unknown flag, or two that exclude each other, ends with exit code 2."""

from __future__ import annotations

import argparse

from comfyui_version import __version__

VERSION = tuple(int(part) for part in __version__.split("."))
IS_RECENT = VERSION >= (0, 38)
"""Whether to speak as 0.38 does, and not as 0.3.64: some flags and the words of some errors changed."""

SWITCHES = (
    "--auto-launch",
    "--disable-auto-launch",
    "--cpu-vae",
    "--deterministic",
    "--disable-all-custom-nodes",
    "--disable-metadata",
    "--disable-mmap",
    "--disable-smart-memory",
    "--disable-xformers",
    "--dont-print-server",
    "--log-stdout",
    "--multi-user",
    "--quick-test-for-ci",
)
RECENT = ("--disable-assets", "--disable-partner-nodes", "--offline")
"""In quotes each: which flags a ComfyUI knows is read from this file."""


def exclusive(parser: argparse.ArgumentParser, *flags: str) -> None:
    """Switches of which at most one may be given."""
    group = parser.add_mutually_exclusive_group()
    for flag in flags:
        group.add_argument(flag, action="store_true")


def build_parser() -> argparse.ArgumentParser:
    """Flags and defaults of ComfyUI's comfy/cli_args.py, those that have to do with one Mac and one image."""
    parser = argparse.ArgumentParser(prog="main.py")
    parser.add_argument("--listen", default="127.0.0.1", metavar="IP", nargs="?", const="0.0.0.0,::")
    parser.add_argument("--port", type=int, default=8188)
    parser.add_argument("--enable-cors-header", default=None, metavar="ORIGIN", nargs="?", const="*")
    parser.add_argument("--max-upload-size", type=float, default=100)
    for flag in ("--base-directory", "--output-directory", "--temp-directory", "--input-directory", "--user-directory"):
        parser.add_argument(flag, default=None)
    parser.add_argument("--extra-model-paths-config", metavar="PATH", nargs="+", action="append")
    parser.add_argument("--preview-method", choices=("none", "auto", "latent2rgb", "taesd"), default="none")
    parser.add_argument("--preview-size", type=int, default=512)
    parser.add_argument("--cache-lru", type=int, default=0)
    parser.add_argument("--reserve-vram", type=float, default=None)
    parser.add_argument("--fast", nargs="*")
    parser.add_argument("--front-end-version", default="comfyanonymous/ComfyUI@latest")
    levels = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
    parser.add_argument("--verbose", default="INFO", const="DEBUG", nargs="?", choices=levels)
    parser.add_argument("--whitelist-custom-nodes", nargs="+", default=[])
    exclusive(parser, "--force-fp32", "--force-fp16")
    exclusive(parser, "--fp32-unet", "--fp64-unet", "--bf16-unet", "--fp16-unet")
    exclusive(parser, "--fp16-vae", "--fp32-vae", "--bf16-vae")
    exclusive(parser, "--fp16-text-enc", "--fp32-text-enc", "--bf16-text-enc")
    exclusive(parser, "--force-upcast-attention", "--dont-upcast-attention")
    exclusive(
        parser,
        "--use-split-cross-attention",
        "--use-quad-cross-attention",
        "--use-pytorch-cross-attention",
        *(["--use-ck-attention"] if IS_RECENT else []),
    )
    memory = ["--gpu-only", "--highvram", "--lowvram", "--novram", "--cpu"]
    exclusive(parser, *(memory if IS_RECENT else [*memory, "--normalvram"]))
    for flag in (*SWITCHES, *(RECENT if IS_RECENT else ())):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("--disable-api-nodes", action="store_true", help="Deprecated, use --offline in its place.")
    return parser


args = build_parser().parse_args()
