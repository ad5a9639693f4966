"""Writes what is derived from the models: `stack/site.schema.json` and `docs/site.md`.

Run `python -m stack.reference` after a change of the models; a test tells where that was forgotten.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from stack.paths import ROOT
from stack.schema import Site

_INTRODUCTION: Final = """\
# The site: every setting

<!-- Written by 'python -m stack.reference' from stack/schema.py: change it there. -->

A stack is one file, `stack/Pulumi.<stack>.yaml`, and in it one structured value, `rackform:site`.
All that is wrong with it is told at once, before anything is touched; settings that have no effect
in this version are accepted and named in every preview.

```sh
pulumi config set --path 'rackform:site.fabric.mtu_bytes' 4200
pulumi config set --path 'rackform:site.switches.tor1.ports["Ethernet1/1"]' w1.ens1f0
pulumi config rm  --path 'rackform:site.nodes.w2'
```

- `pulumi config set` rewrites the file: comments and the order of keys stay (Pulumi 3.250), and
  `pulumi stack init` adds an `encryptionsalt`. What `config rm` removes takes its comments along.
- With `--path`, Pulumi stores whole numbers and `true`/`false` typed and everything else as text.
  Numbers and booleans are therefore also taken from text that is exactly one (`"4200"`, `"2.5"`,
  `"true"`); `"4200 bytes"`, `9000.0`, `"0x10"` and `yes` are refused.
- Editors that know the YAML language server check the file as it is written: the first line of each
  stack file names `stack/site.schema.json`.
- API keys, tokens and certificates' keys are never settings: they are made on the first `up` and
  kept as secrets in Pulumi's state.

`<name>` stands for a name that you give. A setting without a default is needed, unless it is marked
*optional*.
"""


_KEYWORDS: Final = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
}
"""Pydantic's words for bounds, which it leaves in the schema of a setting that may be null."""


