"""Logs as people send them: each meaning once, at its line; and what of ComfyUI's log is still about now."""

from __future__ import annotations

import time

import pytest

from provision.comfyui.error_signatures import SIGNATURES
from provision.comfyui.log_reader import (
    is_cut_off,
    last_prompt,
    last_run,
    prompt_signs,
    read_log,
    start_signs,
)
from provision.comfyui.log_signatures import LOG_SIGNATURES
from provision.steps.catalogue import CATALOGUE, known
from tests.support.hints import said

HEALTHY = """Total VRAM 16384 MB, total RAM 16384 MB
pytorch version: 2.16.0.dev20261101
Device: mps
ComfyUI version: 0.38.1
Starting server

To see the GUI go to: http://127.0.0.1:8188
got prompt
Requested to load SDXL
Prompt executed in 2.31 seconds
"""
BROKEN_NODE = """Traceback (most recent call last):
  File "/h/ComfyUI/nodes.py", line 2131, in load_custom_node
    module_spec.loader.exec_module(module)
ModuleNotFoundError: No module named 'cv2'

Cannot import /h/my ComfyUI/custom_nodes/comfy-paint module for custom nodes: No module named 'cv2'
"""
BROKEN_EXTRA = """Traceback (most recent call last):
ModuleNotFoundError: No module named 'torchaudio'

Cannot import /h/ComfyUI/comfy_extras/nodes_audio.py module for custom nodes: No module named 'torchaudio'

WARNING: some comfy_extras/ nodes did not import correctly. This may be because they are missing some dependencies.

IMPORT FAILED: nodes_audio.py
"""
OOM = """got prompt
!!! Exception during processing !!! MPS backend out of memory (MPS allocated: 17.90 GB, max allowed: 18.13 GB).
Traceback (most recent call last):
  File "/h/ComfyUI/execution.py", line 510, in execute
RuntimeError: MPS backend out of memory (MPS allocated: 17.90 GB, max allowed: 18.13 GB).

Prompt executed in 4.10 seconds
"""


def told(text: str) -> list[tuple[int, str]]:
    return [(sign.line, sign.id) for sign in read_log(text, CATALOGUE)]


def test_a_healthy_log_says_nothing() -> None:
    assert told(HEALTHY) == []
    assert start_signs(HEALTHY) == []
    assert prompt_signs(last_prompt(HEALTHY)) == []
    assert not is_cut_off(last_prompt(HEALTHY))


def test_each_meaning_stands_once_with_the_line_where_it_is_first() -> None:
    assert told(HEALTHY + OOM + OOM) == [(12, "mps-oom")]
    (sign,) = read_log(HEALTHY + OOM)
    assert sign.text.startswith("!!! Exception")
    assert said(sign.hint)


def test_a_custom_node_takes_its_traceback_with_it() -> None:
    assert told(BROKEN_NODE + HEALTHY) == [(6, "node-failed")]
    (sign,) = read_log(BROKEN_NODE)
    assert sign.node == "comfy-paint"
    assert "No module named 'cv2'" in sign.says


def test_colours_and_prefixes_do_not_hide_a_sign() -> None:
    line = "\x1b[33m[WARNING]\x1b[0m Cannot import C:\\ComfyUI\\custom_nodes\\paint module for custom nodes: no cv2"
    (sign,) = read_log(f"2026-11-22T10:00:00.1 - {line}\n")
    assert (sign.id, sign.node) == ("node-failed", "paint")


def test_a_node_of_comfyui_itself_is_no_custom_node() -> None:
    assert [sign.id for sign in start_signs(BROKEN_EXTRA + HEALTHY)] == ["extras-failed"]


def test_two_different_meanings_are_two() -> None:
    text = "No module named 'yaml'\nNo module named 'av'\nNo module named 'yaml'\n"
    assert [(sign.line, sign.says) for sign in read_log(text)] == [
        (1, "the Python package yaml is missing"),
        (2, "the Python package av is missing"),
    ]


