"""A visitor without a browser: Streamlit's own messages over its own websocket.

What a browser does, as far as the server can tell: it fetches the frame and its cookies, opens the
connection, asks for a page, uploads files, and asks again for the parts of a page that look again
by themselves. Costs a thousandth of a browser, so that fifty on one machine measure the server.
"""

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect

from hitcore.weights import cache_folder
from tests.browser.conftest import ROOT, app_command, free_port, wait_until_served

PATIENCE_S = 300.0


@contextmanager
def serving(
    folder: Path, port: int | None = None, **environment: str
) -> Iterator[tuple[str, psutil.Process]]:
    """The app as `make app` serves it, with uploads in `folder`; its address and its process."""
    port = port or free_port()
    cache, log = folder / "cache", folder / "server.log"
    cache.mkdir(exist_ok=True)
    _link_weights(cache)
    told = {"HITCORE_CACHE": str(cache), "HITCORE_WORKSPACES": str(folder / "workspaces")}
    with log.open("ab") as output:
        server = subprocess.Popen(
            app_command(port), cwd=ROOT, stdout=output, stderr=output,
            env={**os.environ, **told, **environment},
        )  # fmt: skip
    try:
        wait_until_served(port, server, log)
        yield f"http://127.0.0.1:{port}", psutil.Process(server.pid)
    finally:
        with suppress(ProcessLookupError):
            server.terminate()
        server.wait(30)


def megabytes(server: psutil.Process) -> float:
    """Memory of the server and its children, each shared page counted once."""
    total = 0
    for process in (server, *server.children(recursive=True)):
        try:
            total += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total / 1e6


def _link_weights(cache: Path) -> None:
    """Let a cache of its own have the weights that are installed here."""
    (cache / "weights").mkdir(exist_ok=True)
    for file in cache_folder().glob("*.safetensors"):
        with suppress(FileExistsError):
            (cache / "weights" / file.name).symlink_to(file)


