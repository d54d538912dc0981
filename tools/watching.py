"""What `make run MONITORING=1` adds: exporter, Prometheus with our rules, and Alertmanager where it is installed."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Any

import yaml

from candlecast.errors import ConfigurationError
from candlecast.serving import require_free_port
from candlecast.settings import Settings

ROOT = Path(__file__).parent.parent

_HOST = "127.0.0.1"
_ALERTMANAGERS = ("prometheus-alertmanager", "alertmanager")  # Debian's name, and that of everybody else


def require_watchers(settings: Settings) -> None:
    """Raise ConfigurationError, with the way out, where Prometheus is not installed or a port is in use."""
    if shutil.which("prometheus") is None:
        raise ConfigurationError(
            "MONITORING=1 runs Prometheus, which is not installed here; apt-get install prometheus "
            "prometheus-alertmanager, or leave MONITORING out"
        )
    require_free_port(settings.exporter_host, settings.exporter_port, "CANDLECAST_EXPORTER_PORT")
    require_free_port(_HOST, settings.prometheus_port, "CANDLECAST_PROMETHEUS_PORT")
    if _alertmanager():
        require_free_port(_HOST, settings.alertmanager_port, "CANDLECAST_ALERTMANAGER_PORT")


def addresses(settings: Settings) -> dict[str, str]:
    """Return where to look, by name."""
    found = {"prometheus": f"http://{_HOST}:{settings.prometheus_port}/alerts"}
    if _alertmanager():
        found["alerts"] = f"http://{_HOST}:{settings.alertmanager_port}"
    return found


def commands(settings: Settings) -> dict[str, str]:
    """Return the shell command of each program by name, and write down what Prometheus has to know."""
    folder = (settings.data_dir / "monitoring").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "prometheus.yaml"
    file.write_text(yaml.safe_dump(_configuration(settings), sort_keys=False))
    found = {
        "exporter": ["python", "-m", "monitoring", "export"],
        "prometheus": [
            "prometheus",
            f"--config.file={file}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
            f"--web.listen-address={_HOST}:{settings.prometheus_port}",
            "--log.level=warn",
        ],
    }
    if alertmanager := _alertmanager():
        found["alertmanager"] = [
            alertmanager,
            f"--config.file={ROOT / 'monitoring/alertmanager/alertmanager.yaml'}",
            f"--storage.path={folder / 'alertmanager'}",
            f"--web.listen-address={_HOST}:{settings.alertmanager_port}",
            "--cluster.listen-address=",
            "--log.level=warn",
        ]
    return {name: f"exec {shlex.join(command)}" for name, command in found.items()}


def _configuration(settings: Settings) -> dict[str, Any]:
    targets = {"service": settings.service_port, "exporter": settings.exporter_port}
    return {
        "global": {"scrape_interval": "5s", "evaluation_interval": "5s"},
        "rule_files": [str(ROOT / "monitoring/prometheus/rules/*.yaml")],
        "alerting": {
            "alertmanagers": [{"static_configs": [{"targets": [f"{_HOST}:{settings.alertmanager_port}"]}]}]
            if _alertmanager()
            else []
        },
        "scrape_configs": [
            {
                "job_name": "candlecast",
                "static_configs": [
                    {
                        "targets": [f"{_HOST}:{port}"],
                        "labels": {"namespace": "local", "release": "candlecast", "service": name},
                    }
                    for name, port in targets.items()
                ],
            }
        ],
    }


def _alertmanager() -> str | None:
    return next(filter(None, map(shutil.which, _ALERTMANAGERS)), None)
