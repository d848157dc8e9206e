"""Behind nginx, with the very configuration of `docs/behind-a-proxy.md`: HTTPS, a base path,
websockets, limits, cookies, sign-in; and what a proxy says is believed of named ones alone."""

import base64
import contextlib
import datetime
import hashlib
import http.client
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hitcore import weights
from tests.browser import provider as oidc
from tests.browser.conftest import ANN, ROOT, free_port, secrets_for, served, sign_in

pytestmark = pytest.mark.browser

DOC = (ROOT / "docs" / "behind-a-proxy.md").read_text()
HOST, BASE = "hits.example.org", "/hits"
ADDRESS = f"https://{HOST}{BASE}"
LIMIT_MB = 3
"""What the app takes in these tests; the page of documentation has nginx take more."""


def block(title: str) -> str:
    """The file of this name, as the page of documentation has it."""
    found = re.search(rf'^```\w+ title="{re.escape(title)}"\n(.*?)^```$', DOC, re.M | re.S)
    assert found is not None, f"the page has no {title}"
    return found[1]


def config() -> dict[str, Any]:
    """What the page sets in the section [server] of the app."""
    found: dict[str, Any] = tomllib.loads(block(".streamlit/config.toml"))["server"]
    return found


# --- nginx, the app and a browser that trusts the certificate ------------------------------------


@dataclass(frozen=True)
class Front:
    """Ports and files of a proxy that is about to run."""

    folder: Path
    tls: int
    plain: int
    app: int

    @property
    def key_hash(self) -> str:
        """The hash of the certificate's key, by which a browser is told to trust it."""
        certificate = x509.load_pem_x509_certificate((self.folder / "cert.pem").read_bytes())
        der = certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return base64.b64encode(hashlib.sha256(der).digest()).decode()

    def write(self) -> Path:
        """The certificate and the whole configuration; gives the file of the latter."""
        _write_certificate(self.folder)
        text = block("/etc/nginx/conf.d/hitcore.conf")
        for old, new in {
            "listen 443 ssl": f"listen 127.0.0.1:{self.tls} ssl",
            "listen 80;": f"listen 127.0.0.1:{self.plain};",
            "127.0.0.1:8501": f"127.0.0.1:{self.app}",
            f"/etc/ssl/certs/{HOST}.pem": f"{self.folder}/cert.pem",
            f"/etc/ssl/private/{HOST}.key": f"{self.folder}/key.pem",
            "/var/log/nginx/": f"{self.folder}/",
        }.items():
            assert text.count(old) == 1, f"the page has {old} {text.count(old)} times"
            text = text.replace(old, new)
        user = "user root;" if os.geteuid() == 0 else ""
        places = "".join(
            f"{kind}_temp_path {self.folder}/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        file = self.folder / "nginx.conf"
        file.write_text(
            f"{user} daemon off; pid {self.folder}/pid; error_log {self.folder}/error.log;\n"
            f"events {{}}\nhttp {{ {places}\n{text}\n}}\n"
        )
        return file


def _write_certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    )


