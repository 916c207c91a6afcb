"""Several hubs in order, the token's home, limits that were asked for, several files at once, and a Mac kept awake."""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from provision.cli.options import choose_options, parse_rate
from provision.cli.request import Request
from provision.command import Fix, ours
from provision.core.finding import Verdict
from provision.core.runner import run_step
from provision.core.step import Context, Options, StepReport
from provision.download.hub.mirrors import CRAWL_S, endpoints_of, from_endpoints
from provision.download.hub.token import token_for
from provision.errors import CommandMissing, DownloadError, Interrupted, NetworkError, UsageError
from provision.rehearsal.model_repo import ModelRepo
from provision.steps.models.step import MODELS, check_models
from provision.steps.tools.network import check_network, model_hosts
from provision.system.keep_awake import kept_awake
from provision.system.machine import Process
from tests.support.fake_machine import FakeMachine
from tests.support.faults import Fault
from tests.support.hints import said
from tests.support.hub import Faults, Hub
from tests.support.small_model import FILE, TOKEN, TWIN, Brisk, Heard, make_small_repo, small_context

DEAD = "http://127.0.0.1:9"


@pytest.fixture
def mirror(world: tuple[Path, ModelRepo]) -> Iterator[Hub]:
    with Hub(world[0]) as running:
        yield running


def place_of(ctx: Context, name: str = FILE) -> Path:
    return ctx.home.comfyui / "models" / "checkpoints" / name


def apply(ctx: Context) -> StepReport:
    return run_step(MODELS, ctx, apply=True)


def is_right(path: Path, model: ModelRepo, name: str = FILE) -> bool:
    return hashlib.sha256(path.read_bytes()).hexdigest() == model.files[name][1]


class Hurried(Brisk):
    """A machine on which each look at the clock is 40 seconds later: whatever comes took its time."""

    def __init__(self, **environ: str) -> None:
        super().__init__(**environ)
        self.now_s = 0.0

    def clock(self) -> float:
        self.now_s += 40
        return self.now_s


# -- which hub ----------------------------------------------------------------------------------------------


def test_the_named_hubs_are_asked_in_place_of_the_configured_one() -> None:
    ctx = Context(Brisk(), None, None, Options(endpoint="https://a"))  # type: ignore[arg-type]
    assert endpoints_of(ctx) == ("https://a",)
    assert endpoints_of(replace(ctx, options=Options(endpoint="https://a", endpoints=("https://b", "https://c")))) == (
        "https://b",
        "https://c",
    )


def test_the_next_hub_is_asked_when_one_is_dead(tmp_path: Path, hub: Hub, model: ModelRepo, heard: Heard) -> None:
    ctx = small_context(tmp_path, model, "https://unused.invalid", emit=heard, endpoints=(DEAD, hub.url))
    report = apply(ctx)
    assert (report.error, report.verdict) == (None, Verdict.OK)
    assert is_right(place_of(ctx), model)
    assert any("127.0.0.1:9" in note and f"{hub.url.removeprefix('http://')} is next" in note for note in heard.notes)


@pytest.mark.parametrize("kind", ["status", "html", "redirect_loop"])
def test_the_next_hub_is_asked_when_one_refuses(
    tmp_path: Path, hub: Hub, mirror: Hub, model: ModelRepo, heard: Heard, kind: str
) -> None:
    mirror.arm(Fault("*", kind, times=-1, value="403" if kind == "status" else ""))  # type: ignore[arg-type]
    ctx = small_context(tmp_path, model, DEAD, emit=heard, endpoints=(mirror.url, hub.url))
    assert apply(ctx).verdict is Verdict.OK
    assert is_right(place_of(ctx), model)
    assert mirror.sent_bytes() == 0


