"""`python -m tools.generate_kubernetes`: write what the images and the chart copy from other sources.

Locked requirements per app, the chart's schema, its README, its copies of dashboards and rules, what it renders to, and
the page of its scorecard.
With `--check` nothing is written; the exit code says whether all of it is fresh.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import yaml

from candlecast.settings import Settings
from tools import scorecard

ROOT = Path(__file__).parent.parent
CHART = ROOT / "helm/candlecast"
GOLDEN = ROOT / "tests/deploy/golden"

Schema = dict[str, Any]

# The folder of each image's requirements, and the extras of pyproject.toml that it installs. The dispatcher's are for
# compose, where it runs every job itself; in a cluster it is part of the ingestion image.
_EXTRAS = {
    "dispatcher": ("ingest", "train", "monitor"),
    "ingestion_job": ("ingest",),
    "monitoring": ("monitor",),
    "service": ("serve",),
    "training": ("train",),
    "ui": ("ui",),
}


# Settings that the chart sets itself, from other values.
CHART_DECIDES = frozenset(
    {
        "alertmanager_port",
        "api_base_url",
        "api_token",
        "api_tokens",
        "coingecko_api_key",
        "cronjobs",
        "data_dir",
        "database_direct_url",
        "database_password",
        "database_url",
        "database_user",
        "dispatcher_mode",
        "exporter_host",
        "exporter_port",
        "feature_dir",
        "ingestion_parallelism",
        "job_index",
        "kubernetes_credentials",
        "kubernetes_url",
        "namespace",
        "prometheus_port",
        "replay_dir",
        "root_path",
        "service_host",
        "service_port",
        "training_parallelism",
        "ui_host",
        "ui_password",
        "ui_port",
        "ui_root_path",
    }
)

_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_OBJECTS = {"type": "array", "items": {"type": "object"}}
_NAMES = {"type": "array", "items": {"type": "string"}}
_SECONDS = {"type": "integer", "minimum": 1}

# What the values themselves do not say about their kind, by dotted path or by `*.key`.
# What `helm --set` is given as 0.1 arrives as text.
_PERCENT: Schema = {
    "type": ["number", "string"], "exclusiveMinimum": 0, "exclusiveMaximum": 100, "pattern": "^[0-9]{1,2}([.][0-9]+)?$",
}  # fmt: skip
_RULES: dict[str, Schema] = {
    "*.affinity": {"type": "object"},
    "*.annotations": _TEXTS,
    "*.cidrs": _NAMES,
    "*.digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
    "*.extraEnv": {
        "type": "array",
        "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
    },
    "*.alertLabels": _TEXTS,
    "*.extraVolumeMounts": _OBJECTS,
    "*.extraVolumes": _OBJECTS,
    "*.fallbackReplicas": {"type": "integer", "minimum": 0},
    "*.from": _OBJECTS,
    "*.hostnames": _NAMES,
    "*.parentRefs": _OBJECTS,
    "*.maxReplicas": {"type": "integer", "minimum": 1},
    "*.minReplicas": {"type": "integer", "minimum": 1},
    "*.nodePort": {"type": "integer", "minimum": 0, "maximum": 65535},
    "*.parallelism": {"type": "integer", "minimum": 1, "maximum": 100},
    # As candlecast.settings takes it.
    "*.path": {"type": "string", "pattern": "^(/|(/[A-Za-z0-9._~-]+)+/?)$"},
    "*.topologySpreadConstraints": _OBJECTS,
    "*.extraObjects": {"type": "array", "items": {"type": ["object", "string"]}},
    "*.imagePullSecrets": _NAMES,
    "*.ingressFrom": _OBJECTS,
    "*.labels": _TEXTS,
    "*.metricsFrom": _OBJECTS,
    "*.nodeSelector": _TEXTS,
    "*.pod": {"$ref": "#/$defs/pods"},
    "*.podLabels": _TEXTS,
    "*.port": {"type": "integer", "minimum": 1, "maximum": 65535},
    "*.ports": {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 1, "maximum": 65535}},
    "*.pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "*.pullSecrets": _NAMES,
    "*.resources": {
        "type": "object",
        "required": ["requests", "limits"],
        "properties": {
            "requests": {"type": "object", "required": ["cpu", "memory"]},
            "limits": {"type": "object", "required": ["memory"]},
        },
    },
    "*.startingDeadlineSeconds": {"type": "integer", "minimum": 10},
    "*.storage": {"type": "string", "pattern": "^[0-9.]+[KMGTPEkmi]*$"},
    "*.tag": {
        "type": ["string", "integer"],
        "pattern": "^([A-Za-z0-9_][A-Za-z0-9._-]{0,127})?$",
        "not": {"const": "latest"},
    },
    "*.to": _OBJECTS,
    "*.tolerations": _OBJECTS,
    "*.type": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
    "backfill.ttlSecondsAfterFinished": {"type": ["integer", "null"], "minimum": 0},
    "database.external.keys.port": {"type": "string"},
    "database.mode": {"enum": ["external", "trial"]},
    "database.roles.mode": {"enum": ["none", "create", "existing"]},
    "database.roles.prefix": {"type": "string", "pattern": "^([a-z][a-z0-9_]{0,40})?$"},
    "dispatcher.mode": {"enum": ["kubernetes", "none"]},
    # A Service's name begins with a letter; those that are too long for what is added are shortened.
    "fullnameOverride": {"type": "string", "pattern": "^([a-z]([a-z0-9-]*[a-z0-9])?)?$"},
    "metrics.serviceMonitor.mode": {"enum": ["auto", "always", "never"]},
    "migrations.mode": {"enum": ["job", "none"]},
    "migrations.ttlSecondsAfterFinished": {"type": ["integer", "null"], "minimum": 0},
    "migrations.waitSeconds": _SECONDS,
    **{f"rules.errorBudgets.{objective}": _PERCENT for objective in ("availability", "latency", "freshness")},
    "rules.mode": {"enum": ["auto", "always", "never"]},
    "rules.overrides": {
        "type": "object",
        "additionalProperties": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "disabled": {"type": "boolean"},
                "for": {"type": "string"},
                "severity": {"enum": ["critical", "warning", "info"]},
            },
        },
    },
    "service.autoscaling.cpuPercent": {"type": "integer", "minimum": 1, "maximum": 1000},
    "service.autoscaling.mode": {"enum": ["none", "hpa", "keda"]},
    "service.startupSeconds": _SECONDS,
    "test.waitSeconds": _SECONDS,
}


def main(arguments: list[str] | None = None) -> int:
    """Write or check all generated files; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.generate_kubernetes", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say what is stale")
    check = parser.parse_args(arguments).check
    stale = False
    for path, text in generated():  # in order: what is rendered needs the schema before it
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale = True
        print(f"{'stale' if check else 'wrote'} {path.relative_to(ROOT)}")  # noqa: T201  # a command's answer
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return 1 if check and stale else 0