@pytest.mark.parametrize(
    ("line", "id"),
    [
        ("nodes.py:1594: RuntimeWarning: invalid value encountered in cast", "black-image"),
        ("zsh: killed     python main.py", "mem-killed"),
        ("resource_tracker: 1 leaked semaphore objects to clean up\nzsh: killed     python main.py", "mem-killed"),
        ("Value not in list: ckpt_name: 'a.safetensors' not in []", "ckpt-unlisted"),
        ("WARNING path /m/a.safetensors exists but doesn't link anywhere, skipping.", "ckpt-deadlink"),
        ("ERROR: No matching distribution found for torch", "py-rosetta"),
        ("ERROR: No matching distribution found for torchvision==0.31.0.dev20261101", "nightly-gap"),
        ("error: externally-managed-environment", "pip-managed"),
        ("OMP: Error #15: Initializing libomp.dylib", "omp-dup"),
        ("xcrun: error: invalid active developer path (/Library/Developer/CommandLineTools)", "clt-stale"),
        ("fatal: detected dubious ownership in repository at '/h'", "git-owner"),
        ("fatal: Unable to create '/h/.git/index.lock': File exists.", "git-lock"),
        ("ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] unable to get local issuer", "tls-store"),
        ("huggingface_hub.errors: 429 Too Many Requests for url", "hf-429"),
        ("Placeholder storage has not been allocated on MPS device!", "mps-placeholder"),
        ("RuntimeError: operator torchvision::nms does not exist", "tv-mismatch"),
        ("ASSETS_STARTUP_FAILED: in_use", "db-in-use"),
    ],
)
def test_signs(line: str, id: str) -> None:
    assert told(f"first\n{line}\nlast\n") == [(2 + line.count("\n"), id)]


def test_every_sign_is_known_and_filled() -> None:
    for signature in (*LOG_SIGNATURES, *SIGNATURES):
        assert known(signature.id) is not None
        assert signature.says
        assert signature.hint


def test_our_own_log_is_read_from_its_last_run() -> None:
    log = (
        "--- 2026-11-21 10:00:00 provision all\nmodels: [blocked] net-down x: it was down.\n"
        "--- 2026-11-22 10:00:00 provision doctor\ntools: [ok] git-ready /usr/bin/git: git 2.39.5.\n"
        "models: [fixable] ckpt-truncated ComfyUI/models/a: a has 3 of the 5 bytes.\n"
        "requirements: | ModuleNotFoundError: No module named 'yaml'\n"
    )
    signs = read_log(log, CATALOGUE)
    assert [(sign.line, sign.id) for sign in signs] == [(5, "ckpt-truncated"), (6, "req-missing")]
    assert signs[0].says == "a has 3 of the 5 bytes"


def test_the_last_run_begins_with_the_last_start() -> None:
    assert last_run(HEALTHY) == HEALTHY
    assert last_run("ComfyUI is killed\n" + HEALTHY + HEALTHY) == HEALTHY


def test_why_it_did_not_start() -> None:
    dead = "Total VRAM 1 MB, total RAM 1 MB\nTraceback (most recent call last):\nNo module named 'av'\n"
    assert [sign.id for sign in start_signs(dead)] == ["req-missing"]


def test_the_last_prompt_counts() -> None:
    assert [sign.id for sign in prompt_signs(last_prompt(HEALTHY + OOM))] == ["mps-oom"]
    assert prompt_signs(last_prompt(HEALTHY + OOM + "got prompt\nPrompt executed in 2.0 seconds\n")) == []


def test_an_error_that_is_not_known_is_named_all_the_same() -> None:
    (sign,) = prompt_signs("\n!!! Exception during processing !!! the moon is full\nTraceback ...\n")
    assert (sign.id, sign.says) == ("node-error", "a node failed: the moon is full")


@pytest.mark.parametrize(
    ("prompt", "cut_off"),
    [
        ("", False),
        ("\nRequested to load SDXL\n", True),
        ("\nProcessing interrupted\n", False),
        ("\nFailed to validate prompt for output 7:\n", False),
    ],
)
def test_a_prompt_that_was_cut_off(prompt: str, cut_off: bool) -> None:
    assert is_cut_off(prompt) is cut_off


def test_a_large_log_is_read_quickly() -> None:
    log = (HEALTHY + OOM + BROKEN_NODE) * 3000
    started = time.process_time()
    assert {id for _, id in told(log)} == {"mps-oom", "node-failed"}
    assert time.process_time() - started < 20
