"""An S3 server of this machine, moto's, that a test starts: a process of its own, so that it can be killed too."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import obstore
from obstore.store import S3Store

BUCKET = "animals"


@dataclass(frozen=True)
class Server:
    """environment: what a client of it needs. client: of its one bucket."""

    process: subprocess.Popen[bytes]
    environment: dict[str, str]
    client: S3Store

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """It takes requests and does not answer."""
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.process.pid, signal.SIGCONT)

    def objects(self, prefix: str) -> list[str]:
        """Names of what lies under a prefix."""
        return [entry["path"] for page in obstore.list(self.client, prefix) for entry in page]


@contextlib.contextmanager
def serve() -> Iterator[Server]:
    """The server, until the block ends, with an empty bucket."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("moto's server does not start")
            time.sleep(0.1)
        environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "someone",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }
        config = {name.lower(): value for name, value in environment.items() if name != "AWS_ALLOW_HTTP"}
        client = S3Store(BUCKET, config=config, client_options={"allow_http": True})  # type: ignore[arg-type]
        _make_bucket(f"http://127.0.0.1:{port}/{BUCKET}")
        yield Server(process, environment, client)
    finally:
        process.kill()
        process.wait()


def _make_bucket(url: str) -> None:
    import urllib.request

    with urllib.request.urlopen(urllib.request.Request(url, method="PUT")):
        pass