def generated() -> Iterator[tuple[Path, str]]:
    """Yield every generated file and its text."""
    yield from _requirements()
    yield CHART / "values.schema.json", json.dumps(values_schema(), indent=1, ensure_ascii=False) + "\n"
    yield from _watchers()
    yield from _readme()
    yield from _rendered()
    yield from _golden()
    yield scorecard.PAGE, scorecard.page()


def find_helm() -> str | None:
    """Return helm from PATH, or the one that `cluster tools` installed."""
    return find_program("helm")


def find_program(name: str) -> str | None:
    """Return a program from PATH, or from where `cluster tools` installs."""
    home = os.environ.get("CLUSTER_HOME", str(Path.home() / ".cache/candlecast-cluster"))
    return shutil.which(name) or shutil.which(name, path=f"{home}/bin")


def render(helm: str, *options: str, release: str = "candlecast", namespace: str = "candlecast") -> str:
    """Return the chart's manifests."""
    # Without it helm takes the version it was built with, which may be older than the chart allows.
    command = [helm, "template", release, str(CHART), "--namespace", namespace, "--kube-version", "1.34.0", *options]
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


def chart_settings() -> dict[str, Any]:
    """Return the fields of Settings that the value `settings` may hold: all but those that the chart decides."""
    return {name: field for name, field in Settings.model_fields.items() if name not in CHART_DECIDES}


def values_schema() -> Schema:
    """Return the schema of the chart's values: their structure, their comments, and what `_RULES` adds."""
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    schema = _object("", yaml.safe_load(text), _comments(text))
    # An umbrella chart gives these two to every chart below it.
    schema["properties"]["global"]["additionalProperties"] = True
    schema["properties"]["enabled"] = {"type": "boolean"}
    schema["$defs"] = {"pods": schema["properties"]["pods"]}
    schema["properties"]["pods"] = {"$ref": "#/$defs/pods"}
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "candlecast", **schema}


