"""A client that keeps a cluster busy and counts the requests that fail. Needs no test runner: the benchmarks use it too."""

from __future__ import annotations

import base64
import http.client
import json
import os
import ssl
import threading
import time
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import yaml


def administrator(folder: Path) -> tuple[ssl.SSLContext, SplitResult]:
    """What an administrator's connection needs, from the cluster's kubeconfig, and its server; the key goes into the folder."""
    config = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    names = ("client-certificate-data", "client-key-data")
    for name, text in zip(names, (user[name] for name in names), strict=True):
        (folder / name).write_bytes(base64.b64decode(text))
        (folder / name).chmod(0o600)
    context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    context.load_cert_chain(*(str(folder / name) for name in names))
    return context, urlsplit(cluster["server"])


class Client(threading.Thread):
    """Writes a ConfigMap and reads it back, over one connection after the other, until it is told to end."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.context, self.server = administrator(folder)
        self.failed: list[str] = []
        self.done = 0
        self.ended = threading.Event()

    def ask(self, method: str, path: str, body: object = None) -> None:
        connection = http.client.HTTPSConnection(
            self.server.hostname or "", self.server.port, timeout=5, context=self.context
        )
        try:
            connection.request(
                method, path, json.dumps(body) if body else None, {"Content-Type": "application/apply-patch+yaml"}
            )
            answer = connection.getresponse()
            text = answer.read().decode()
            if answer.status >= 300:
                self.failed.append(f"{method}: {answer.status} {text[:200]}")
        except OSError as error:
            self.failed.append(f"{method}: {error}")
        finally:
            connection.close()
        self.done += 1

    def run(self) -> None:
        path = "/api/v1/namespaces/default/configmaps/busy"
        wish = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "busy"}}
        while not self.ended.is_set():
            self.ask("PATCH", path + "?fieldManager=test&force=true", {**wish, "data": {"n": str(self.done)}})
            self.ask("GET", path)
            time.sleep(0.02)
