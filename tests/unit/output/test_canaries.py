"""Canaries of every kind that a report could tell, and strings that an issue is read for, which must survive."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from provision.cli.commands.shared_page import person_of
from provision.core.step import Context
from provision.output.report.redact import Person, redact
from provision.system.local_machine import LocalMachine

JANE = Person(
    folders=("/Users/janedoe",),
    names=("janedoe", "Jane Doe", "Jane"),
    hosts=("Janes-Air.local", "Janes-Air"),
    secrets=("known-secret-value",),
)
NOBODY = Person()
A = "aB3dE5fG7hJ9kL2mN4pQ6rS8tU1vW3xY5zA7bC9d"
"""Forty letters and digits, as a key has them."""
HEX = "0123456789abcdef0123456789abcdef01234567"
B64 = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDZ0a1b2c3d4e5f"

# By the services' own prefixes; each is looked for whole, and by its last twelve characters.
KEYS = {
    "Hugging Face": f"hf_{A[:34]}", "Hugging Face, short": "hf_abc123def456",
    "Hugging Face, organisation": f"api_org_{A[:34]}",
    "OpenAI": f"sk-{A}", "OpenAI, project": f"sk-proj-{A}_{A[:8]}-{A}", "OpenAI, service": f"sk-svcacct-{A}",
    "Anthropic": f"sk-ant-api03-{A}-{A}AA", "OpenRouter": f"sk-or-v1-{HEX}", "DeepSeek": f"sk-{HEX[:32]}",
    "comfy.org": f"comfyui-{HEX}{HEX[:24]}", "Replicate": f"r8_{A[:37]}", "Groq": f"gsk_{A}", "xAI": f"xai-{A}{A}",
    "Perplexity": f"pplx-{A}", "NVIDIA": f"nvapi-{A}", "Together": f"tgp_v1_{A}", "Fireworks": f"fw_{A[:24]}",
    "Pinecone": f"pcsk_{A}", "RunPod": f"rpa_{A}", "Weights & Biases, new": f"wandb_v1_{A}",
    "LangSmith": f"lsv2_pt_{HEX[:32]}_0123456789",
    "npm": f"npm_{A[:36]}", "PyPI": f"pypi-AgEIcHlwaS5vcmc{A}", "Docker": f"dckr_pat_{A[:27]}",
    "GitHub": f"ghp_{A[:36]}", "GitHub, server": f"ghs_{A[:36]}", "GitHub, fine": f"github_pat_11ABCDEFG0{A}_{A}",
    "GitLab": f"glpat-{A[:20]}", "GitLab, runner": f"glrt-{A[:20]}", "Atlassian": f"ATATT3xFfGF0{A}",
    "DigitalOcean": f"dop_v1_{HEX}{HEX[:24]}", "SendGrid": f"SG.{A[:22]}.{A[:40]}abc", "Stripe": f"sk_live_{A[:24]}",
    "Stripe, restricted": f"rk_live_{A[:24]}", "Stripe, public": f"pk_live_{A[:24]}",
    "Stripe, webhook": f"whsec_{A[:32]}",
    "Slack, app": f"xapp-1-A012345-678-{HEX}", "Slack, bot": f"xoxb-123456789012-{A[:24]}",
    "Slack, user": f"xoxp-1234567890-{A}",
    "Amazon": "AKIAIOSFODNN7EXAMPLE", "Amazon, session": "ASIAIOSFODNN7EXAMPLE", "Google": f"AIzaSy{A[:33]}",
    "Google, OAuth": f"ya29.a0{A}-{A}", "Google, client": f"GOCSPX-{A[:28]}", "Twilio": f"SK{HEX[:32]}",
    "Twilio, account": f"AC{HEX[:32]}",
    "Tailscale": f"tskey-auth-{A[:12]}CNTRL-{A[:20]}", "Supabase": f"sbp_{HEX}", "Databricks": f"dapi{HEX[:32]}",
    "Doppler": f"dp.st.dev.{A}", "Linear": f"lin_api_{A}", "Notion, old": f"secret_{A}abc", "Notion": f"ntn_{A}",
    "fal": f"01234567-89ab-cdef-0123-456789abcdef:{HEX[:32]}", "Stability": f"sk-{A}abcdefgh", "Vercel": f"vcp_{A}",
    "Mailgun": f"key-{HEX[:32]}", "Mailchimp": f"{HEX[:32]}-us12", "Vault": f"hvs.{A}",
    "Terraform": f"{A[:14]}.atlasv1.{A}{A}",
    "Grafana": f"glsa_{A[:32]}_01234567", "Figma": f"figd_{A}", "Postman": f"PMAK-{HEX[:24]}-{HEX}",
    "New Relic": f"NRAK-{A[:27]}",
    "Sentry": f"sntrys_{A}", "Shopify": f"shpat_{HEX[:32]}", "Square": f"sq0atp-{A[:22]}", "Fly": f"FlyV1 fm2_{A}",
    "Modal": f"ak-{A[:22]}", "age": "AGE-SECRET-KEY-1QQPZRY9X8GF2TVDW0S3JN54KHCE6MUA7LQQPZRY9X8GF2TVDW0S3JN54",
    "JWT": f"eyJhbGciOiJIUzI1NiJ9.{A}.{A}", "Telegram": f"1234567890:AA{A[:33]}",
    "ssh, public": f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5{A}",
    "Discord": f"MTIzNDU2Nzg5MDEyMzQ1Njc4.GaBcDe.{A[:38]}",
}  # fmt: skip
# Where a key stands in what programs print; {0} is the key.
AROUND = (
    "{0}",
    "token {0}",
    "401 for {0}, retrying",
    '"{0}"',
    "'{0}'",
    '{{"key": "{0}"}}',
    "a\\n{0}\\nb",
    "({0})",
    "x={0}&y=1",
    "https://example.org/{0}/x",
    "%3D{0}",
    "[{0}]",
    "Invalid key: {0}.",
    "`{0}`",
    "<k>{0}</k>",
    "\t{0}",
    "--key={0}",
)


HIDERS = ("\u200b", "\u200d", "\u2060", "\xad", "\x00", "\x1b[0m", "\u202e", "\ufeff")


@pytest.mark.parametrize("service", KEYS)
def test_a_key_goes_by_its_form(service: str) -> None:
    key = KEYS[service]
    for around in AROUND:
        told = redact(around.format(key), NOBODY)
        assert key[-10:] not in told, around
        assert redact(told, NOBODY) == told


@pytest.mark.parametrize("service", KEYS)
def test_a_key_that_hidden_characters_cut_up_goes_too(service: str) -> None:
    key = KEYS[service]
    for hidden in HIDERS:
        cut = key[:3] + hidden + key[3:7] + hidden + key[7:]
        assert key[-8:] not in redact(f"the word {cut} is wrong", NOBODY), ascii(cut)


# -- by what stands before a secret, in every spelling --------------------------------------------------------------

NAMES = (
    "TOKEN", "HF_TOKEN", "HF_TOKEN_2", "token", "accessToken", "access_token", "secret", "CLIENT_SECRET",
    "clientSecret",
    "password", "PGPASSWORD", "db-password", "passwd", "pwd", "passphrase", "api_key", "apiKey", "API_KEY", "api-key",
    "api_key_comfy_org", "OPENAI_API_KEY", "CIVITAI_KEY", "KEY", "SIGNING_KEY", "AWS_SECRET_ACCESS_KEY", "private_key",
    "auth",
    "NPM_CONFIG__AUTH", "session_id", "AccountKey", "credentials", "HTTP_BASIC_AUTH", "auth_token", "webhook",
    "SENTRY_DSN",
    "X-Api-Key", "Private-Token", "X-Auth-Token",
)  # fmt: skip
SPELT: dict[str, Callable[[str, str], str]] = {
    "shell": lambda name, value: f"export {name}={shlex.quote(value)}",
    "shell, double": lambda name, value: f'{name}="{value}" run',
    "YAML": lambda name, value: f"  {name}: {value}",
    "JSON": lambda name, value: json.dumps({name: value}),
    "JSON in JSON": lambda name, value: json.dumps(json.dumps({name: value})),
    "Python": lambda name, value: f"{{{name!r}: {value!r}, 'x': 1}}",
    "keyword": lambda name, value: f"login({name}={value!r})",
    "INI": lambda name, value: f"{name} = {value}",
    "XML": lambda name, value: f"<{name}>{value}</{name}>",
    "Ruby": lambda name, value: f"{name!r} => {value!r}",
    "query": lambda name, value: f"GET /x?{name}={value}&y=1",
    "flag": lambda name, value: f"run --{name}={value} -x",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_secret_goes_by_its_name(name: str) -> None:
    for spell in SPELT.values():
        told = redact(spell(name, "hunter2xyz"), NOBODY)
        assert "hunter2" not in told, told
        assert redact(told, NOBODY) == told


OTHERS: tuple[tuple[str, str], ...] = (
    ("my api key is hunter2xyz", "hunter2"), ("password is hunter2", "hunter2"),
    ('the token is "hunter2xyz"', "hunter2"),
    ("passphrase: correct horse battery", "horse"), ("auth=('jane', 'hunter2')", "hunter2"),
    ("tool --token hunter2", "hunter2"),
    ("curl -u jane:hunter2 http://x", "hunter2"), ("machine huggingface.co login jd77 password hunter2", "hunter2"),
    ("machine huggingface.co login jd77 password hunter2", "jd77"), ("Cookie: sid=hunter2; x=y", "hunter2"),
    ("Authorization: Bearer hunter2xyz", "hunter2"),
    ("wandb: logged in with 0123456789abcdef0123456789abcdef01234567", HEX),
    ("WANDB key 0123456789abcdef0123456789abcdef01234567", HEX),
    ("civitai login 0123456789abcdef0123456789abcdef", HEX[:32]),
    ("ngrok config add-authtoken 2abcDEF0123456789ghiJKLmnop_4qrSTUvwx5yz6ABCdef7G", "4qrSTU"),
    ("https://hooks.slack.com/services/T0AAA/B0BBB/hunter2", "hunter2"),
    ("https://hooks.slack.com/services/T0AAA/B0BBB/x", "T0AAA"),
    ("https://discord.com/api/webhooks/123/hunter2", "hunter2"),
    ("https://api.telegram.org/bot123:hunter2/x", "hunter2"),
    ("https://x.blob.core.windows.net/c?sv=1&sig=hunter2%3D", "hunter2"), ("known-secret-value", "known-secret"),
    (f"-----BEGIN PRIVATE KEY-----\n{B64}\n{B64}\nshort==\n-----END PRIVATE KEY-----", "MIIE"),
    (f"-----BEGIN OPENSSH PRIVATE KEY-----\\n{B64}\\n{B64}\\nshort==\\n-----END OPENSSH PRIVATE KEY-----", "short"),
    (f"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n{B64}\n{B64}", "MIIE"),
    (f"{B64}\n{B64}\nshort==\n-----END PRIVATE KEY-----", "MIIE"),
    (f"{B64}\nshort==\n-----END PRIVATE KEY-----", "short"),
    # Name and password in an address: any letter, also a slash.
    ("https://alice:p%40ss/word@host/x", "word"), ("https://alice:p@ss@host/x", "ss@"),
    ("https://alice:p:a/s?s#w@host.org/x", "a/s"),
    ("https://hf_user:secret@huggingface.co/a/b", "secret"), ("ftp://alice@files.example.org", "alice"),
    ("redis://:hunter2@10.0.0.5:6379/0", "hunter2"), ("https://alice:12/ab@host.example.org/", "ab@"),
    ("proxy alice:hunter2@proxy.example.org:3128", "hunter2"),
    ("git clone https://alice:hunter2@github.com/a/b", "alice"),
    ("socks5h://alice:hunter2@127.0.0.1:1080", "hunter2"),
    # Homes, in all spellings.
    ("/Users/bobsmith/x", "bobsmith"), ("/home/bobsmith/x", "bobsmith"),
    ("/System/Volumes/Data/Users/bobsmith/x", "bobsmith"),
    ("~bobsmith/x", "bobsmith"), ("~janedoe", "janedoe"), (r"\/Users\/bobsmith\/x", "bobsmith"),
    ("%2FUsers%2Fbobsmith%2Fx", "bobsmith"),
    ("%252FUsers%252Fbobsmith%252Fx", "bobsmith"), ("file:///Users/bobsmith/x", "bobsmith"),
    ("file:/Users/bobsmith", "bobsmith"),
    ("/private/var/home/bobsmith", "bobsmith"), (r"C:\Users\bobsmith\x", "bobsmith"),
    (r"C:\\Users\\bobsmith\\x", "bobsmith"),
    ("/mnt/c/Users/bobsmith/x", "bobsmith"), ("/export/home/bobsmith/x", "bobsmith"),
    ("/Volumes/Macintosh HD/Users/bobsmith/x", "bobsmith"),
    ("vscode-remote://file/Users/bobsmith/x", "bobsmith"), ("-I/Users/bobsmith/include", "bobsmith"),
    ("x:/Users/bobsmith:/bin", "bobsmith"),
    (r"\u002fUsers\u002fbobsmith\u002fx", "bobsmith"), ("a/Users/bobsmith/x", "bobsmith"),
    ("/Users/bob%20smith/x", "smith"),
    ("/private/var/folders/zz/zyxvpxvq6csfxvn/T/x", "zyxvpx"), (r"\/var\/folders\/zz\/zyxvpxvq6csfxvn\/T", "zyxvpx"),
    ("/media/bobsmith/USB/x", "bobsmith"), ("/run/media/bobsmith/USB/x", "bobsmith"),
    # Volumes.
    ("/Volumes/Bobs disk/models/x", "Bobs"), ("/Volumes/Bobs disk/models/x", "disk"),
    ("/Volumes/Backup2019: no space", "Backup"),
    (r"/Volumes/Bobs\ disk/models", "disk"), (r"\/Volumes\/Bobs disk\/x", "Bobs"),
    ("%2FVolumes%2FBobs%20disk%2Fx", "Bobs"),
    ("'/Volumes/Bobs disk'", "Bobs"), ("/Volumes/Bob's disk/x", "disk"),
    # Machines.
    ("bobsmith-MacBook-Pro.local", "bobsmith"), ("Bobs-MBP", "Bobs"), ("Bobs-MacBook-Air-2.lan", "Bobs"),
    ("Bob’s MacBook Air", "Bob"),
    ("Bob's iMac", "Bob"), ("bobs-mac-mini.tail1234.ts.net", "tail1234"), ("nas.fritz.box", "nas"),
    ("bobs-pc.local:8188", "bobs"),
    ("Host Name: bobbox", "bobbox"), ("HOSTNAME=bobbox", "bobbox"), ('"LocalHostName": "bobbox"', "bobbox"),
    ("SSID: Bobs net", "Bobs"),
    ("Computer Name: Bob’s Mac", "Bob"), ("Bobs-Mac-Studio", "Bobs"), ("http://bobs-imac.local:8188/x", "bobs"),
    # Addresses and numbers of machines.
    ("ether a4:83:e7:12:34:56", "a4:83"), ("ether a4-83-e7-12-34-56", "a4-83"), ("ether a483e7123456", "a483"),
    ("BSSID: a483e7123456", "a483"),
    ("MAC address a483e7123456", "a483"), ('"mac_address": "A483E7123456"', "A483"),
    ("fe80::1c2d:3eff:fe4f:5a6b%en0", "1c2d"),
    ("inet6 2001:db8:85a3::8a2e:370:7334 prefixlen 64", "8a2e"), ("[2001:db8::1234]:8188", "1234"),
    ("from 203.0.113.77:4444", "203.0"),
    ("192.168.1.20", "192.168"), ("ip 12.4.5.8", "12.4"), ("http://12.4.5.8:8188/", "12.4"), ("10.1.2.3", "10.1"),
    ("100.101.102.103", "100.101"),
    ("Serial Number (system): C02XL0GTJGH5", "C02XL"), ("serial_number: C02XL0GTJGH5", "C02XL"),
    ('"serial_number" : "C02XL0GTJGH5"', "C02XL"),
    ("SerialNumber=C02XL0GTJGH5", "C02XL"), ("S/N: C02XL0GTJGH5", "C02XL"),
    ("provisioning_UDID: 00008103-001A2B3C4D5E001E", "001A2B"),
    ("00008103-001A2B3C4D5E001E", "001A2B"), (f"udid={HEX}", HEX),
    ("Hardware UUID: 4D5A6B7C-1234-5678-9ABC-DEF012345678", "4D5A"),
    # People.
    ("jane.roe@example.org", "jane"), ("jroe@localhost", "jroe"), ("mailto:jroe%40example.org", "jroe"),
    ("jroe@10.0.0.5", "jroe"),
    ("jroe@nas._smb._tcp.local", "jroe"), ("username: jroe77", "jroe"), ("LOGNAME=jroe77", "jroe"),
    ('{"username": "jroe77"}', "jroe"),
    ("by janedoe on Janes-Air.local", "janedoe"), ("Jane Doe’s things", "Jane"),
)  # fmt: skip


@pytest.mark.parametrize(("text", "must_go"), OTHERS)
def test_what_tells_who_or_lets_others_in_goes(text: str, must_go: str) -> None:
    for around in ("{}", "x {} y", '"{}"', "({})", "| {} |", "a\n{}\nb", "{}, then"):
        told = redact(around.format(text), JANE)
        assert must_go not in told, told
        assert redact(told, JANE) == told


@pytest.mark.parametrize("name", ["HF_TOKEN", "MY_PASSPHRASE", "CIVITAI_KEY", "NPM_AUTH", "DB_PWD", "SENTRY_DSN"])
def test_a_secret_of_the_environment_is_known_by_its_value(name: str, context: Callable[..., Context]) -> None:
    there = LocalMachine({name: "hunter2xyz", "PWD": "/tmp/here", "SSH_AUTH_SOCK": "/tmp/sock", "HOME": "/Users/bob"})
    person = person_of(context(machine=there))
    assert redact("said hunter2xyz in /tmp/here by /tmp/sock", person) == "said [token] in /tmp/here by /tmp/sock"


# -- what an issue is read for --------------------------------------------------------------------------------------

USEFUL = (
    "nvidia-cublas-cu12 12.4.5.8", "nvidia-cublas-cu12==12.4.5.8", "| nvidia-curand-cu12 | 10.3.5.147 |",
    "cudnn 9.1.0.70",
    "nvidia_cublas_cu12-12.4.5.8-py3-none-manylinux2014_x86_64.whl", '"nvidia-curand-cu12": "10.3.5.147"',
    "version 12.4.5.8",
    "12.4.5.8", "opencv-python 4.10.0.84", "opencv-python==4.10.0.84", "torch 2.16.0.dev20261101+cpu", "v1.2.3.4",
    "torchvision 0.26.0.dev20261120", "Python 3.12.4 (main, Jun  6 2024, 18:26:44)", "macOS 15.1.1 (24B91), arm64",
    "uv 0.9.18",
    f"commit {HEX}", HEX, "sha256 e869ac7d6942cb327d68d5ed83a40447aadf20e0c3358d98b2cc9e270db0da26",
    "index 1a2b3c4d..5e6f7a8b 100644",
    "sd_xl_turbo_1.0_fp16.safetensors 6.94 GB", "stabilityai/sdxl-turbo",
    "https://huggingface.co/stabilityai/sdxl-turbo/resolve/main/x",
    "git+https://github.com/a/b@v1.2.3", "git+https://github.com/a/b@main", "https://example.org:8443/a/b@v1.2.3",
    "react@18.2.0",
    "actions/checkout@v4", "python:3.11@sha256:e869ac7d6942", "hf_transfer==0.1.9", "hf_hub_download",
    "HF_HUB_ENABLE_HF_TRANSFER=1",
    "comfyui-frontend-package==1.34.6", "comfyui-workflow-templates 0.7.0", "comfyui_version.py", "tokenizers==0.22.1",
    "clip missing: ['text_projection.weight']", "max_tokens=77, token_count: 154",
    "Token indices sequence length is longer (93 > 77)",
    "unexpected key: model.diffusion_model.input_blocks.0.0.weight", "KeyError: 'model'", "sorted(names, key=len)",
    "key=lambda x: x",
    "RuntimeError: MPS backend out of memory (MPS allocated: 17.21 GB, other allocations: 1.5 GB, max allowed: 18 GB)",
    "error code -1073741819 (0xC0000005)", "0x7fff5fbff8a0", "<Tensor at 0x16d4c9b20>", "line 1234, in forward",
    "errno 28", "HTTP 429",
    'File "nodes.py", line 1725, in load_checkpoint', "torch.float16, torch.bfloat16, float8_e4m3fn",
    "--force-fp16 --lowvram",
    "127.0.0.1:8188", "http://127.0.0.1:8188/system_stats", "0.0.0.0", "::1", "localhost:8188", "[::]:8188",
    "port 8188", "12:34:56",
    "2026-11-25 10:11:12.345678", "2026-11-25T10:11:12+00:00", "std::vector", "x[1::2]", "x[::-1]", "torchvision::nms",
    "aten::_index_put_impl_",
    "~5 s", "about ~10 GB", "torch~=2.9", "mask = ~mask", "/usr/local/bin/python3", "/opt/homebrew/bin/uv",
    "/Library/Frameworks",
    "/Users/Shared/models", "/home/linuxbrew/.linuxbrew/bin", "/Volumes/Macintosh HD/usr",
    "/System/Volumes/Data/private/tmp/x",
    "MacBookPro18,3", "Mac14,2", "MacBook Pro", "Apple M3 Max", "M1-MacBook-Pro", "Mac mini", "threading.local",
    "_thread._local",
    "scheduler: karras", "cfg 1.0, steps 1, seed 20231128", "password: none", "HF_TOKEN is not set",
    "token is wrong or has expired",
    "hf auth login", "the password was wrong", "Missing key(s) in state_dict", "secret: required", "user-agent: x",
    "serial: enabled",
    "ImportError: cannot import name 'x' from 'y'", "task-management-system-for-models", "disk-usage-analyzer-tool",
    "author: stabilityai",
    "[torch-missing]", "models: to do.", "ETag: W/\"abc\"", "git 2.39.5; pypi.org reachable", "pid 4242",
    "exit code 137", "SIGKILL (9)",
    "prompt: a red fox in snow, 8k", "VAE dtype: torch.float32", "Device: mps", "pytorch version: 2.9.1",
    "Total VRAM 36864 MB, total RAM 36864 MB",
    "xformers version: none", "auth=None", "tensor(0.1234)", "float('nan')", "#1234", "a@b", "C++17", "e.g. 1.5.3",
    "rev 3f2a1b9c",
)  # fmt: skip


@pytest.mark.parametrize("text", USEFUL)
def test_what_an_issue_is_read_for_stays(text: str) -> None:
    for person in (NOBODY, JANE):
        assert redact(text, person) == text
        assert redact(f"it said: {text}\nthen more", person) == f"it said: {text}\nthen more"


def test_a_hidden_character_that_cuts_up_no_secret_stays() -> None:
    assert redact("a\u202eb.safetensors", NOBODY) == "a\u202eb.safetensors"


# -- of any text ------------------------------------------------------------------------------------------------------

PIECES = st.sampled_from([
    *(word for _, word in OTHERS), *(text for text, _ in OTHERS), *USEFUL, "[token]", "[user]", "[host]", "[volume]",
    "~", "/", "\\", "%2F",
    "Users", "/home/", "/Volumes/", "=", ": ", "token", "password", "@", "://", "?", "#", ".", "-", "_", "'", '"', " ",
    "\n", "s-Mac", "is",
    "-MacBook", ".local", "::", "1.2.3.4", "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "sk-", "hf_",
    "\u200b", "\x1b[0m",
])  # fmt: skip


@settings(deadline=None, max_examples=400)
@given(st.lists(PIECES | st.text(max_size=4), max_size=10).map("".join))
@example("/home//home/x")
@example("token=token=x")
def test_redacting_again_changes_nothing(text: str) -> None:
    once = redact(text, JANE)
    assert redact(once, JANE) == once


UNITS = (
    "a", "a.", "a-", "a_", "://a", "://a:", "a@", "token=", "eyJa_", "sk-", "_sk-", "-----BEGIN PRIVATE KEY-----", ":",
    "1.",
    "-----END PRIVATE KEY-----\n", "1.1.1.1 ", "/Users/", "/Volumes/a ", "wandb ", "\\", "%2F", '"', "'", " ", "\n",
    "\u200b",
    "\u200b\n", "machine x login ", "cookie ", "?a", "x?=", "local.", "a:b", "-MacBook", "0:", "auth=(", "KEY_", "A0_",
    "[",
)  # fmt: skip


@pytest.mark.parametrize("unit", UNITS, ids=ascii)
def test_time_grows_with_the_length_of_a_text_alone(unit: str) -> None:
    """Eight times the text takes eight times as long, not sixty-four; the best of three, in this process's own time."""

    def seconds(count: int) -> float:
        text, best = unit * (count // len(unit)), float("inf")
        for _ in range(3):
            started = time.process_time()
            redact(text, JANE)
            best = min(best, time.process_time() - started)
        return best

    assert seconds(16_000) < 24 * max(seconds(2_000), 0.0005)
