"""Every backend against every fault: the cells as data, the hubs that misbehave, and docs/dev/download-matrix.md."""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import ssl
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

from provision.rehearsal.model_repo import model_folder
from provision.rehearsal.replies import Reply, Request
from tests.support.faults import Fault
from tests.support.hub import Faults, Hub
from tests.support.paths import CHECKOUT
from tests.support.small_model import FILE, REPO
from tests.support.xet import LAST_CHUNK

BACKENDS = ("http", "hf", "wget", "git-lfs", "auto")
ALL = frozenset(BACKENDS)
DOCUMENT = CHECKOUT / "docs" / "dev" / "download-matrix.md"
HEADER_LIMIT = 1 << 16
"""A request for no more than the file's first bytes reads the header; every other moves the file."""
DEAD = "http://127.0.0.1:9"
"""The port on which nothing answers (RFC 863)."""
ELSEWHERE = "(the other host)"
"""In a fault's value: the address of the file on a third host, or that host alone, as the test starts it."""


@dataclass(frozen=True, slots=True)
class Row:
    """A fault and what each backend must make of it: an error for those in `errors`, the right file for all others.

    `begun`: bytes of the file that a former run left. `at_once`: the faults are there from the first request on,
    else from the first that moves the file. `special`: what no `Fault` can do; see the test.
    """

    name: str
    faults: tuple[Fault, ...] = ()
    errors: frozenset[str] = frozenset()
    begun: int = 0
    at_once: bool = False
    rate_bytes_s: float | None = None
    special: str = ""
    for_s: float = 0.0
    """The faults are over once so many seconds were waited."""

    @property
    def patience_s(self) -> float:
        """Of our own waits, which take no time here; 15 s where a fault lasts, in place of five minutes."""
        return 300.0 if self.for_s else 15.0