@pytest.fixture(scope="module")
def front(provider: oidc.Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """nginx before an app that asks for sign-in."""
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if nginx is None:
        pytest.skip("no nginx here: install Debian's package nginx")
    if not weights.is_installed("musicnn-mtt"):
        pytest.skip("the tagger's weights are not installed: make weights")
    folder = tmp_path_factory.mktemp("front")
    front = Front(folder, tls=free_port(), plain=free_port(), app=free_port())
    file, secrets = front.write(), folder / "secrets.toml"
    secrets.write_text(secrets_for(ADDRESS, provider))
    settings = config()
    options = ["--secrets.files", str(secrets), "--server.maxUploadSize", str(LIMIT_MB)]
    options += ["--server.baseUrlPath", settings["baseUrlPath"]]
    for name in settings["allowedHosts"]:
        options += ["--server.allowedHosts", name]
    workspaces = str(folder / "workspaces")
    with served(folder, front.app, *options, base=BASE, HITCORE_WORKSPACES=workspaces):
        process = subprocess.Popen([nginx, "-c", str(file)], stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        try:
            _wait(front.tls, process)
            yield front
        finally:
            process.terminate()
            process.wait(20)
            process.stderr.close()


def _wait(port: int, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[1]
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    pytest.fail("nginx does not listen")


@pytest.fixture(scope="module")
def flags(front: Front) -> list[str]:
    """The browser finds the host at nginx's port and trusts this one certificate."""
    return [
        f"--host-resolver-rules=MAP {HOST}:443 127.0.0.1:{front.tls}",
        f"--ignore-certificate-errors-spki-list={front.key_hash}",
    ]


@pytest.fixture
def visitor(browser: Any) -> Iterator[Any]:
    """A fresh visitor, whose console stays free of errors."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000}, base_url=ADDRESS)
    page, errors = context.new_page(), []
    page.set_default_timeout(60_000)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert not errors


@dataclass(frozen=True)
class Answer:
    """What a server answered."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name]


def ask(
    port: int, target: str, method: str = "GET", *, peer: str = "127.0.0.1",
    tls: Path | None = None, **headers: str,
) -> Answer:  # fmt: skip
    """One request, its target sent letter for letter, from an address of this machine."""
    connection: http.client.HTTPConnection
    connection = http.client.HTTPConnection("127.0.0.1", port, 60, source_address=(peer, 0))
    if tls is not None:
        trusted = ssl.create_default_context(cafile=str(tls))
        connection.connect()
        connection.sock = trusted.wrap_socket(connection.sock, server_hostname=HOST)
    with contextlib.closing(connection):
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        connection.request(method, target, headers={"Host": HOST, **named})
        response = connection.getresponse()
        return Answer(response.status, response.getheaders(), response.read())


# --- the page ------------------------------------------------------------------------------------


def test_the_page_leaves_it_to_the_app_to_say_what_is_too_large() -> None:
    """The proxy takes the app's limit and the megabyte that Streamlit allows for the form."""
    ours = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
    found = re.search(r"client_max_body_size (\d+)m;", block("/etc/nginx/conf.d/hitcore.conf"))
    assert found is not None
    assert int(found[1]) == ours["server"]["maxUploadSize"] + 1


def test_the_files_of_the_page_are_of_one_address() -> None:
    secrets = tomllib.loads(block(".streamlit/secrets.toml"))
    assert secrets["auth"]["redirect_uri"] == f"{ADDRESS}/oauth2callback"
    assert f"/{config()['baseUrlPath']}" == BASE
    assert HOST in config()["allowedHosts"]
    assert f"location {BASE} {{" in block("/etc/nginx/conf.d/hitcore.conf")


# --- a person ------------------------------------------------------------------------------------


def test_a_person_signs_in_uploads_a_song_and_hears_it(
    visitor: Any, front: Front, provider: oidc.Provider, song: Path, tmp_path: Path
) -> None:
    connections: list[str] = []
    sent: list[str] = []
    visitor.on("websocket", lambda opened: connections.append(opened.url))
    visitor.on("request", lambda asked: "upload_file" in asked.url and sent.append(asked.url))
    sign_in(visitor, provider, ANN, f"{BASE}/?song=a-secret-word")
    uploader = visitor.locator('input[type="file"]').first
    uploader.wait_for(state="attached")
    assert visitor.url.startswith(f"{ADDRESS}/")
    assert set(connections) == {f"wss://{HOST}{BASE}/_stcore/stream"}

    # Too large: one line of the app's, and the page goes on.
    large = tmp_path / "large.wav"
    large.write_bytes(bytes((LIMIT_MB + 1) * 1024 * 1024))
    uploader.set_input_files(str(large))
    visitor.get_by_text(f"File must be {LIMIT_MB}.0MB or smaller.").wait_for()
    visitor.locator('input[type="file"]').first.set_input_files(str(song))
    visitor.get_by_text("Where the highlight is, and why").wait_for(timeout=120_000)

    audio = visitor.locator("audio").first
    assert audio.get_attribute("src").startswith((f"{BASE}/media/", f"{ADDRESS}/media/"))
    heard = audio.evaluate(
        """async audio => {
            audio.muted = true;
            await audio.play();
            await new Promise(done => audio.addEventListener("timeupdate",
                () => audio.currentTime > 0.2 && done()));
            return [audio.currentTime, audio.duration];
        }"""
    )
    assert 0 < heard[0] < heard[1]

    cookies = {cookie["name"]: cookie for cookie in visitor.context.cookies(ADDRESS)}
    assert {"_streamlit_user", "_streamlit_xsrf", "hitcore_visitor"} <= set(cookies)
    for name, cookie in cookies.items():
        assert cookie["secure"], name
        assert cookie["sameSite"] == "Lax", name
        assert cookie["httpOnly"] or name == "_streamlit_xsrf"
    assert {cookies[name]["path"] for name in ("_streamlit_user", "hitcore_visitor")} == {BASE}

    # The proxy's log has the page and not what stood in its address; its disk has no song.
    log = (front.folder / "hitcore.log").read_text()
    assert f'"GET {BASE}/"' in log
    assert "song=" not in log
    assert "a-secret-word" not in log
    for kind in ("client_body", "proxy"):
        assert not [path for path in (front.folder / kind).rglob("*") if path.is_file()]

    # Past the page: the app's limit, then the proxy's.
    signed = "; ".join(f"{name}={cookie['value']}" for name, cookie in cookies.items())
    headers = {"X_Xsrftoken": cookies["_streamlit_xsrf"]["value"], "Cookie": signed}
    headers["Content_Type"] = "multipart/form-data; boundary=x"
    (address,) = {urlsplit(url).path for url in sent}
    for size, words in ((LIMIT_MB << 20) + 1, b"File too large"), (202 << 20, b"nginx"):
        length = {"Content_Length": str(size)}
        answer = ask(front.tls, address, "PUT", tls=front.folder / "cert.pem", **length, **headers)
        assert answer.status == 413
        assert words in answer.body


# --- strangers -----------------------------------------------------------------------------------


def test_nothing_is_to_be_had_through_the_proxy_without_sign_in(front: Front) -> None:
    tls = front.folder / "cert.pem"
    for path in ("/_stcore/metrics", "/media/a.wav", "/_stcore/upload_file/a/b", "/component/a/b"):
        for target in (f"{BASE}{path}", f"{BASE}/{path}", f"{BASE}/compare/..{path}",
                       f"{BASE}/static/%2e%2e{path}", f"{BASE}/%2e/{path}", f"{BASE}{path};x",
                       f"{BASE}{path.replace('/', '%2f')}", f"{BASE}{path.upper()}",
                       f"/x/..{BASE}{path}", f"{BASE}{path}?x=/_stcore/health"):  # fmt: skip
            answer = ask(front.tls, target, tls=tls)
            assert answer.status in (400, 401), target
            assert answer.body == b"Sign in first." or answer.status == 400
    assert ask(front.tls, f"{BASE}/_stcore/health", tls=tls).status == 200
    assert ask(front.tls, "/_stcore/health", tls=tls).status == 404
    opening = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Version": "13",
               "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ=="}  # fmt: skip
    stream = f"{BASE}/_stcore/stream"
    assert ask(front.tls, stream, tls=tls, Origin=f"https://{HOST}", **opening).status == 101
    assert ask(front.tls, stream, tls=tls, Origin="https://evil.example", **opening).status == 403


def test_plain_http_is_sent_to_https(front: Front) -> None:
    answer = ask(front.plain, f"{BASE}/compare?x=1")
    assert (answer.status, answer.header("location")) == (308, [f"{ADDRESS}/compare?x=1"])
    answer = ask(front.tls, BASE, tls=front.folder / "cert.pem")
    assert (answer.status, answer.header("location")) == (307, [f"{ADDRESS}/"])
    assert answer.header("strict-transport-security")


def test_what_a_proxy_says_is_believed_of_a_named_one_alone(front: Front) -> None:
    """nginx asks from 127.0.0.1, which is named where nothing else is; 127.0.0.9 is not."""
    says = {"X_Forwarded_Proto": "https", "X_Forwarded_For": "127.0.0.1"}
    page = f"{BASE}/compare"
    (named,) = ask(front.app, page, **says).header("set-cookie")
    (unnamed,) = ask(front.app, page, peer="127.0.0.9", **says).header("set-cookie")
    assert "; Secure" in named
    assert "Secure" not in unnamed
    location = ask(front.app, BASE, peer="127.0.0.9", **says).header("location")
    assert location == [f"http://{HOST}{BASE}/"]
    # A visitor's own word does not pass through nginx.
    claims = {"X_Forwarded_Proto": "http", "X_Forwarded_For": "127.0.0.1", "X_Forwarded_Host": "x"}
    answer = ask(front.tls, BASE, tls=front.folder / "cert.pem", **claims)
    assert answer.header("location") == [f"{ADDRESS}/"]
    assert "; Secure" in ask(
        front.tls, page, tls=front.folder / "cert.pem", **claims
    ).header("set-cookie")[0]  # fmt: skip