def json_schema() -> str:
    """Return the JSON Schema of a stack file."""
    site = _tidy(Site.model_json_schema())
    definitions = site.pop("$defs")
    whole: dict[str, JsonValue] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A stack of Rackform: stack/Pulumi.<stack>.yaml",
        "type": "object",
        "properties": {
            "config": {
                "type": "object",
                "properties": {"rackform:site": {"$ref": "#/$defs/Site"}},
                "required": ["rackform:site"],
            }
        },
        "required": ["config"],
        "$defs": {**_mapping(definitions), "Site": site},
    }
    return json.dumps(whole, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _mapping(value: JsonValue) -> dict[str, JsonValue]:
    return value if isinstance(value, dict) else {}


def _tidy(schema: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return a schema without the titles that pydantic makes of names, and with names checked."""
    tidied: dict[str, JsonValue] = {}
    for key, value in schema.items():
        if key == "title" and isinstance(value, str):
            continue
        if isinstance(value, dict):
            tidied[_KEYWORDS.get(key, key)] = _tidy(value)
        elif isinstance(value, list):
            items: list[JsonValue] = [_tidy(e) if isinstance(e, dict) else e for e in value]
            tidied[_KEYWORDS.get(key, key)] = items
        else:
            tidied[_KEYWORDS.get(key, key)] = value
    if "patternProperties" in tidied:
        tidied["additionalProperties"] = False
    return tidied


def markdown() -> str:
    """Return the reference of every setting."""
    schema = _tidy(Site.model_json_schema())
    lines = [_INTRODUCTION, "## rackform:site", ""]
    return "\n".join([*lines, *_section("", schema, _mapping(schema["$defs"]))]) + "\n"


def _section(
    path: str, model: Mapping[str, JsonValue], definitions: Mapping[str, JsonValue]
) -> list[str]:
    """Return the table of one model's settings, and after it those of the models within."""
    lines = ["| setting | values | default | |", "|---|---|---|---|"]
    inner: list[str] = []
    required = model.get("required")
    needed = required if isinstance(required, list) else []
    for name, value in _mapping(model["properties"]).items():
        setting = _mapping(value)
        step, within = _within(f"{path}{name}", setting, definitions)
        values = _values(setting, definitions, settings=bool(within))
        row = (f"`{path}{name}`", values, _default(setting, needs=name in needed))
        lines.append(f"| {' | '.join(row)} | {setting.get('description', '')} |")
        if within:
            inner += ["", f"## {step}", "", *_section(f"{step}.", within, definitions)]
    return [*lines, *inner]


def _within(
    path: str, setting: Mapping[str, JsonValue], definitions: Mapping[str, JsonValue]
) -> tuple[str, dict[str, JsonValue]]:
    """Return the path and the schema of the settings inside a setting; empty if it is a value."""
    if named := _mapping(setting.get("patternProperties")):
        return _within(f"{path}.<name>", _mapping(next(iter(named.values()))), definitions)
    if named := _mapping(setting.get("additionalProperties")):
        return _within(f"{path}.<name>", named, definitions)
    for form in _forms(setting):
        reference = str(form.get("$ref", "")).removeprefix("#/$defs/")
        definition = _mapping(definitions.get(reference))
        if "properties" in definition:
            return path, definition
    return path, {}


def _forms(setting: Mapping[str, JsonValue]) -> list[dict[str, JsonValue]]:
    several = setting.get("anyOf") or setting.get("oneOf")
    return [_mapping(each) for each in several] if isinstance(several, list) else [dict(setting)]


def _values(
    setting: Mapping[str, JsonValue], definitions: Mapping[str, JsonValue], *, settings: bool
) -> str:
    """Return in words what a setting takes; `settings` tells that its own follow further down."""
    forms = [form for form in _forms(setting) if form.get("type") != "null"]
    if settings:
        forms = [form for form in forms if "const" in form]
    words = [_words(form, definitions) for form in forms]
    return " or ".join([*words, "settings below"] if settings else words)


def _words(form: Mapping[str, JsonValue], definitions: Mapping[str, JsonValue]) -> str:
    if "$ref" in form:
        name = str(form["$ref"]).removeprefix("#/$defs/")
        return _words(_mapping(definitions[name]), definitions)
    choices = form.get("enum", [form["const"]] if "const" in form else None)
    if isinstance(choices, list):
        return ", ".join(f"`{value}`" for value in choices)
    kind = str(form.get("type"))
    if kind == "array":
        return f"list of {_words(_mapping(form.get('items')), definitions)}"
    if kind in ("integer", "number"):
        return _range(form, "whole number" if kind == "integer" else "number")
    kinds = {"boolean": "`true`, `false`", "object": "values by name"}
    formats = {"ipv4": "address", "ipv4network": "subnet", "path": "path"}
    return formats.get(str(form.get("format"))) or kinds.get(kind, "text")


def _range(form: Mapping[str, JsonValue], noun: str) -> str:
    low, above = form.get("minimum"), form.get("exclusiveMinimum")
    bounds = [f"from {low}" if isinstance(low, int | float) else ""]
    bounds += [f"above {above}" if isinstance(above, int | float) else ""]
    most = form.get("maximum")
    bounds += [f"to {most}" if isinstance(most, int | float) else ""]
    return " ".join([noun, *filter(None, bounds)])


def _default(setting: Mapping[str, JsonValue], *, needs: bool) -> str:
    if needs:
        return "**needed**"
    default = setting.get("default")
    if default is None or default in ({}, []):
        return "*optional*"
    if isinstance(default, dict):
        return ""
    return f"`{json.dumps(default).strip(chr(34))}`"


def generated(root: Path = ROOT) -> dict[Path, str]:
    """Return what each derived file should hold."""
    return {
        root / "stack" / "site.schema.json": json_schema(),
        root / "docs" / "site.md": markdown(),
    }


if __name__ == "__main__":
    for file, content in generated().items():
        file.write_text(content, encoding="utf-8")