@dataclass(frozen=True, slots=True)
class Cell:
    """One backend under one fault."""

    row: Row
    backend: str
    """As `--backend` takes it, or `XET`."""

    @property
    def expected(self) -> str:
        return "error" if self.backend in self.row.errors else "file"

    def __str__(self) -> str:
        return f"{self.row.name}-{self.backend}".replace(" ", "_")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a cell: "file" or "error", bytes moved as a multiple of the file, seconds without the waits."""

    what: str
    share: float
    seconds: float

    def __str__(self) -> str:
        return f"{self.what} · {self.share:.1f}× · {max(1, round(self.seconds))} s"


def cdn(kind: str, times: int = -1, value: int | str | float = "") -> Fault:
    """A fault where the bytes are."""
    return Fault("*", kind, times, value, origin="cdn")  # type: ignore[arg-type]


def hub(kind: str, times: int = -1, value: int | str | float = "", match: str = "*resolve*") -> Fault:
    """A fault of the hub itself, in its HTTP face unless `match` says otherwise."""
    return Fault(match, kind, times, value, origin="hub")  # type: ignore[arg-type]


def only(*names: str) -> frozenset[str]:
    return frozenset(names)


ROWS = (
    Row("none"),
    Row("truncated, every time", (cdn("truncate", value=2_000_000),)),
    Row("truncated at byte 0, always", (cdn("truncate", value=0),), ALL),
    Row("reset at byte 2,000,000, every time", (cdn("reset", value=2_000_000),), rate_bytes_s=20_000_000),
    Row("stalled twice", (cdn("stall", 2, 1_500_000),)),
    Row("silent, always", (cdn("silent"),), ALL),
    Row("slow per connection", rate_bytes_s=4_000_000),
    Row("corrupted bytes, once", (cdn("corrupt", 1, 600_000),)),
    Row("corrupted bytes, always", (cdn("corrupt", value=2_000_000),), ALL),
    Row("429 with Retry-After, three times", (Fault("*", "status", 3, "429 1"),)),
    Row("429 with Retry-After, always", (Fault("*", "status", -1, "429 1"),), ALL),
    Row("503, burst of four", (Fault("*", "status", 4, "503"),)),
    Row("503, always", (Fault("*", "status", -1, "503"),), ALL),
    Row("500 from the hub, always", (hub("status", value="500", match="*"),), ALL, at_once=True),
    Row("address expires after 1,500,000 bytes", (cdn("expire", value=1_500_000),)),
    Row("address expired, always", (cdn("expire"),), ALL),
    Row("another ETag each time", (cdn("truncate", 1, 2_000_000), cdn("etag_changes"))),
    Row("file changed in the middle", (cdn("truncate", 2, 0.4),), ALL, special="changed"),
    Row("no ranges, gone on with", (cdn("no_range"),), begun=2_000_000),
    Row("no ranges", (cdn("no_range"),)),
    Row("wrong Content-Range, gone on with", (cdn("wrong_range"),), only("http", "wget"), begun=2_000_000),
    Row("gzip where none was asked for, once", (cdn("gzip", 1),)),
    Row("gzip where none was asked for, always", (cdn("gzip"),), only("http", "wget")),
    Row("HTML with 200, once", (cdn("html", 1),)),
    Row("HTML with 200, gone on with", (cdn("html", 1),), begun=2_000_000),
    Row("HTML with 200, always", (cdn("html"),), ALL),
    Row("HTML with 200 from the hub", (hub("html", match="*"),), ALL, at_once=True),
    Row("JSON with 200, always", (cdn("json"),), ALL),
    Row("an LFS pointer with 200, always", (cdn("pointer"),), ALL),
    Row("redirect loop", (cdn("redirect_loop"),), ALL),
    Row("redirect loop at the hub", (hub("redirect_loop", match="*"),), ALL, at_once=True),
    Row("redirect to another host", (cdn("redirect_out", value=f"{ELSEWHERE}/file"),)),
    Row(
        "redirect to another host by the hub",
        (hub("redirect_out", value=ELSEWHERE, match="*"),),
        only("git-lfs"),
        at_once=True,
    ),
    Row(
        "redirect to another host of git-lfs's question",
        (hub("redirect_out", value=ELSEWHERE, match="*/batch"),),
        at_once=True,
    ),
    Row("no length, chunked", (cdn("no_length", value="chunked"),)),
    Row("no length, ends with the connection", (cdn("no_length", value="close"),)),
    Row("wrong length, one byte less", (cdn("wrong_length", value=-1),), ALL),
    Row("wrong length, 1,000 bytes more", (cdn("wrong_length", value=1000),), only("http")),
    Row("wrong length from the hub", (hub("wrong_length"),), ALL, at_once=True),
    Row("rate limit, as the hub says it", (Fault("*", "rate_limit", -1, 25),), for_s=26),
    Row("503 for 60 s", (Fault("*", "status", -1, "503"),), for_s=60),
    Row("storage host dead", (hub("redirect_out", value=DEAD),), ALL, at_once=True),
    Row("TLS with an unknown issuer", errors=ALL, special="tls"),
    Row("TLS with an issuer that is named", special="trusted"),
)


def xorbs(kind: str, times: int = -1, value: int | str | float = "", *, place: str = "*") -> Fault:
    """A fault of the storage's blocks; the file has five."""
    return Fault(f"/xorbs/default/*/{place}", kind, times, value, origin="cdn")  # type: ignore[arg-type]


def plan(kind: str, times: int = -1, value: int | str | float = "") -> Fault:
    """A fault where the storage tells of what the file is made."""
    return Fault("/v?/reconstructions/*", kind, times, value, origin="cdn")  # type: ignore[arg-type]


