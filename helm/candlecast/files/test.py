"""What `helm test` asks: ready, a forecast of fresh candles, a computed forecast, the screen, the metrics."""

import json
import os
import sys
import time
import urllib.error
import urllib.request

SERVICE = os.environ["SERVICE"]
END = time.monotonic() + float(os.environ["WAIT"])


def get(url: str, body: bytes | None = None) -> bytes:
    headers = {"Content-Type": "application/json"} if body else {}
    if "TOKEN" in os.environ:
        headers["Authorization"] = f"Bearer {os.environ['TOKEN']}"
    request = urllib.request.Request(url, data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=10) as response:
        return response.read()


def until(what: str, check) -> None:
    problem = ""
    while True:
        try:
            if answer := check():
                print(f"ok   {what}: {answer}", flush=True)
                return
        except (urllib.error.URLError, OSError, ValueError, KeyError) as error:
            problem = f" ({error})"
        if time.monotonic() > END:
            sys.exit(f"FAIL {what}{problem}")
        time.sleep(1)


def forecast() -> str:
    answered = [f for f in json.loads(get(f"{SERVICE}/v1/forecasts/latest"))["forecasts"] if f["status"] != "abstained"]
    return f"{answered[0]['series']} is {answered[0]['status']}, {len(answered)} in all" if answered else ""


def freshness() -> str:
    status = json.loads(get(f"{SERVICE}/v1/status"))
    return f"{status['fresh_series']} of {status['series']} series are fresh" if status["fresh_series"] else ""


def computed() -> str:
    series = json.loads(get(f"{SERVICE}/v1/series"))["series"][0]["series"]
    candles = json.loads(get(f"{SERVICE}/v1/candles?series={series}&last=600"))
    columns = {name: candles[name] for name in ("open_time", "open", "high", "low", "close", "volume")}
    body = json.dumps({"series": series, "interval": series.rsplit(":", 1)[1], "candles": columns}).encode()
    return f"{len(json.loads(get(f'{SERVICE}/v1/forecasts', body))['forecasts'])} of our own candles"


def metrics(address: str) -> str:
    lines = [line for line in get(f"{address}/metrics").decode().splitlines() if line.startswith("candlecast_")]
    return f"{len(lines)} of candlecast" if lines else ""


until("service is ready", lambda: get(f"{SERVICE}/readyz") is not None and "yes")
until("forecast", forecast)
until("freshness", freshness)
until("computed forecast", computed)
until("service metrics", lambda: metrics(SERVICE))
if "UI" in os.environ:
    until("screen", lambda: get(f"{os.environ['UI']}/healthz").decode())
if "EXPORTER" in os.environ:
    until("exporter metrics", lambda: metrics(os.environ["EXPORTER"]))