class Visit:
    """One open window of one visitor."""

    def __init__(self, address: str, http: httpx.AsyncClient, socket: ClientConnection) -> None:
        self.address = address
        self.http = http
        self.socket = socket
        self.session_id = ""
        self.shown: dict[tuple[int, ...], Any] = {}
        """What the page shows, by its place."""
        self.page, self.query = "", ""
        self._script = ""
        self._again: dict[str, tuple[float, float]] = {}
        self._states: list[Any] = []

    # --- asking ----------------------------------------------------------------------------------

    async def open(self, page: str = "", query: str = "") -> float:
        """Go to a page; the seconds until all of it was there."""
        self.page, self.query, self._states, self._script = page, query, [], ""
        started = time.monotonic()
        await self._rerun()
        await self._until_finished()
        return time.monotonic() - started

    async def upload(self, files: dict[str, bytes]) -> None:
        """Bring songs on Analyse; they are kept once this returns."""
        await self.send(files)
        await self._until_finished()
        await self._until_finished()  # the page runs again once the songs are in the library

    async def send(self, files: dict[str, bytes]) -> None:
        """Upload files and tell the page of them, without waiting for what it does."""
        uploader = next(e.file_uploader for e in self.elements("file_uploader"))
        asked = BackMsg()
        asked.file_urls_request.request_id = "1"
        asked.file_urls_request.session_id = self.session_id
        asked.file_urls_request.file_names.extend(files)
        await self.socket.send(asked.SerializeToString())
        while (message := await self.receive()).WhichOneof("type") != "file_urls_response":
            pass
        state = self._state(uploader.id).file_uploader_state_value
        for (name, content), urls in zip(
            files.items(), message.file_urls_response.file_urls, strict=True
        ):
            await self._put(urls.upload_url, name, content)
            info = state.uploaded_file_info.add()
            info.name, info.size, info.file_id = name, len(content), urls.file_id
            info.file_urls.CopyFrom(urls)
        await self._rerun()

    async def _put(self, url: str, name: str, content: bytes) -> None:
        token = self.http.cookies["_streamlit_xsrf"]
        done = await self.http.put(
            url, files={"file": (name, content)}, headers={"X-Xsrftoken": token}
        )
        assert done.status_code == 204, (done.status_code, done.text)

    def _state(self, widget: str) -> Any:
        asked = BackMsg()
        state = asked.rerun_script.widget_states.widgets.add()
        state.id = widget
        self._states.append(state)
        return state

    async def _rerun(self, fragment: str = "") -> None:
        asked = BackMsg()
        run = asked.rerun_script
        run.query_string, run.page_name, run.page_script_hash = self.query, self.page, self._script
        run.widget_states.widgets.extend(self._states)
        run.context_info.timezone, run.context_info.url = "UTC", f"{self.address}/{self.page}"
        if fragment:
            run.fragment_id, run.is_auto_rerun = fragment, True
        await self.socket.send(asked.SerializeToString())

    # --- hearing ---------------------------------------------------------------------------------

    async def receive(self) -> ForwardMsg:
        """The next message, noted; parts of the page that are due are asked for meanwhile."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            due = min((when for _, when in self._again.values()), default=deadline)
            wait = max(0.0, min(due, deadline) - time.monotonic())
            try:
                data = await asyncio.wait_for(self.socket.recv(), wait)
            except TimeoutError:
                if time.monotonic() >= deadline:
                    raise
                await self._ask_again()
                continue
            message = ForwardMsg()
            message.ParseFromString(data)
            self._note(message)
            return message

    async def _ask_again(self) -> None:
        now = time.monotonic()
        for fragment, (interval, when) in list(self._again.items()):
            if when <= now:
                self._again[fragment] = (interval, now + interval)
                await self._rerun(fragment)

    def _note(self, message: ForwardMsg) -> None:
        kind = message.WhichOneof("type")
        if kind == "new_session":
            started = message.new_session
            self.session_id = started.initialize.session_id or self.session_id
            if not message.metadata.run.fragment_ids:
                self.shown.clear()
                self._again.clear()
                self._script = started.page_script_hash
        elif kind == "delta":
            place = tuple(message.metadata.delta_path)
            if message.delta.WhichOneof("type") == "new_element":
                self.shown[place] = message.delta.new_element
            elif message.delta.WhichOneof("type") == "add_block":
                self.shown = {p: e for p, e in self.shown.items() if p[: len(place)] != place}
        elif kind == "auto_rerun":
            every = message.auto_rerun.interval
            self._again[message.auto_rerun.fragment_id] = (every, time.monotonic() + every)
        elif kind == "stop_auto_rerun":
            for fragment in message.stop_auto_rerun.fragment_ids:
                self._again.pop(fragment, None)
        elif kind == "page_info_changed":
            self.query = message.page_info_changed.query_string

    async def _until_finished(self) -> None:
        while (await self.receive()).WhichOneof("type") != "script_finished":
            pass

    async def until(self, text: str) -> None:
        """Wait until the page shows these words."""
        while text not in self.text():
            await self.receive()

    # --- what is shown ---------------------------------------------------------------------------

    def elements(self, kind: str) -> list[Any]:
        """Everything of one kind on the page."""
        return [element for element in self.shown.values() if element.WhichOneof("type") == kind]

    def text(self) -> str:
        """All words on the page that are text."""
        found = []
        for element in self.shown.values():
            kind = element.WhichOneof("type")
            part = getattr(element, kind) if kind else None
            found += [getattr(part, name, "") for name in ("body", "text", "label")]
        return "\n".join(word for word in found if isinstance(word, str)).replace("\\", "")

    async def download(self, label: str) -> bytes:
        """What the button of this name gives, once it is there.

        A page that is just being made anew takes the files of the one before away; the messages
        that bring the new button are then on their way.
        """
        while True:
            if url := self._urls().get(label):
                done = await self.http.get(url)
                if done.status_code != 404:
                    break
            await self.receive()
        assert done.status_code == 200, done.text
        return done.content

    def _urls(self) -> dict[str, str]:
        buttons = [element.download_button for element in self.elements("download_button")]
        return {button.label.replace("\\", ""): button.url for button in buttons}


@asynccontextmanager
async def visiting(
    address: str, http: httpx.AsyncClient | None = None, session_id: str = ""
) -> AsyncIterator[Visit]:
    """A window of a new visitor; of a known one with their `http`, of a cut one with its id."""
    client = http or httpx.AsyncClient(base_url=address, timeout=PATIENCE_S)
    try:
        if http is None:
            await client.get("/")
            await client.get("/_stcore/health")
        cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        protocols = ["streamlit", client.cookies.get("_streamlit_xsrf", "-")]
        protocols += [session_id] if session_id else []
        async with connect(
            f"{address.replace('http', 'ws')}/_stcore/stream",
            additional_headers={"Cookie": cookies},
            subprotocols=protocols,  # type: ignore[arg-type]
            max_size=None,
            ping_interval=None,
        ) as socket:
            yield Visit(address, client, socket)
    finally:
        if http is None:
            await client.aclose()
