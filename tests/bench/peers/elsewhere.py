"""Peers that do not fit into our environment: each gets one of its own below `var/`, made once and used again."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.programs import ROOT

KSERVE, MLSERVER = "KServe", "MLServer"

_PACKAGES = {
    KSERVE: ("kserve==0.21.0", "xgboost-cpu", "setuptools"),
    MLSERVER: ("mlserver==1.7.1", "mlserver-xgboost==1.7.1", "setuptools<81"),
}
_FOLDER = ROOT / "var" / "bench-peers"
_PATIENCE = 900


def python_of(peer: str) -> str | None:
    """Return the interpreter that can import the peer; None, and a line that says why, where it cannot be installed."""
    home = _FOLDER / peer.lower()
    python, done = home / "bin" / "python", home / "installed"
    if not done.is_file() or done.read_text() != "\n".join(_PACKAGES[peer]):
        problem = _install(peer, home, python)
        if problem:
            print(f"{peer} is left out, it cannot be installed: {problem}", flush=True)  # noqa: T201  # the answer
            return None
        done.write_text("\n".join(_PACKAGES[peer]))
    return str(python)


def _install(peer: str, home: Path, python: Path) -> str:
    """Make the environment; return what is wrong, empty when nothing is."""
    uv = shutil.which("uv") or str(ROOT / ".uv" / "bin" / "uv")
    commands = [
        [uv, "venv", "--clear", "--quiet", "--python", sys.executable, str(home)],
        [uv, "pip", "install", "--quiet", "--python", str(python), *_PACKAGES[peer]],
    ]
    try:
        for command in commands:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=_PATIENCE)
    except subprocess.CalledProcessError as error:
        said: str = error.stderr.strip()
        return said.splitlines()[-1] if said else f"{command[1]} failed"
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return ""
