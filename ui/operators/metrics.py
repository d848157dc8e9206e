"""`/metrics`: the state of the server as Prometheus reads it.

Whoever asks shows the token of `secrets.toml` as a bearer, or is signed in as an admin; without
sign-in whoever asks from this machine itself. To everybody else the address says nothing.
"""

from collections.abc import Iterator

import anyio.to_thread
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response

from ui.server import access
from ui.server.streamlit_private import signed_in_claims


class Figures:
    """Collects the state of the server anew whenever it is asked for."""

    def describe(self) -> list[Metric]:
        """Nothing: what has no description is not asked for its state when it is registered."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Each figure under its name."""
        from ui.operators import status  # what it needs takes seconds to import

        found = status.now()
        line, room = found.line, found.room
        yield _gauge("sessions", "Windows that are open.", found.n_sessions)
        yield _gauge("places", "Pieces of work that may be done at once.", line.n_places)
        yield _gauge("busy", "Pieces of work being done.", line.n_busy)
        yield _gauge("line_turns", "Who waits for a turn at the machine.", line.n_waiting)
        yield _gauge("line_songs", "Songs that wait for their analysis.", line.n_songs)
        yield _gauge("line_owners", "People whose songs wait or are at work.", line.n_owners)
        yield _gauge("experiments", "Experiments at work.", line.n_experiments)
        yield _gauge("processes", "The server and its children.", room.n_processes)
        yield _gauge("memory_bytes", "Memory of these.", room.memory_gb * 1e9)
        yield _gauge("memory_free_bytes", "Memory left.", room.memory_free_gb * 1e9)
        yield _gauge("disk_free_bytes", "Disk left for uploads.", room.disk_free_gb * 1e9)
        yield _gauge("songs", "Uploads kept.", room.n_songs)
        yield _gauge("songs_bytes", "Disk that these and their reports take.", room.songs_gb * 1e9)
        yield _gauge("sandbox", "Whether decoders are filtered.", found.walls.seccomp)
        yield _gauge("start_time_seconds", "When the server was started.", found.started)
        events = CounterMetricFamily("hitcore_events", "Events of the log.", labels=["event"])
        for name, count in found.events.items():
            events.add_metric([name], count)
        yield events
        yield InfoMetricFamily("hitcore_versions", "What is installed.", found.versions)


def _gauge(name: str, what: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"hitcore_{name}", what, value)


REGISTRY = CollectorRegistry()
REGISTRY.register(Figures())
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)


async def answer(request: Request) -> Response:
    """The figures, for those who may read them."""
    if not may_read(request):
        return PlainTextResponse("Not for you.", 401)
    encode, kind = choose_encoder(request.headers.get("accept", ""))
    return Response(await anyio.to_thread.run_sync(encode, REGISTRY), media_type=kind)


def may_read(request: HTTPConnection) -> bool:
    """Whether a request comes with the token, from an admin, or from this machine alone."""
    rules = access.policy()
    if not rules.required:
        address = request.client.host if request.client else ""
        return access.is_local(address, request.headers)
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return rules.is_token(token.strip())
    return rules.is_admin(signed_in_claims(request.cookies))
