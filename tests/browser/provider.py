"""A small OpenID provider on loopback: discovery, authorize, token, keys. No shortcuts: real HTTP,
codes that are good once, ID tokens signed with RS256."""

import base64
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT_ID, CLIENT_SECRET = "hitcore", "the app's secret"


class Provider(ThreadingHTTPServer):
    """Signs in whoever `user` says, as if they had typed their password."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.issuer = f"http://localhost:{self.server_port}"
        self.key = RSAKey.generate_key(2048, parameters={"kid": "one", "use": "sig"})
        self.stranger_key = RSAKey.generate_key(2048, parameters={"kid": "one", "use": "sig"})
        self.user: dict[str, Any] = {}
        self.forged = False
        """Whether ID tokens are signed with a key that is not published."""
        self.codes: dict[str, tuple[dict[str, Any], str]] = {}

    def code_for(self, nonce: str) -> str:
        code = secrets.token_urlsafe(16)
        self.codes[code] = (dict(self.user), nonce)
        return code

    def id_token(self, code: str) -> str:
        user, nonce = self.codes.pop(code)
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 600}
        key = self.stranger_key if self.forged else self.key
        return jwt.encode({"alg": "RS256", "kid": "one"}, {**claims, "nonce": nonce, **user}, key)


class Handler(BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(address.query).items()}
        issuer = self.server.issuer
        match address.path:
            case "/.well-known/openid-configuration":
                self._json(
                    {
                        "issuer": issuer,
                        "authorization_endpoint": f"{issuer}/authorize",
                        "token_endpoint": f"{issuer}/token",
                        "jwks_uri": f"{issuer}/keys",
                        "response_types_supported": ["code"],
                        "subject_types_supported": ["public"],
                        "id_token_signing_alg_values_supported": ["RS256"],
                    }
                )
            case "/keys":
                self._json({"keys": [self.server.key.as_dict(private=False)]})
            case "/authorize" if query.get("client_id") == CLIENT_ID:
                code = self.server.code_for(query.get("nonce", ""))
                back = urlencode({"code": code, "state": query["state"]})
                self.send_response(302)
                self.send_header("Location", f"{query['redirect_uri']}?{back}")
                self.end_headers()
            case _:
                self.send_error(404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = {key: values[0] for key, values in parse_qs(body).items()}
        scheme, _, given = self.headers.get("Authorization", "").partition(" ")
        known = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        allowed = scheme == "Basic" and _plain(given) == _plain(known)
        if self.path != "/token" or not allowed or form.get("code") not in self.server.codes:
            self.send_error(400)
            return
        token = self.server.id_token(form["code"])
        self._json({"access_token": "none", "token_type": "Bearer", "id_token": token})

    def _json(self, document: dict[str, Any]) -> None:
        content = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _plain(credentials: str) -> str:
    from urllib.parse import unquote_plus

    return unquote_plus(base64.b64decode(credentials).decode())


@contextmanager
def running() -> Iterator[Provider]:
    """A provider that answers while the block runs."""
    provider = Provider()
    thread = threading.Thread(target=provider.serve_forever, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        provider.shutdown()
        provider.server_close()
        thread.join(10)