def test_a_hub_with_another_file_is_passed_over(tmp_path: Path, hub: Hub, model: ModelRepo, heard: Heard) -> None:
    other = make_small_repo(tmp_path / "other", {"model.diffusion_model.in.weight": (8, 8)})
    with Hub(tmp_path / "other" / "hub") as stranger:
        main = replace(model, commit="main")
        assert other.files[FILE] != model.files[FILE]
        ctx = small_context(tmp_path, main, DEAD, emit=heard, endpoints=(stranger.url, hub.url))
        assert apply(ctx).verdict is Verdict.OK
    assert is_right(place_of(ctx), model)
    assert "has a different model_fp16.safetensors" in heard.text


def test_the_next_hub_goes_on_from_what_is_there(
    tmp_path: Path, hub: Hub, mirror: Hub, model: ModelRepo, heard: Heard
) -> None:
    mirror.arm(Fault("*", "truncate", times=3, value=2_000_000, origin="cdn"))  # two of them read the header
    mirror.arm(Fault("*", "status", times=-1, value="404", origin="cdn"))
    ctx = small_context(
        tmp_path, model, DEAD, emit=heard, endpoints=(mirror.url, hub.url), backend="http", connections=1
    )
    assert apply(ctx).verdict is Verdict.OK
    assert is_right(place_of(ctx), model)
    assert hub.sent_bytes() <= model.files[FILE][0] - 1_900_000


def test_when_all_fail_the_last_one_tells_why(tmp_path: Path, hub: Hub, model: ModelRepo) -> None:
    hub.arm(Fault("*", "status", times=-1, value="403"))
    ctx = small_context(tmp_path, model, DEAD, endpoints=(DEAD, hub.url))
    report = apply(ctx)
    assert report.error
    assert report.error.code == "hub_refused"
    assert not place_of(ctx).exists()


@pytest.mark.parametrize("backend", ["http", "hf", "wget"])
def test_a_hub_that_crawls_is_left_for_the_next(
    tmp_path: Path, world: tuple[Path, ModelRepo], hub: Hub, model: ModelRepo, heard: Heard, backend: str
) -> None:
    if backend == "wget" and not shutil.which("wget"):
        pytest.skip("no wget here")
    with Hub(world[0], faults=Faults(rate_bytes_s=1_500_000)) as slow:
        ctx = small_context(
            tmp_path, model, DEAD, machine=Hurried(), emit=heard, endpoints=(slow.url, hub.url), backend=backend
        )
        report = apply(ctx)
        assert slow.sent_bytes()
    assert (report.error, report.verdict) == (None, Verdict.OK)
    assert is_right(place_of(ctx), model)
    assert "kB/s" in heard.text
    assert f"{hub.url.removeprefix('http://')} is next" in heard.text


def test_crawling_is_seen_by_its_bytes_alone(tmp_path: Path, model: ModelRepo, heard: Heard) -> None:
    class Clock(Brisk):
        now_s = 0.0

        def clock(self) -> float:
            return self.now_s

    machine = Clock()
    ctx = small_context(tmp_path, model, DEAD, machine=machine, emit=heard, endpoints=("http://a", "http://b"))

    def download(at: Context, endpoint: str) -> str:
        rate = 49_000 if endpoint == "http://a" else 1_500
        for second in range(100):
            machine.now_s += 1
            at.progress("other", 0, 10**9)
            at.progress(FILE, second * rate, 10**9)
        return endpoint

    assert from_endpoints(ctx, FILE, download) == "http://b", "the last one may crawl"
    assert heard.notes == [f"a sends {FILE} at less than 50 kB/s. b is next."]

    def enough(at: Context, endpoint: str) -> str:
        for second in range(100):
            machine.now_s += 1
            at.progress(FILE, second * 51_000, 10**9)
        return endpoint

    assert from_endpoints(ctx, FILE, enough) == "http://a"
    limited = replace(ctx, options=replace(ctx.options, limit_rate=20_000))

    def at_the_limit(at: Context, endpoint: str) -> str:
        for second in range(100):
            machine.now_s += 1
            at.progress(FILE, second * 19_000, 10**9)
        return endpoint

    assert from_endpoints(limited, FILE, at_the_limit) == "http://a", "slow because it was asked to be"

    def dripped(at: Context, endpoint: str) -> str:
        for second in range(100):
            machine.now_s += 1
            at.progress(FILE, second, 10**9)
        return endpoint

    with pytest.raises(DownloadError, match=f"b sends {FILE} at less than 1 kB/s"):
        from_endpoints(ctx, FILE, dripped)

    def held_up(at: Context, endpoint: str) -> str:
        for done in range(10):  # as long as a server asks to be waited for
            at.wait("b asks for a pause", 0)
            machine.now_s += 60
            at.progress(FILE, done, 10**9)
        return endpoint

    assert from_endpoints(ctx, FILE, held_up) == "http://b"
    assert CRAWL_S == 30


