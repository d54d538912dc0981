"""Runs inside the caller's pod: URL SECONDS THREADS MOST. Every request on a new connection, as strangers come."""

import collections
import http.client
import json
import sys
import threading
import time
import urllib.parse

url = urllib.parse.urlsplit(sys.argv[1])
start = time.monotonic()
end = start + float(sys.argv[2])
most = int(sys.argv[4]) // int(sys.argv[3])
statuses: collections.Counter[int] = collections.Counter()
errors: collections.Counter[str] = collections.Counter()
slowest = 0.0
lock = threading.Lock()


def call() -> None:
    global slowest
    for _ in range(most):
        begin = time.monotonic()
        if begin > end:
            return
        status, problem = 0, ""
        connection = http.client.HTTPConnection(url.hostname or "", url.port or 80, timeout=15)
        try:
            connection.request("GET", f"{url.path}?{url.query}", headers={"Connection": "close"})
            answer = connection.getresponse()
            answer.read()
            status = answer.status
        except (OSError, http.client.HTTPException) as error:
            problem = repr(error)
        finally:
            connection.close()
        with lock:
            slowest = max(slowest, time.monotonic() - begin)
            if problem:
                errors[problem] += 1
            else:
                statuses[status] += 1


threads = [threading.Thread(target=call) for _ in range(int(sys.argv[3]))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
answered = {"statuses": statuses, "errors": errors, "slowest": slowest}
total = sum(statuses.values()) + sum(errors.values())
sys.stdout.write(json.dumps({"requests": total, "seconds": time.monotonic() - start, **answered}))
