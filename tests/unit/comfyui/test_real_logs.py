"""Logs of real people: the decisive lines of public threads of 2023 to 2026, and logs in which nothing is wrong.

Each file of `tests/facts/logs` has one cause, which the thread ended with. Names of people are taken out.
"""

from __future__ import annotations

import re

import pytest

from provision.comfyui.log_reader import Sign, read_log, read_pieces
from provision.steps.catalogue import CATALOGUE, known
from provision.system.text_stream import pieces
from tests.support.hints import said
from tests.support.paths import FACTS

LOGS = FACTS / "logs"
CAUSES = {
    "03-conv3d-mps": ("mps-refuses", "--torch nightly"),
    "05-bf16-mps-vae": ("mps-bf16", "--fp32-vae"),
    "07-float64-custom-node": ("fp8-fp64-mps", "ComfyUI-DynamiCrafterWrapper.disabled"),
    "08-cuda-in-custom-node": ("node-error", "ComfyUI-DiffusersImageOutpaint.disabled"),
    "11-autocast-mps": ("torch-old", "newest matching torch"),
    "12-torch-no-uint64": ("torch-old", "newest matching torch"),
    "14-sqlalchemy-too-old": ("package-misfit", "provision all"),
    "16-db-unknown-revision": ("db-bad", "comfyui.db aside"),
    "17-db-cannot-open": ("db-bad", "ComfyUI/user"),
    "18-uv-python-timeout": ("net-cut", "Retry"),
    "19-git-rpc-failed": ("net-cut", "Retry"),
    "21-hf-consistency": ("net-cut", "Retry"),
    "22-xet-incomplete-body": ("xet-failed", "HF_HUB_DISABLE_XET=1"),
    "23-xet-timer-expired": ("xet-failed", "HF_HUB_DISABLE_XET=1"),
    "25-proxy-407": ("proxy", "NAME:PASSWORD"),
    "27-local-entry-not-found": ("net-down", "net-down"),
    "28-hf-429-requests": ("hf-429", "wait"),
    "30-hf-git-403": ("hf-refused", "hf auth login"),
    "32-hf-gated-no-class": ("hf-gated", "Accept them"),
    "35-hf-file-404": ("hf-not-found", "huggingface.co"),
    "36-wget-401": ("hf-refused", "hf auth login"),
    "38-lfs-password": ("lfs-refused", "--backend auto"),
    "39-lfs-quota": ("lfs-refused", "elsewhere"),
    "40-lfs-budget": ("lfs-refused", "elsewhere"),
    "43-tls-self-signed": ("tls-intercept", "SSL_CERT_FILE"),
    "45-tls-old-wget": ("tls-old", "wget"),
    "46-uv-platform-tag": ("py-rosetta", "arm64"),
    "48-pip-not-supported-wheel": ("py-rosetta", "arm64"),
    "49-uv-index-403": ("index-refused", "UV_INDEX_URL"),
    "50-pip-hashes": ("pkg-damaged", "cache purge"),
    "52-build-xformers": ("not-for-macs", "Skip xformers"),
    "53-torchaudio-symbol-node": ("ta-mismatch", "provision all"),
    "55-numpy2-custom-node": ("package-misfit", "Update that package"),
    "57-mps-invalid-buffer": ("mps-too-large", "smaller"),
    "58-mps-ndarray-2e32": ("mps-too-large", "smaller"),
    "60-llvm-broadcast-abort": ("mixed-dtypes", "custom node"),
    "61-mps-type-mismatch": ("mps-placeholder", "ComfyUI_Sonic.disabled"),
    "64-zsh-abort-avx": ("native-crash", "Intel Python"),
    "65-python-without-lzma": ("python-incomplete", "xz"),
    "67-header-too-large-other-model": ("model-damaged", "that file again"),
    "69-git-local-changes": ("git-dirty", "stash"),
    "71-too-many-open-files": ("files-limit", "ulimit -n 4096"),
    "72-read-only-fs": ("read-only", "path"),
    "73-hf-cache-permission": ("perms-root", "/Users/me/.cache/huggingface/hub"),
    "75-hf-cli-gone": ("hf-cli-name", "hf download"),
    "76-comfy-cli-make-metavar": ("package-misfit", "comfy-cli"),
    "77-git-ssl-issuer": ("tls-intercept", "SSL_CERT_FILE"),
    "78-zsh-no-wget": ("wget-missing", "curl"),
    "84-bind-cannot-assign": ("listen-wrong", "--listen"),
    "85-torch-not-linked-mps": ("torch-no-mps", "arm64"),
}
"""The finding that each names, and what its fix must speak of."""


WORDS = re.findall(r"(?ms)^=== (\S+) ?(\S*)\n(.*?)(?=^=== |\Z)", (LOGS / "words.txt").read_text(encoding="utf-8"))
"""What programs say in other versions, paths, systems and locales: the finding, the custom node at fault, the words."""
NO_MESSAGES = {
    "-v",
    "--locked",
    "hf cache",
    "._",
    "sdxl-turbo/...",
    "import torch",
    "git pull",
    "hf",
    "CLIPLoader",
    "VAELoader",
    "float64",
    "comfyui.args",
    "--fp16-vae",
}
"""What the page has in its signs for code and is no message: commands, flags, names."""


def quoted_messages() -> dict[str, set[str]]:
    """The messages that docs/doctor.md quotes, with the findings whose rows quote them, or a part of them."""
    rows = [(phrase, kind.id) for kind in CATALOGUE for phrase in re.findall("`([^`]+)`", kind.means)]
    rows = [(phrase, id) for phrase, id in rows if phrase not in NO_MESSAGES]
    return {phrase: {id for part, id in rows if as_pattern(part).search(phrase)} for phrase, _ in rows}


def as_pattern(phrase: str) -> re.Pattern[str]:
    """A phrase of the page, where three dots stand for anything."""
    return re.compile(".*".join(map(re.escape, phrase.split("..."))))


def read(name: str) -> list[Sign]:
    return read_pieces(pieces(LOGS / f"{name}.log"))


@pytest.mark.parametrize("name", CAUSES)
def test_a_real_log_is_named_and_nothing_else_is_said(name: str) -> None:
    id, fix = CAUSES[name]
    signs = read(name)
    assert {sign.id for sign in signs} == {id}
    assert all(fix in said(sign.hint) for sign in signs)
    assert known(id) is not None


def test_every_log_has_its_cause() -> None:
    names = {path.stem for path in LOGS.glob("*.log")}
    assert names == CAUSES.keys() | {name for name in names if name.startswith("healthy-")}


@pytest.mark.parametrize("name", sorted(path.stem for path in LOGS.glob("healthy-*.log")))
def test_a_healthy_log_says_nothing(name: str) -> None:
    assert read(name) == []


@pytest.mark.parametrize(("id", "node", "text"), WORDS)
def test_other_words_of_the_same_kind_are_named_too(id: str, node: str, text: str) -> None:
    signs = read_log(f"before\n{text}")
    assert {sign.id for sign in signs} == {id} - {"harmless"}
    assert not node or {sign.node for sign in signs} == {node}
    assert all("{" not in sign.says + said(sign.hint) and "()" not in sign.says for sign in signs)


@pytest.mark.parametrize("phrase", quoted_messages())
def test_a_message_that_the_page_quotes_is_known_in_a_log(phrase: str) -> None:
    line = phrase.replace("...", "x")
    assert {sign.id for sign in read_log(f"first\n{line}\nlast")} & quoted_messages()[phrase]