def test_a_stop_is_no_failure_of_the_hub(tmp_path: Path, model: ModelRepo) -> None:
    ctx = small_context(tmp_path, model, DEAD, endpoints=("http://a", "http://b"))

    def stopped(at: Context, endpoint: str) -> None:
        at.machine.interrupt()
        at.machine.check_interrupted()

    with pytest.raises(Interrupted):
        from_endpoints(ctx, FILE, stopped)


def test_the_network_check_asks_all_and_is_content_with_one(tmp_path: Path, hub: Hub, model: ModelRepo) -> None:
    ctx = small_context(tmp_path, model, DEAD, endpoints=(DEAD, hub.url))
    found = list(check_network(ctx, model_hosts(ctx)))
    assert [finding.verdict for finding in found] == [Verdict.WARN]
    assert "instead" in found[0].says
    alone = replace(ctx, options=replace(ctx.options, endpoints=(DEAD,)))
    assert [finding.verdict for finding in check_network(alone, model_hosts(alone))] == [Verdict.BLOCKED]


# -- the token ----------------------------------------------------------------------------------------------


def test_the_token_goes_to_its_own_hubs_only(tmp_path: Path, model: ModelRepo) -> None:
    ctx = small_context(tmp_path, model, "https://hub.company:8443", machine=Brisk(HF_TOKEN=TOKEN))
    assert token_for(ctx, "https://hub.company:8443/sub") == TOKEN
    assert token_for(ctx, "https://huggingface.co") == TOKEN
    for other in (
        "http://huggingface.co",
        "https://huggingface.co.evil.example",
        "https://hub.company",
        "https://hf-mirror.com",
    ):
        assert token_for(ctx, other) is None


@pytest.mark.parametrize("backend", ["http", "hf", "wget", "git-lfs"])
def test_a_named_hub_never_sees_the_token(
    tmp_path: Path, hub: Hub, mirror: Hub, model: ModelRepo, backend: str
) -> None:
    if backend in ("wget", "git-lfs") and not shutil.which(backend):
        pytest.skip(f"no {backend} here")
    ctx = small_context(
        tmp_path, model, hub.url, machine=Brisk(HF_TOKEN=TOKEN), endpoints=(mirror.url,), backend=backend
    )
    assert apply(ctx).verdict is Verdict.OK
    assert hub.requests == []
    assert mirror.requests
    assert not [request for request in mirror.requests if "authorization" in request.headers]


# -- what is typed ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rate"),
    [("5M", 5_000_000), ("500k", 500_000), ("1.5 MB/s", 1_500_000), ("2000", 2000), ("1G", 10**9), ("3m/s", 3_000_000)],
)
def test_a_rate_is_read(text: str, rate: int) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "0", "fast", "-5M", "5T", "999", "1e9", "5 M M", "nan", "9" * 5000])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="limit-rate"):
        parse_rate(text)


def test_what_was_typed_becomes_options() -> None:
    request = Request(
        "all",
        endpoints=["hf-mirror.com", "https://b.example/"],
        limit_rate="5M",
        connections=4,
        look_in=[Path("/usb")],
        copy=True,
        share_cache=True,
    )
    options = choose_options(request, {})
    assert options.endpoints == ("https://hf-mirror.com", "https://b.example")
    assert (options.limit_rate, options.connections, options.look_in) == (5_000_000, 4, (Path("/usb"),))
    assert (options.copy, options.share_cache) == (True, True)


