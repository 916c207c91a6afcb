"""`docs/json.md` and `docs/schema/provision-2.schema.json`: what `--json` prints, made from the types that are printed.

A test holds every line that the tests see against the schema, with all other keys forbidden.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from msgspec.json import schema_components

from docs.generate.manual import MAKE
from provision.cli import about, server
from provision.cli.commands import (
    bisect_nodes,
    bundle,
    check,
    clean,
    completion,
    config,
    download,
    examine,
    explain_log,
    generate,
    history,
    inspect,
    list_checks,
    logs,
    made_by_us,
    manifests,
    nodes,
    overview,
    plan_target,
    report,
    rollback,
    serve,
    update,
)
from provision.core import events
from provision.core.finding import FindingJson
from provision.core.plan import PlanFacts
from provision.download.bundling import checking
from provision.fleet import answers, page, ssh_config, work
from provision.output.as_json import NAMES, Line, ReportLine, names
from provision.output.report.bench_result import Bench
from provision.output.result import Nothing

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TEXT = Path(__file__).with_name("json_page.txt")
REPORTS: dict[str, tuple[type, ...]] = {
    "all": (about.Provisioned,),
    "plan": (PlanFacts, plan_target.TargetPlan),
    "check": (Nothing, check.Hosts),
    "download": (about.Provisioned, download.Placed, inspect.FileFacts, inspect.RepoFacts),
    "doctor": (examine.Diagnosis, list_checks.CheckList, explain_log.Explained, bisect_nodes.AtFault),
    "launch": (server.Up, Nothing),
    "stop": (Nothing,),
    "status": (overview.StatusFacts, overview.NotInstalled),
    "rollback": (rollback.RolledBack, server.Up, Nothing),
    "update": (update.Updated, update.WouldUpdate, update.Newer),
    "history": (history.History,),
    "clean": (clean.Freed, clean.WouldFree),
    "nodes": (nodes.NodeList, nodes.ChangedNodes),
    "logs": (logs.LogFacts,),
    "generate": (generate.Pictures, server.Up),
    "serve": (serve.Served,),
    "bench": (Bench, server.Up),
    "report": (report.PageFacts,),
    "config": (config.Settings,),
    "fleet": (work.FleetFacts, page.FleetPageFacts, ssh_config.HostKeys, answers.Urls),
    "uninstall": (made_by_us.Removed, made_by_us.WouldRemove, Nothing),
    "bundle": (bundle.Bundled, checking.Checked),
    "completion": (completion.Script, completion.Installed),
    "manifests": (manifests.ManifestList, manifests.ManifestValues, manifests.ManifestName, manifests.NewManifest),
}
"""What each command adds to its report."""
EVENTS = [kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, events.Event)][1:]
TOLD: dict[type, type] = {events.FindingSeen: FindingJson}
"""Events that are printed as another type."""
Schema = dict[str, Any]
PLAIN: Schema = {"Command": {"type": "array", "items": {"type": "string"}}, "Fix": {"type": "string"}}
"""Values that a console renders, as it would for a person."""


def schema() -> Schema:
    """The JSON Schema (2020-12) of one line."""
    facts = list(dict.fromkeys(kind for kinds in REPORTS.values() for kind in kinds if kind is not Nothing))
    told = [TOLD.get(kind, kind) for kind in EVENTS]
    held = [Line, ReportLine, *told, *facts]
    roots, found = schema_components(held, schema_hook=_hook, ref_template="#/$defs/{name}")
    kinds = {_name(root["$ref"]): kind for root, kind in zip(roots, held, strict=True)}
    values = {name: _renamed(definition, kinds.get(name)) for name, definition in _plain(found).items()}
    lines = {kind.type: _event(kind, values[each.__name__]) for kind, each in zip(EVENTS, told, strict=True)}
    for command, told_of in REPORTS.items():
        for kind in told_of:
            lines[f"{command}: {kind.__name__}"] = _report(values.get(kind.__name__, {}), {"const": command})
    lines["failed"] = _report({}, {"type": ["string", "null"]}, ok={"const": False})
    values["ReportLine"] = _extended("Line", values["ReportLine"], {"type": {"const": "report"}})
    for name in (*(kind.__name__ for kind in (*EVENTS, *facts)), *PLAIN):
        values.pop(name, None)
    lines_of = [{"$ref": f"#/$defs/{name}"} for name in lines]
    head = {"$schema": DIALECT, "title": "A line of provision --json"}
    return {**head, "anyOf": lines_of, "$defs": {**lines, **values}}


def _hook(kind: type) -> Schema:
    return {"type": "string"} if kind is Path else {"description": "Any value of JSON."}


def _plain(found: Schema) -> Schema:
    """The same without references to what JSON has as a string, or as a list of them."""
    text = json.dumps(found)
    for name, instead in PLAIN.items():
        text = text.replace(f'{{"$ref": "#/$defs/{name}"}}', json.dumps(instead))
    return dict(json.loads(text))


def _name(reference: str) -> str:
    return reference.rpartition("/")[2]


def _renamed(definition: Schema, kind: type | None) -> Schema:
    """A type's schema with the names that JSON has, every key of which is always there."""
    if "properties" not in definition:
        return definition
    keep = names(kind) if kind else {key: NAMES.get(key, key) for key in definition["properties"]}
    properties = {
        keep[key]: {name: each for name, each in value.items() if name != "default"}
        for key, value in definition["properties"].items()
        if key in keep
    }
    return {**definition, "properties": properties, "required": sorted(properties)}


