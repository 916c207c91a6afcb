"""The person's settings of uv and pip: where packages come from counts, and nothing else does.

uv is started without its own files of settings (`UV_NO_CONFIG`): a day, a mode or a rule in them (`exclude-newer`,
`offline`, `require-hashes`, `no-binary`, `constraint-dependencies` ...) is meant for another program. The indexes of
these files, of `UV_*` and of `PIP_*` are read here and named to uv one by one; those of the current folder are not.
See https://docs.astral.sh/uv/reference/settings and https://docs.astral.sh/uv/concepts/configuration-files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provision.system.machine import Machine
from provision.system.strict import Unreadable, parse_toml

DEFAULT_INDEX = "https://pypi.org/simple"
TEXTS = {
    "index-strategy": "UV_INDEX_STRATEGY",
    "keyring-provider": "UV_KEYRING_PROVIDER",
    "python-install-mirror": "UV_PYTHON_INSTALL_MIRROR",
    "pypy-install-mirror": "UV_PYPY_INSTALL_MIRROR",
    "python-downloads-json-url": "UV_PYTHON_DOWNLOADS_JSON_URL",
    "http-proxy": "HTTP_PROXY",
    "https-proxy": "HTTPS_PROXY",
}
"""The settings of one text that count, and uv's variables for them."""
INDEXES = frozenset({"index", "index-url", "extra-index-url", "find-links", "allow-insecure-host", "no-proxy"})
HARMLESS = frozenset(
    {
        "native-tls",
        "system-certs",
        "cache-dir",
        "link-mode",
        "compile-bytecode",
        "preview",
        "preview-features",
        "concurrent-downloads",
        "concurrent-builds",
        "concurrent-installs",
        "publish-url",
        "trusted-publishing",
        "check-url",
        "http-timeout",
        "http-retries",
        "http-connect-timeout",
        "cache-keys",
        "required-version",
        "pip",
    }
)
"""Settings of which it does not matter that they do not count."""
NAMED = re.compile(r"([A-Za-z0-9._-]+)=(?=[a-z]+:|[/~.])")
"""What stands before an index's address where it has a name: `corp=https://...`."""
Files = tuple[tuple[Path, Mapping[str, Any]], ...]


@dataclass(frozen=True, slots=True)
class UvFiles:
    """The person's files of uv's settings, the strongest first, and those that cannot be read, with the reason."""

    read: Files = ()
    broken: tuple[tuple[Path, str], ...] = ()

    @property
    def unused(self) -> tuple[tuple[Path, str], ...]:
        """The settings that do not count here and would change what is installed, each with its file."""
        counted = TEXTS.keys() | INDEXES | HARMLESS
        return tuple((path, key) for path, values in self.read for key in _keys(values) if key not in counted)


def read_files(machine: Machine) -> UvFiles:
    """The files of settings of this person and of this machine, as uv looks for them."""
    read: list[tuple[Path, Mapping[str, Any]]] = []
    broken: list[tuple[Path, str]] = []
    for path in _places(machine.environ):
        text = machine.read_text(path)
        try:
            if text is not None:
                read.append((path, parse_toml(text)))
        except Unreadable as error:
            broken.append((path, str(error)))
    return UvFiles(tuple(read), tuple(broken))


def index_settings(environ: Mapping[str, str], files: Files) -> dict[str, str]:
    """What uv is told of indexes, proxies and mirrors that it does not find in the environment itself."""
    found: dict[str, str] = {}
    for _, values in reversed(files):
        found |= {TEXTS[key]: value for key, value in _texts(values) if key in TEXTS}
        if no_proxy := _list(values.get("no-proxy")):
            found["NO_PROXY"] = ",".join(no_proxy)
    defaults, more = _indexes(files)
    links = [_absolute(path, link) for path, values in files for link in _list(_setting(values, "find-links"))]
    links += [_absolute(path, url) for path, values in files for url in _flat(values)]
    hosts = [host for _, values in files for host in _list(_setting(values, "allow-insecure-host"))]
    found |= _given(
        UV_DEFAULT_INDEX=environ.get("PIP_INDEX_URL") or next(iter(defaults), ""),
        UV_INDEX=" ".join([*environ.get("PIP_EXTRA_INDEX_URL", "").split(), *more]),
        UV_FIND_LINKS=",".join([*environ.get("PIP_FIND_LINKS", "").split(), *links]),
        UV_INSECURE_HOST=" ".join([*environ.get("PIP_TRUSTED_HOST", "").split(), *hosts]),
    )
    if {"UV_DEFAULT_INDEX", "UV_INDEX_URL"} & environ.keys():
        found.pop("UV_DEFAULT_INDEX", None)
    if {"UV_INDEX", "UV_EXTRA_INDEX_URL"} & environ.keys():
        found.pop("UV_INDEX", None)
    return {name: value for name, value in found.items() if not (environ.get(name) or environ.get(name.lower()))}


def default_index(machine: Machine) -> str:
    """The package index that is configured, without the name that it may have."""
    given = machine.environ
    settings = index_settings(given, read_files(machine).read)
    named = given.get("UV_DEFAULT_INDEX") or given.get("UV_INDEX_URL") or settings.get("UV_DEFAULT_INDEX")
    return NAMED.sub("", named or DEFAULT_INDEX, count=1)


def _given(**values: str) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}


def _places(environ: Mapping[str, str]) -> Iterator[Path]:
    if environ.get("UV_NO_CONFIG", "").lower() in ("1", "true", "yes", "on"):
        return
    if named := environ.get("UV_CONFIG_FILE"):
        yield Path(named)
        return
    if person := environ.get("XDG_CONFIG_HOME") or (f"{environ['HOME']}/.config" if environ.get("HOME") else ""):
        yield Path(person) / "uv/uv.toml"
    for folder in (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":"):
        yield Path(folder) / "uv/uv.toml"
    yield Path("/etc/uv/uv.toml")


def _keys(values: Mapping[str, Any]) -> list[str]:
    pip = values.get("pip")
    return [*values, *(pip if isinstance(pip, dict) else ())]


def _setting(values: Mapping[str, Any], key: str) -> object:
    """A setting, that of `[pip]` first."""
    pip = values.get("pip")
    return pip[key] if isinstance(pip, dict) and key in pip else values.get(key)


def _texts(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key in TEXTS:
        if isinstance(value := _setting(values, key), str):
            yield key, value


def _list(value: object) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _tables(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Its `[[index]]` tables; one that is `explicit` is for packages that name it, and none does here."""
    found = values.get("index")
    tables = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    return [each for each in tables if isinstance(each.get("url"), str) and not each.get("explicit")]


def _flat(values: Mapping[str, Any]) -> list[str]:
    """The indexes that are one page of links."""
    return [each["url"] for each in _tables(values) if each.get("format") == "flat"]


def _indexes(files: Files) -> tuple[list[str], list[str]]:
    """The addresses of default indexes and of the others, in their order, each with its name where it has one."""
    defaults: list[str] = []
    more: list[str] = []
    for path, values in files:
        for each in _tables(values):
            if each.get("format") != "flat":
                url = _absolute(path, each["url"])
                name = each.get("name")
                place = defaults if each.get("default") is True else more
                place.append(f"{name}={url}" if isinstance(name, str) else url)
        if isinstance(named := _setting(values, "index-url"), str):
            defaults.append(_absolute(path, named))
        more += [_absolute(path, url) for url in _list(_setting(values, "extra-index-url"))]
    return defaults, more


def _absolute(file: Path, place: str) -> str:
    """A folder that is named from the file of settings, as one that is named from anywhere."""
    return place if "://" in place else str(file.parent / Path(place).expanduser())