@pytest.mark.parametrize(
    "request_",
    [
        Request("all", endpoints=["ftp://x"]),
        Request("all", endpoints=["https://"]),
        Request("all", endpoints=["http://a b"]),
        Request("all", connections=0),
        Request("all", connections=99),
        Request("all", limit_rate="x"),
        Request("all", rehearse=True, endpoints=["https://a"]),
    ],
)
def test_what_cannot_be_is_refused(request_: Request) -> None:
    with pytest.raises(UsageError) as seen:
        choose_options(request_, {})
    assert said(seen.value.hint)


@pytest.mark.parametrize("backend", ["hf", "git-lfs"])
def test_a_backend_that_cannot_be_limited_says_so(
    tmp_path: Path, hub: Hub, model: ModelRepo, heard: Heard, backend: str
) -> None:
    if backend == "git-lfs" and not shutil.which(backend):
        pytest.skip(f"no {backend} here")
    ctx = small_context(tmp_path, model, hub.url, emit=heard, backend=backend, limit_rate=50_000_000)
    assert apply(ctx).verdict is Verdict.OK
    assert any("cannot limit its rate" in note for note in heard.notes)


def test_wget_is_told_the_limit(tmp_path: Path, hub: Hub, model: ModelRepo) -> None:
    if not shutil.which("wget"):
        pytest.skip("no wget here")

    class Listening(Brisk):
        words: tuple[str, ...] = ()

        def run(self, argv: Sequence[str | Path], **options: object):  # type: ignore[no-untyped-def]
            if Path(argv[0]).name == "wget":
                self.words = tuple(map(str, argv))
            return super().run(argv, **options)  # type: ignore[arg-type]

    machine = Listening()
    ctx = small_context(tmp_path, model, hub.url, machine=machine, backend="wget", limit_rate=50_000_000)
    assert apply(ctx).verdict is Verdict.OK
    assert "--limit-rate=50000000" in machine.words


# -- several files ------------------------------------------------------------------------------------------


def several(ctx: Context, *names: str) -> Context:
    """A manifest with one model for each name, all fp16 to whoever asks."""
    [model] = ctx.manifest.models
    files = {file.path: file for file in model.files}
    models = tuple(replace(model, folder=f"checkpoints/{n}", files=(files[name],)) for n, name in enumerate(names))
    return replace(ctx, manifest=replace(ctx.manifest, models=models))


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Hub, ModelRepo]]:
    """Two fp16 files of different content in one repository."""
    from provision.rehearsal.checkpoints import write_safetensors
    from provision.rehearsal.model_repo import make_model_repo
    from tests.support.small_model import REPO, SHAPES

    files = {}
    for name, seed in ((FILE, 3), (TWIN, 4)):
        write_safetensors(tmp_path / "w" / name, SHAPES, dtype="F16", seed=seed)
        files[name] = tmp_path / "w" / name
    made = make_model_repo(tmp_path / "hub", REPO, files)
    with Hub(tmp_path / "hub") as running:
        yield running, made


def pair_context(tmp_path: Path, pair: tuple[Hub, ModelRepo], heard: Heard) -> Context:
    hub, made = pair
    ctx = small_context(tmp_path, made, hub.url, emit=heard)
    [model] = ctx.manifest.models
    files = tuple(replace(file, precision="fp16") for file in model.files)
    return several(replace(ctx, manifest=replace(ctx.manifest, models=(replace(model, files=files),))), FILE, TWIN)


