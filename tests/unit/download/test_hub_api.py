"""What the hub says of a file, and each way in which it can say it wrong: one sentence and a hint."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Literal

import pytest

from provision.comfyui.safetensors import parse_safetensors_header
from provision.core.events import Waiting
from provision.core.step import Context
from provision.download import web
from provision.download.hub.api import locate, look_up, read_header
from provision.download.hub.token import token_of
from provision.errors import HubRefused, Interrupted, NetworkError, Passing, ProvisionError, UsageError, WrongFile
from provision.rehearsal.model_repo import ModelRepo
from tests.support.faults import Fault
from tests.support.hints import said
from tests.support.hub import Faults, Hub
from tests.support.small_model import FILE, REPO, TOKEN, Brisk, Heard, is_one_sentence_with_hint, small_context


def heard_waits(ctx: Context) -> list[Waiting]:
    assert isinstance(ctx.emit, Heard)
    return [event for event in ctx.emit.events if isinstance(event, Waiting)]


@pytest.fixture
def ctx(tmp_path: Path, hub: Hub, model: ModelRepo) -> Context:
    return small_context(tmp_path, model, hub.url)


def test_a_branch_becomes_its_commit_with_size_and_hash(ctx: Context, hub: Hub, model: ModelRepo) -> None:
    file = look_up(ctx, REPO, "main", FILE)
    assert (file.revision, (file.size, file.sha256)) == (model.commit, model.files[FILE])
    assert file.url == f"{hub.url}/{REPO}/resolve/{model.commit}/{FILE}"


def test_the_address_of_the_bytes_is_where_the_hub_redirects_to(ctx: Context, hub: Hub) -> None:
    address = locate(ctx, look_up(ctx, REPO, "main", FILE))
    assert address.url.startswith(hub.cdn_url)
    assert address.headers == {}


def test_the_header_comes_by_two_small_ranges(ctx: Context, hub: Hub, model: ModelRepo) -> None:
    header = parse_safetensors_header(read_header(ctx, look_up(ctx, REPO, "main", FILE)))
    assert (header.architecture, header.precision, header.file_size_bytes) == ("sdxl", "fp16", model.files[FILE][0])
    assert hub.sent_bytes() < 2000
    assert [seen.status for seen in hub.requests if seen.origin == "cdn"] == [206, 206]


def test_a_server_without_ranges_is_hung_up_on(ctx: Context, hub: Hub, model: ModelRepo) -> None:
    hub.arm(Fault("*", "no_range", times=-1))
    assert parse_safetensors_header(read_header(ctx, look_up(ctx, REPO, "main", FILE))).tensor_count == 4


def test_a_branch_name_with_a_slash_is_one_part_of_the_address(ctx: Context, hub: Hub) -> None:
    with pytest.raises(HubRefused, match="no revision refs/pr/1"):
        look_up(ctx, REPO, "refs/pr/1", FILE)
    assert hub.requests[-1].path == f"/{REPO}/resolve/refs/pr/1/{FILE}"


BAD_ANSWERS = [
    ([Fault("*", "html", times=-1)], "an HTML page .*X-Repo-Commit.*login page"),
    ([Fault("*", "json", times=-1)], "something no hub sends"),
    ([Fault("*", "status", times=-1, value="401")], r"gated|requires a login \(401\)"),
    ([Fault("*", "status", times=-1, value="403")], r"is gated.*\(403\)"),
    ([Fault("*", "status", times=-1, value="404")], r"no file model_fp16.safetensors in made/up-model .*\(404\)"),
    ([Fault("*", "status", times=-1, value="429 7")], r"too many requests .*\(429\)"),
    ([Fault("*", "status", times=-1, value="503")], r"problem of its own \(503\)"),
    ([Fault("*", "status", times=-1, value="418")], "answered 418"),
    ([Fault("*", "redirect_loop", times=-1)], "redirects in a circle"),
]


@pytest.mark.parametrize(("faults", "says"), BAD_ANSWERS, ids=lambda value: str(value)[:40] if value else None)
def test_a_bad_answer_is_one_sentence_and_a_hint(ctx: Context, hub: Hub, faults: list[Fault], says: str) -> None:
    hub.arm(*faults)
    with pytest.raises(HubRefused, match=says) as refused:
        look_up(ctx, REPO, "main", FILE)
    assert is_one_sentence_with_hint(refused.value.message, said(refused.value.hint))


def test_a_busy_hub_is_asked_again_when_it_says(ctx: Context, hub: Hub) -> None:
    hub.arm(Fault("*", "status", times=1, value="429 7"), Fault("*", "status", times=1, value="503"))
    assert look_up(ctx, REPO, "main", FILE).size
    assert isinstance(ctx.machine, Brisk)
    assert ctx.machine.slept == [7.0, 1.0]


def test_a_limit_is_waited_for_as_the_hub_says_it(ctx: Context, hub: Hub) -> None:
    hub.arm(Fault("*", "rate_limit", times=1, value=243))
    assert look_up(ctx, REPO, "main", FILE).size
    assert isinstance(ctx.machine, Brisk)
    assert ctx.machine.slept == [244.0]
    (waiting,) = heard_waits(ctx)
    assert waiting.kind is Passing.RATE_LIMIT
    assert "a limit shared by all computers behind it (3,000 requests in 300 s)" in waiting.says
    assert "with a token your account has its own" in waiting.says


def test_with_a_token_the_limit_is_the_accounts(tmp_path: Path, world: tuple[Path, ModelRepo]) -> None:
    with Hub(world[0], faults=Faults((Fault("*", "rate_limit", value=20),), token=TOKEN)) as hub:
        ctx = small_context(tmp_path, world[1], hub.url, machine=Brisk(HF_TOKEN=TOKEN))
        look_up(ctx, REPO, "main", FILE)
        assert "too many requests from your account" in heard_waits(ctx)[0].says


@pytest.mark.parametrize("origin", ["hub", "cdn"])
def test_a_minute_of_503_is_ridden_out(ctx: Context, hub: Hub, origin: Literal["hub", "cdn"]) -> None:
    hub.arm(Fault("*", "status", times=6, value="503", origin=origin))
    assert read_header(ctx, look_up(ctx, REPO, "main", FILE))
    assert isinstance(ctx.machine, Brisk)
    assert sum(ctx.machine.slept) > 60


@pytest.mark.parametrize("kind", ["reset", "truncate", "stall"])
def test_a_header_that_breaks_off_is_asked_for_again(
    ctx: Context, hub: Hub, kind: Literal["reset", "truncate", "stall"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "READ_TIMEOUT_S", 0.2)
    hub.arm(Fault("*", kind, times=2, value=3, origin="cdn"))
    assert read_header(ctx, look_up(ctx, REPO, "main", FILE))


def test_a_look_does_not_wait_for_minutes(ctx: Context, hub: Hub) -> None:
    hub.arm(Fault("*", "rate_limit", times=1, value=243))
    with pytest.raises(HubRefused, match="too many requests") as refused:
        look_up(ctx.looking(), REPO, "main", FILE)
    assert "in 4 minutes" in said(refused.value.hint)
    assert isinstance(ctx.machine, Brisk)
    assert ctx.machine.slept == []


@pytest.mark.parametrize("status", ["401", "403", "404"])
def test_what_stays_so_is_not_waited_for(ctx: Context, hub: Hub, status: str) -> None:
    hub.arm(Fault("*", "status", times=-1, value=status))
    with pytest.raises(HubRefused):
        look_up(ctx, REPO, "main", FILE)
    assert isinstance(ctx.machine, Brisk)
    assert ctx.machine.slept == []


def test_a_name_that_only_others_have_is_not_waited_for_as_an_outage(
    tmp_path: Path, model: ModelRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(name: str, *rest: object, **more: object) -> list[str]:
        if name in web.KNOWN_NAMES and online:
            return ["here"]
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    for online, seconds in ((True, 60), (False, 300)):
        ctx = small_context(tmp_path / str(online), model, "http://hub.invalid")
        with pytest.raises(NetworkError, match=r"hub\.invalid cannot be reached"):
            look_up(ctx, REPO, "main", FILE)
        assert isinstance(ctx.machine, Brisk)
        assert sum(ctx.machine.slept) == seconds


@pytest.mark.parametrize(
    ("repo", "revision", "path", "says", "to_do"),
    [
        ("no/such", "main", FILE, "no repository no/such", "hf auth login"),
        (REPO, "f" * 40, FILE, "no revision ffff", "/tree/main"),
        (REPO, "main", "other.safetensors", "no file other.safetensors in made/up-model", "/tree/main"),
    ],
)
def test_what_is_not_there_is_named(ctx: Context, repo: str, revision: str, path: str, says: str, to_do: str) -> None:
    with pytest.raises(HubRefused, match=says) as refused:
        look_up(ctx, repo, revision, path)
    assert to_do in said(refused.value.hint)


def test_nobody_at_the_address(tmp_path: Path, model: ModelRepo) -> None:
    with socket.socket() as taken:  # bound and not listening: refused at once
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(NetworkError, match=rf"127.0.0.1:{port} cannot be reached \(Connection refused\)") as nobody:
            look_up(small_context(tmp_path, model, f"http://127.0.0.1:{port}"), REPO, "main", FILE)
    assert is_one_sentence_with_hint(nobody.value.message, said(nobody.value.hint))


def test_a_host_that_does_not_exist(tmp_path: Path, model: ModelRepo) -> None:
    with pytest.raises(NetworkError, match=r"hub\.invalid cannot be reached"):
        look_up(small_context(tmp_path, model, "http://hub.invalid"), REPO, "main", FILE)


def test_a_hub_that_says_nothing_at_all(ctx: Context, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "READ_TIMEOUT_S", 0.3)
    hub.arm(Fault("*", "silent", times=-1))
    with pytest.raises(NetworkError, match="did not answer in time"):
        look_up(ctx.looking(), REPO, "main", FILE)


def test_ctrl_c_does_not_wait_for_a_silent_hub(ctx: Context, hub: Hub) -> None:
    hub.arm(Fault("*", "silent", times=-1))
    threading.Timer(0.2, ctx.machine.interrupt).start()
    before = ctx.machine.clock()
    with pytest.raises(Interrupted):
        look_up(ctx, REPO, "main", FILE)
    assert ctx.machine.clock() - before < 2


@pytest.mark.parametrize("endpoint", ["huggingface.co", "ftp://huggingface.co", "http://"])
def test_an_endpoint_that_is_no_address(tmp_path: Path, model: ModelRepo, endpoint: str) -> None:
    with pytest.raises(UsageError, match="is not an http or https address"):
        look_up(small_context(tmp_path, model, endpoint), REPO, "main", FILE)


def test_a_port_that_speaks_something_else(tmp_path: Path, model: ModelRepo, hub: Hub) -> None:
    with pytest.raises(NetworkError):
        look_up(small_context(tmp_path, model, hub.url.replace("http:", "https:")).looking(), REPO, "main", FILE)


def _serve_once(answer: bytes) -> tuple[str, threading.Thread]:
    """A server for one exchange, for answers that no hub gives."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener, listener.accept()[0] as connection:
            connection.recv(65536)
            connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}", thread