XET = "hf with Xet"
XET_ROWS = (
    Row("none, by Xet"),
    Row("gone on with, by Xet", begun=2_000_000),
    Row("blocks truncated once", (xorbs("truncate", 1, 500_000),)),
    Row("blocks reset, always, from the fourth on", (xorbs("reset", value=300_000, place="[34]"),)),
    Row("a block stalled once", (xorbs("stall", 1, 300_000),)),
    Row("a block stalled, always", (xorbs("stall", value=300_000, place="2"),)),
    Row("blocks: 503, burst of four", (xorbs("status", 4, "503"),)),
    Row("blocks: 503, always", (xorbs("status", value="503"),)),
    Row("blocks: address expires after 500,000 bytes", (xorbs("expire", 1, 500_000),)),
    Row("blocks: address expired, always", (xorbs("expire"),)),
    Row("blocks: HTML with 200, once", (xorbs("html", 1),)),
    Row("blocks: wrong bytes, once", (xorbs("corrupt", 1, LAST_CHUNK),)),
    Row("blocks: wrong bytes, always", (xorbs("corrupt", value=LAST_CHUNK),), only(XET)),
    Row("blocks: no block, but wrong bytes, once", (xorbs("corrupt", 1, 0),)),
    Row("storage: 503, always", (plan("status", value="503"),)),
    Row("storage: key refused, always", (plan("status", value="401"),)),
    Row("storage: HTML with 200", (plan("html"),)),
    Row("no key from the hub", (hub("status", value="403", match="*/xet-read-token/*"),), at_once=True),
    Row("storage and the file's address: 503, always", (cdn("status", value="503"),), only(XET)),
)
"""What happens to `hf` where the hub offers Xet: its storage fails, or all does."""
CELLS = [Cell(row, backend) for row in ROWS for backend in BACKENDS] + [Cell(row, XET) for row in XET_ROWS]


# -- hubs ---------------------------------------------------------------------------------------------------


class TroubledHub(Hub):
    """Behaves well until the file's own bytes are asked for; from then on `later`, and what `change` does next."""

    def __init__(self, root: Path, later: tuple[Fault, ...], faults: Faults, *, changing: bool = False) -> None:
        self.well = False
        """Whether all faults are over, for good."""
        super().__init__(root, faults=faults)
        self._later = later
        self._changing = changing
        self._began = False
        self._beginning = threading.Lock()

    def answer(self, request: Request) -> Reply:
        with self._beginning:
            if self._began and self._changing:
                self._changing = False
                _swap(self.root)
            elif not self._began and self._moves_file(request):
                self._began = True
                if not self.well:
                    self.arm(*self._later)
        return super().answer(request)

    def recover(self) -> None:
        """Behave well for good."""
        self.well = True
        self.disarm()

    def _moves_file(self, request: Request) -> bool:
        if self.faults.xet:  # the key has been given, and what comes next is the storage
            return not request.path.startswith("/lfs/") and request.origin == "cdn"
        first = re.fullmatch(r"bytes=0-(\d+)", request.headers.get("range", ""))
        return request.origin == "cdn" and not (first and int(first[1]) < HEADER_LIMIT)


class TlsHub(Hub):
    """The same hub behind TLS, hub and cdn both."""

    def __init__(self, root: Path, certificate: Path, faults: Faults) -> None:
        super().__init__(root, faults=faults)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        for server in (self._hub, self._cdn):
            # The handshake is left to the thread that answers: a client that refuses it holds up nobody.
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
            server.handle_error = lambda *of: None  # type: ignore[method-assign]
        self.url, self.cdn_url = (each.replace("http:", "https:") for each in (self.url, self.cdn_url))
        self.serve_objects(self.cdn_url, url_ttl_s=self.faults.url_ttl_s)


