"""An S3 server on loopback that can vanish and return with what it held."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import Request, urlopen

BUCKET = "bucket"


class S3:
    """The server, in a thread of this process; its buckets outlive its stops."""

    def __init__(self) -> None:
        self._server = None
        self._port = 0

    @classmethod
    @contextmanager
    def serving(cls) -> Iterator["S3"]:
        """A server for a while."""
        from s3fs import S3FileSystem

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        # A client is kept by what it was told, and the address of an earlier server was not told.
        S3FileSystem.clear_instance_cache()
        server = cls()
        server.start()
        try:
            yield server
        finally:
            server.stop()

    def start(self) -> None:
        """Answer, at the same address as before."""
        from moto.server import ThreadedMotoServer

        self._server = ThreadedMotoServer("127.0.0.1", self._port, verbose=False)
        self._server.start()
        self._port = self._server.get_host_and_port()[1]

    def stop(self) -> None:
        """Answer nobody, and keep what is held."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a client is told, as on any machine of a cluster."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "someone",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "1",
        }

    def empty(self) -> None:
        """One bucket with nothing in it."""
        self._post("reset")
        urlopen(Request(f"{self.url}/{BUCKET}", method="PUT")).close()

    def check_credentials(self, check: bool) -> None:
        """Refuse everybody from now on (nobody is known here), or nobody."""
        self._post("reset-auth", b"0" if check else b"inf")

    def _post(self, what: str, data: bytes = b"") -> None:
        head = {"Content-Type": "text/plain"}
        urlopen(Request(f"{self.url}/moto-api/{what}", data, head, method="POST")).close()