@pytest.mark.parametrize(
    "length", [b"", b"Content-Length: 0\r\n", b"Content-Length: -5\r\n", b"X-Linked-Size: many\r\n"]
)
def test_a_hub_that_does_not_say_how_long_the_file_is(tmp_path: Path, model: ModelRepo, length: bytes) -> None:
    commit = b"X-Repo-Commit: " + b"a" * 40 + b"\r\n"
    url, thread = _serve_once(b"HTTP/1.1 200 OK\r\n" + commit + length + b"Connection: close\r\n\r\n")
    with pytest.raises(HubRefused, match="does not say how long"):
        look_up(small_context(tmp_path, model, url), REPO, "main", FILE)
    thread.join(5)


def test_a_captive_portal_redirects_elsewhere(tmp_path: Path, model: ModelRepo) -> None:
    url, thread = _serve_once(b"HTTP/1.1 302 Found\r\nLocation: http://login.invalid/\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(HubRefused, match="X-Repo-Commit"):
        look_up(small_context(tmp_path, model, url), REPO, "main", FILE)
    thread.join(5)


def test_a_file_that_is_no_safetensors_is_named(ctx: Context, hub: Hub) -> None:
    file = look_up(ctx, REPO, "main", FILE)
    hub.arm(Fault("*", "html", times=-1, origin="cdn"))
    with pytest.raises(WrongFile, match="an HTML page") as wrong:
        read_header(ctx, file)
    assert is_one_sentence_with_hint(wrong.value.message, said(wrong.value.hint))


def test_another_part_than_was_asked_for(ctx: Context, hub: Hub) -> None:
    hub.arm(Fault("*", "wrong_range", times=-1, origin="cdn"))
    with pytest.raises(HubRefused, match="was not requested"):
        read_header(ctx, look_up(ctx, REPO, "main", FILE))


def test_a_file_that_changed_since_it_was_looked_up(ctx: Context, hub: Hub) -> None:
    file = look_up(ctx, REPO, "main", FILE)
    hub.arm(Fault("*", "etag_changes", times=-1, origin="hub"))
    with pytest.raises(WrongFile, match="changed"):
        locate(ctx, file)


# -- the token ----------------------------------------------------------------------------------------------


def test_the_token_opens_a_private_repository_and_stays_with_the_hub(
    tmp_path: Path, world: tuple[Path, ModelRepo]
) -> None:
    with Hub(world[0], faults=Faults(token=TOKEN)) as hub:
        ctx = small_context(tmp_path, world[1], hub.url, machine=Brisk(HF_TOKEN=TOKEN))
        read_header(ctx, look_up(ctx, REPO, "main", FILE))
        with_token = {seen.origin for seen in hub.requests if "authorization" in seen.headers}
        assert with_token == {"hub"}
        assert {seen.origin for seen in hub.requests} == {"hub", "cdn"}


@pytest.mark.parametrize(
    ("environ", "faults", "says", "hint"),
    [
        ({}, Faults(token=TOKEN), "requires a login .*private", "hf auth login"),
        ({}, Faults(token=TOKEN, gated=True), "is gated", "accept its terms"),
        ({"HF_TOKEN": TOKEN}, Faults(token=TOKEN, gated=True), "has no access", "accept its terms"),
        ({"HF_TOKEN": f"'{TOKEN}'"}, Faults(token=TOKEN, gated=True), "quotation marks", "export HF_TOKEN=TOKEN"),
        ({"HF_TOKEN": f"{TOKEN}\u0434"}, Faults(token=TOKEN), "contains characters", "export HF_TOKEN=TOKEN"),
        ({"HF_TOKEN": f"{TOKEN}\n{TOKEN}"}, Faults(token=TOKEN), "more than one line", "export HF_TOKEN=TOKEN"),
        (
            {"HF_TOKEN": TOKEN, "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"},
            Faults(token=TOKEN),
            "HF_HUB_DISABLE_IMPLICIT_TOKEN disables it",
            "unset HF_HUB_DISABLE_IMPLICIT_TOKEN",
        ),
        (
            {"HF_TOKEN": "hf_old"},
            Faults(token=TOKEN),
            r"does not accept the Hugging Face token \(401\)",
            "hf auth login",
        ),
    ],
)
def test_who_may_not_read_is_told_what_to_do(
    tmp_path: Path, world: tuple[Path, ModelRepo], environ: dict[str, str], faults: Faults, says: str, hint: str
) -> None:
    with Hub(world[0], faults=faults) as hub, pytest.raises(HubRefused, match=says) as refused:
        look_up(small_context(tmp_path, world[1], hub.url, machine=Brisk(**environ)), REPO, "main", FILE)
    assert hint in said(refused.value.hint)
    assert TOKEN not in refused.value.message + said(refused.value.hint)


def test_a_bad_token_on_a_public_repository_is_left_out_and_said(tmp_path: Path, hub: Hub, model: ModelRepo) -> None:
    heard = Heard()
    ctx = small_context(tmp_path, model, hub.url, machine=Brisk(HF_TOKEN="hf_old"), emit=heard)
    hub.arm(Fault("*", "status", times=1, value="401"))
    file = look_up(ctx, REPO, "main", FILE)
    assert file.anonymous
    assert "does not accept the Hugging Face token" in heard.text
    assert "hf_old" not in heard.text
    locate(ctx, file)
    assert "authorization" not in hub.requests[-1].headers


def test_no_credentials_come_from_netrc(
    tmp_path: Path, hub: Hub, model: ModelRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setattr(web, "is_loopback", lambda url: False)
    look_up(small_context(tmp_path, model, hub.url), REPO, "main", FILE)
    assert "authorization" not in hub.requests[-1].headers


def test_where_the_token_is_looked_for(tmp_path: Path, hub: Hub, model: ModelRepo) -> None:
    def token(**environ: str) -> str | None:
        return token_of(small_context(tmp_path, model, hub.url, machine=Brisk(**environ)))

    stored, cached = tmp_path / "stored", tmp_path / ".cache" / "huggingface" / "token"
    stored.mkdir()
    cached.parent.mkdir(parents=True)
    (stored / "token").write_text("hf_stored\n")
    (stored / "elsewhere").write_text("hf_elsewhere\n")
    cached.write_text("hf_cached\n")
    home = {"HOME": str(tmp_path)}
    assert token() is None
    assert token(**home) == "hf_cached"
    assert token(**home, HF_HOME=str(stored)) == "hf_stored"
    assert token(**home, HF_HOME=str(stored), HF_TOKEN_PATH=str(stored / "elsewhere")) == "hf_elsewhere"
    assert token(**home, HF_TOKEN=" hf_env\n") == "hf_env"
    assert token(HF_TOKEN="hf_a\r\nX-Evil: 1") is None


def test_a_hub_of_endpoint_that_asks_for_a_token_is_told_how_it_gets_one(
    tmp_path: Path, world: tuple[Path, ModelRepo]
) -> None:
    """It is not sent there: a login would change nothing."""
    with Hub(world[0], faults=Faults(token=TOKEN, gated=True)) as hub:
        ctx = small_context(tmp_path, world[1], "https://hub.example", machine=Brisk(HF_TOKEN=TOKEN))
        with pytest.raises(HubRefused, match="is named by --endpoint") as refused:
            look_up(ctx, REPO, "main", FILE, endpoint=hub.url)
    assert f"env HF_ENDPOINT={hub.url} provision all" in said(refused.value.hint)


def test_every_error_is_a_sentence(ctx: Context) -> None:
    with pytest.raises(ProvisionError) as error:
        look_up(ctx, "no/such", "main", FILE)
    assert error.value.exit_code == 1