def test_two_files_come_at_the_same_time(tmp_path: Path, pair: tuple[Hub, ModelRepo], heard: Heard) -> None:
    together = threading.Barrier(2, timeout=20)
    met: set[str] = set()

    def emit(event: object) -> None:
        heard(event)  # type: ignore[arg-type]
        subject = getattr(event, "subject", "")
        if subject in (FILE, TWIN) and subject not in met:
            met.add(subject)
            together.wait()  # neither goes on before the other has begun

    ctx = replace(pair_context(tmp_path, pair, heard), emit=emit)
    assert [finding.id for finding in check_models(ctx)] == ["ckpt-missing"] * 2
    report = apply(ctx)
    assert (report.error, report.verdict) == (None, Verdict.OK)
    for place, name in enumerate((FILE, TWIN)):
        assert is_right(place_of(ctx, f"{place}/{name}"), pair[1], name)
        assert heard.last(name).done == pair[1].files[name][0]
    assert not apply(ctx).changed


def test_one_that_fails_does_not_hold_up_the_other(tmp_path: Path, pair: tuple[Hub, ModelRepo], heard: Heard) -> None:
    pair[0].arm(Fault(f"*/{FILE}", "status", times=-1, value="403"))
    ctx = pair_context(tmp_path, pair, heard)
    report = apply(ctx)
    assert report.error
    assert report.error.code == "hub_refused"
    assert is_right(place_of(ctx, f"1/{TWIN}"), pair[1], TWIN)
    assert not place_of(ctx, f"0/{FILE}").exists()


def test_a_stop_ends_both(tmp_path: Path, pair: tuple[Hub, ModelRepo], heard: Heard) -> None:
    ctx = pair_context(tmp_path, pair, heard)

    def emit(event: object) -> None:
        if getattr(event, "subject", "") in (FILE, TWIN):
            ctx.machine.interrupt()

    with pytest.raises(Interrupted):
        apply(replace(ctx, emit=emit))


# -- awake --------------------------------------------------------------------------------------------------


class Sleepy(FakeMachine):
    """A Mac that notes what it starts and ends."""

    def __init__(self, *, missing: bool = False, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self.missing = missing
        self.started: list[list[str]] = []
        self.ended: list[int] = []

    def spawn(self, argv: Sequence[str | Path], *, cwd: Path, log: Path, env: Mapping[str, str]) -> int:
        if self.missing:
            raise CommandMissing("caffeinate cannot be run here.", hint=ours("doctor"))
        self.started.append([str(word) for word in argv])
        return 4242

    def process(self, pid: int) -> Process | None:
        return Process(pid, 0.0, ("caffeinate",)) if pid == 4242 else None

    def end_process(self, process: Process, *, grace_s: float = 8, group: bool = False) -> None:
        self.ended.append(process.pid)


CAFFEINATE = {"caffeinate": "/usr/bin/caffeinate"}


def test_a_mac_is_kept_awake_while_bytes_flow_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Sleepy(programs=CAFFEINATE)
    monkeypatch.setattr("os.getpid", lambda: 77)

    def download() -> None:
        with kept_awake(machine):
            assert machine.started == [["/usr/bin/caffeinate", "-i", "-w", "77"]]
            assert machine.ended == []
            raise NetworkError("gone.", hint=Fix("again"))

    with pytest.raises(NetworkError):
        download()
    assert machine.ended == [4242]


@pytest.mark.parametrize(
    "machine",
    [Sleepy(system="Linux", programs=CAFFEINATE), Sleepy(), Sleepy(programs=CAFFEINATE, missing=True)],
    ids=["linux", "without the program", "that cannot be run"],
)
def test_where_it_cannot_be_nothing_is_started(machine: Sleepy) -> None:
    with kept_awake(machine):
        pass
    assert machine.started == []
    assert machine.ended == []


def test_a_download_keeps_it_awake(tmp_path: Path, hub: Hub, model: ModelRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    from contextlib import contextmanager

    seen: list[str] = []

    @contextmanager
    def noted(machine: object) -> Iterator[None]:
        seen.append("awake")
        yield
        seen.append("asleep")

    monkeypatch.setattr("provision.download.obtain.kept_awake", noted)
    assert apply(small_context(tmp_path, model, hub.url)).verdict is Verdict.OK
    assert seen == ["awake", "asleep"]
    assert DownloadError.code == "download"