def _event(kind: type[events.Event], told: Schema) -> Schema:
    own = {"type": {"const": kind.type}, "step": {"type": "string"}}
    return {**_extended("Line", told, own), "description": " ".join(str(kind.__doc__).split())}


def _report(facts: Schema, command: Schema, **own: Schema) -> Schema:
    return _extended("ReportLine", facts, {"command": command, **own})


def _extended(base: str, more: Schema, own: Schema) -> Schema:
    """A kind of line: what `base` has, what this one adds, and what is fixed in it."""
    properties = {key: value for key, value in more.get("properties", {}).items() if key not in BASES[base]} | own
    says = {"description": more["description"]} if "description" in more else {}
    return {"$ref": f"#/$defs/{base}", **says, "properties": properties, "required": sorted(properties)}


BASES: dict[str, tuple[str, ...]] = {"Line": tuple(names(Line)), "ReportLine": tuple(names(ReportLine))}
"""The keys of all lines, and of all reports."""


def schema_text() -> str:
    """The schema's file; a type is called there without the suffix that tells it from what it is made of."""
    return re.sub(r"(\w)Json\b", r"\1", json.dumps(schema(), indent=1)) + "\n"


# -- the page -------------------------------------------------------------------------------------------------------


def json_page() -> str:
    """`docs/json.md`: the text of `docs/generate/json_page.txt`, with tables of events, reports and values."""
    found = json.loads(schema_text())["$defs"]
    inner = {name: it for name, it in found.items() if name[0].isupper() and "properties" in it and "$ref" not in it}
    tables = {
        "events": [(kind.type, found[kind.type]) for kind in EVENTS],
        "reports": [(name.partition(":")[0], it) for name, it in found.items() if ": " in name],
        "values": [(name, it) for name, it in inner.items() if name != "Line"],
    }
    text = TEXT.read_text(encoding="utf-8").replace("{made}", f"<!-- Made from the code's types: {MAKE} -->")
    for mark, rows in tables.items():
        text = text.replace(f"{{{mark}}}", "\n".join(_row(name, it) for name, it in rows if "description" in it))
    return text


def _row(name: str, definition: Schema) -> str:
    says = " ".join(definition["description"].split()).replace("|", "\\|")
    known = (*BASES[_name(definition["$ref"])], "step") if "$ref" in definition else ()
    keys = [f"`{key}` {_kind(it)}".rstrip() for key, it in definition["properties"].items() if key not in known]
    return f"| `{name}` | {says} | {', '.join(keys)} |"


def _kind(value: Schema) -> str:
    """A key's kind, in a word or two."""
    if "$ref" in value:
        return f"`{_name(value['$ref'])}`"
    if "anyOf" in value:
        return " or ".join(filter(None, map(_kind, value["anyOf"])))
    if "prefixItems" in value:
        return f"[{', '.join(map(_kind, value['prefixItems']))}]"
    if value.get("type") == "array" and "items" in value:
        return f"[{_kind(value['items'])}]"
    if "enum" in value:
        return " or ".join(f'"{each}"' for each in value["enum"])
    if "additionalProperties" in value:
        return f"{{string: {_kind(value['additionalProperties']) or 'any'}}}"
    return str(value.get("type", ""))