def _object(path: str, values: Mapping[str, Any], comments: Mapping[str, str]) -> Schema:
    properties = {key: _value(f"{path}.{key}".lstrip("."), value, comments) for key, value in values.items()}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _value(path: str, value: object, comments: Mapping[str, str]) -> Schema:
    described = {"description": comments[path]} if path in comments else {}
    key = path.rpartition(".")[2]
    for rule in (path, f"*.{key}"):
        if rule in _RULES:
            return {**_RULES[rule], **described}
    if path == "settings":
        return {"type": "object", "additionalProperties": False, "properties": _settings_schema(), **described}
    if isinstance(value, dict):
        return {**_object(path, value, comments), **described}
    kinds = {str: "string", bool: "boolean", int: "integer"}
    return {"type": kinds[type(value)], **described}


def _settings_schema() -> Schema:
    return {
        name: {"type": _json_types(field.annotation), "description": " ".join((field.description or "").split())}
        for name, field in chart_settings().items()
    }


def _json_types(annotation: Any) -> str | list[str]:
    kinds = {int: "integer", float: "number", bool: "boolean"}
    if annotation in kinds:
        return kinds[annotation]
    if get_args(annotation):  # several of something: as text, as a list, or one number
        return ["string", "array", "integer"]
    return "string"


def _comments(text: str) -> dict[str, str]:
    """Return the `# --` comment in front of each key, by the key's dotted path."""
    comments: dict[str, str] = {}
    path: list[str] = []
    waiting = None
    for line in text.splitlines():
        if comment := re.match(r" *# -- (.*)", line):
            waiting = comment[1]
        elif key := re.match(r"( *)([A-Za-z_]+):", line):
            path[len(key[1]) // 2 :] = [key[2]]
            if waiting:
                comments[".".join(path)] = waiting
            waiting = None
    return comments


def _watchers() -> Iterator[tuple[Path, str]]:
    """Yield the chart's copies of dashboards and rules: helm reads nothing outside, and Flux leaves out links."""
    for source, target in (("grafana/dashboards/*.json", "dashboards"), ("prometheus/rules/*.yaml", "rules")):
        for path in sorted((ROOT / "monitoring").glob(source)):
            yield CHART / "files" / target / path.name, path.read_text(encoding="utf-8")


def _rendered() -> Iterator[tuple[Path, str]]:
    helm = find_helm()
    if helm is None:
        return
    for values in sorted((ROOT / "k8s/values").glob("*.yaml")):
        text = render(helm, "--values", str(values), "--skip-tests")
        note = f"# Generated from helm/candlecast with k8s/values/{values.name} by `make generate`; edit those.\n"
        yield ROOT / "k8s/rendered" / values.name, note + _one_form(text)


def _golden() -> Iterator[tuple[Path, str]]:
    """Yield what the chart makes of each topology, so that a change of a template shows what it changes."""
    helm = find_helm()
    if helm is None:
        return
    for values in sorted((CHART / "ci").glob("*.yaml")):
        # The dashboards are long, and the same everywhere.
        text = render(helm, "--values", str(values), "--set", "dashboards.enabled=false")
        yield GOLDEN / values.name, _one_form(text)


def _one_form(text: str) -> str:
    """Return manifests as both Helms write them, and without what is random: generated secrets and their hashes."""
    text = re.sub(r"\n+---\n", "\n---\n", text).strip() + "\n"
    for secret in set(re.findall(r': "([A-Za-z0-9]{32})"', text)):
        text = text.replace(hashlib.sha256(secret.encode()).hexdigest(), "HASH").replace(secret, "GENERATED")
    return text


def _readme() -> Iterator[tuple[Path, str]]:
    helm_docs = find_program("helm-docs")
    if helm_docs is None:
        return
    command = [helm_docs, "--chart-search-root", str(CHART), "--dry-run", "--sort-values-order", "file", "-l", "error"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    yield CHART / "README.md", re.sub(r"\n-{5,}\nAutogenerated.*", "", done.stdout, flags=re.DOTALL).strip() + "\n"


def _requirements() -> Iterator[tuple[Path, str]]:
    uv = shutil.which("uv") or str(ROOT / ".uv/bin/uv")
    if not Path(uv).exists():
        return
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for folder, wanted in _EXTRAS.items():
        options = [option for extra in wanted if extra in extras for option in ("--extra", extra)]
        yield ROOT / folder / "requirements.txt", _export(uv, *options)
    yield ROOT / "tools/requirements-image.txt", _export(uv, "--only-group", "image")


def _export(uv: str, *choice: str) -> str:
    command = [
        uv,
        "export",
        "--quiet",
        "--frozen",
        "--no-dev",
        "--no-emit-project",
        "--no-annotate",
        "--no-header",
        *choice,
    ]
    text = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout  # noqa: S603
    return f"# Generated from uv.lock by `make generate`: {' '.join(choice)}\n{text}"


if __name__ == "__main__":
    sys.exit(main())