def make_certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that nobody has signed but itself, its key beside it."""
    path = folder / "tls.pem"
    name = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    files = ("-keyout", path.with_suffix(".key"), "-out", path)
    words = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *name, *files)
    subprocess.run(words, check=True, capture_output=True)
    return path


def private_root(root: Path, folder: Path) -> Path:
    """A hub's folder of one's own, by hard links: its files can be replaced."""
    return Path(shutil.copytree(root, folder, copy_function=lambda source, target: Path(target).hardlink_to(source)))


def _swap(root: Path) -> None:
    """Let the file, at the same commit, be another of the same size from now on."""
    place, table = model_folder(root, REPO) / FILE, root / "models" / f"{REPO}.json"
    aside = place.with_suffix(".new")
    aside.write_bytes(bytes(byte ^ 1 for byte in place.read_bytes()))
    aside.replace(place)
    known = json.loads(table.read_text("utf-8"))
    known["files"][FILE]["sha256"] = "c" * 64
    other = table.with_suffix(".new")
    other.write_text(json.dumps(known), "utf-8")
    other.replace(table)


# -- the document -------------------------------------------------------------------------------------------

INTRODUCTION = """# Downloads: every backend under every fault

Written by `PROVISION_WRITE_DOCS=1 python -m pytest tests/e2e/test_download_matrix.py`; every other run of these tests
checks that the outcomes are still the ones below. Each cell is a run of the models step against the rehearsal's hub,
with a file of 5 MB: real backends, real programs. It ends either with the **file**, its sha256 verified, under its
name, or with an **error**: one sentence, a hint, exit code 1, and no file under that name. Then come the bytes of the
file that the servers sent, as a multiple of its size, and the seconds. What no cell has ever done, or its test fails:
put a partial or wrong file under the name, sent the token to another host, or spoilt the next run, which goes on
without the fault and must end with the right file. The second table is `hf` where the hub offers Xet, the last one
ComfyUI's git server and the package index: there a **file** is what was asked for.

Our own waits between attempts are skipped here (huggingface_hub's are not), and the time-outs are cut to a second or
two: the seconds compare cells, they do not foretell yours. In earnest an outage is ridden out for five minutes, and a
server left alone for as long as it asks. "Always" is for ever, also for every new attempt; "gone on
with" begins with a part of a killed run. A backend that could not finish is followed by the next one in `auto` alone,
but for `hf`, behind which stands `http`.

"""


OTHERS = ("git", "packages")
OTHER_ROWS = tuple(Row(name) for name in ("rate limit", "503 for 60 s", "host dead"))
"""What else is asked of a network: ComfyUI's git server and the package index; see `test_outages`."""
TABLES = ((ROWS, BACKENDS), (XET_ROWS, (XET,)), (OTHER_ROWS, OTHERS))


def recorded() -> dict[tuple[str, str], str]:
    """The document's cells, by fault and backend; empty when there is none."""
    found, columns = dict[tuple[str, str], str](), list[str]()
    for line in DOCUMENT.read_text("utf-8").splitlines() if DOCUMENT.is_file() else ():
        words = [word.strip() for word in line.strip().strip("|").split("|")]
        if not line.startswith("|"):
            columns = []
        elif not columns:
            columns = words[1:]
        elif set(words[0]) != {"-"}:
            found |= {(words[0], column): word for column, word in zip(columns, words[1:], strict=True)}
    return found


def record(cell: Cell, outcome: Outcome, lock: Path) -> None:
    """Write one cell into the document; tests in several processes may do so at once."""
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        found = {**recorded(), (cell.row.name, cell.backend): str(outcome)}
        aside = DOCUMENT.with_suffix(".new")
        DOCUMENT.parent.mkdir(exist_ok=True)
        aside.write_text(INTRODUCTION + "\n".join(_table(rows, columns, found) for rows, columns in TABLES), "utf-8")
        aside.replace(DOCUMENT)


def _table(rows: tuple[Row, ...], columns: tuple[str, ...], found: dict[tuple[str, str], str]) -> str:
    lines = [["fault", *columns], ["---"] * (len(columns) + 1)]
    lines += [[row.name, *(found.get((row.name, column), "") for column in columns)] for row in rows]
    return "".join(f"| {' | '.join(words)} |\n" for words in lines)
