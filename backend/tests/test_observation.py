from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from backend import metrics
from backend.app import create_api, create_app
from backend.errors import QueueFull
from backend.observation import UNKNOWN, Routes
from backend.settings import Settings

pytestmark = pytest.mark.anyio

MakeSettings = Callable[..., Settings]


class NoEngines:
    """An engine client that has found nobody, and whose every question is refused."""

    def states(self) -> list[Any]:
        return []

    async def start(self, request: Any) -> Any:
        raise QueueFull(retry_after=5)


class Client:
    """An application and a client of it, which remembers what was counted before."""

    def __init__(self, settings: Settings) -> None:
        self.app: Any = create_app(settings)
        inner: Any = self.app
        while not hasattr(inner, "state"):
            inner = getattr(inner, "_app", None) or inner.app
        inner.state.engines = NoEngines()
        self._before = self._counts()

    async def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, **options)

    def counted(self, name: str) -> dict[tuple[str, ...], float]:
        """What was counted since, by the values of the labels in the order of their names."""
        return {
            labels: count - self._before.get((sample, labels), 0)
            for (sample, labels), count in self._counts().items()
            if sample == name and count != self._before.get((sample, labels), 0)
        }

    @staticmethod
    def _counts() -> dict[tuple[str, tuple[str, ...]], float]:
        return {
            (
                sample.name,
                tuple(sample.labels[name] for name in sorted(sample.labels)),
            ): sample.value
            for family in metrics.REGISTRY.collect()
            for sample in family.samples
        }


@pytest.fixture
def client(make_settings: MakeSettings) -> Client:
    return Client(make_settings())


async def test_a_request_is_counted_by_its_route_and_not_by_what_a_client_writes(
    client: Client,
) -> None:
    for number in range(3):
        await client.ask("GET", f"/chat/{number:040x}")
        await client.ask("GET", f"/v1/models/made/up/{number}")
        await client.ask("GET", f"/js/{number}.js")
        await client.ask("GET", f"/{number}/no/such/page")
        await client.ask(f"MADE{number}", f"/{number}")
    await client.ask("PUT", "/chat")
    await client.ask("GET", "/health")
    assert client.counted("burble_http_requests_total") == {
        ("GET", "/chat/{generation_id}", "500"): 3,  # the engine client is none
        ("GET", "/v1/models/{model_id}", "404"): 3,
        ("GET", "/js/{path}", "404"): 3,
        ("GET", UNKNOWN, "404"): 3,
        (UNKNOWN, UNKNOWN, "404"): 3,
        ("PUT", "/chat", "405"): 1,
        ("GET", "/health", "200"): 1,
    }
    assert client.counted("burble_http_request_duration_seconds_count")["GET", "/health"] == 1


async def test_a_refusal_is_counted_by_its_code(client: Client) -> None:
    await client.ask("POST", "/chat", json={"prompt": "hello"})
    await client.ask("POST", "/chat", content=b"{", headers={"Content-Type": "application/json"})
    await client.ask("POST", "/v1/chat/completions", json={"model": "made-up", "messages": []})
    assert client.counted("burble_refusals_total") == {
        ("queue_full",): 1,
        ("malformed_body",): 1,
        ("invalid_request",): 1,
    }


async def test_what_the_door_refuses_is_counted_by_the_route_that_it_wanted(
    make_settings: MakeSettings,
) -> None:
    client = Client(make_settings(api_keys=f"anna:{'0' * 64}"))
    response = await client.ask("POST", "/chat", json={"prompt": "hello"})
    assert response.status_code == 401
    assert response.headers["x-request-id"]
    assert client.counted("burble_http_requests_total") == {("POST", "/chat", "401"): 1}
    assert client.counted("burble_refusals_total") == {("unauthorized",): 1}


async def test_answers_of_the_api_carry_an_id_of_their_own_and_files_none(client: Client) -> None:
    headers = {"X-Request-Id": "made-up"}
    ids = [
        (await client.ask("GET", "/models", headers=headers)).headers["x-request-id"] for _ in "ab"
    ]
    assert len({*ids, "made-up"}) == 3
    for path in ("/", "/js/main.js", "/favicon.svg", "/docs", "/openapi.json", "/files.json"):
        assert "x-request-id" not in (await client.ask("GET", path)).headers
    assert "x-request-id" in (await client.ask("GET", "/nowhere")).headers


async def test_every_route_has_a_label_of_its_own(make_settings: MakeSettings) -> None:
    routes = Routes(create_api(make_settings()).routes)
    for path in (
        "/chat",
        "/chat/sync",
        "/metrics",
        "/v1/chat/completions",
        "/health/ready",
        "/docs",
    ):
        assert routes.find(path).template == path
    assert [routes.find(path).probe for path in ("/chat", "/metrics", "/health")] == [
        False,
        True,
        True,
    ]


async def test_json_logs_have_a_line_for_each_request_and_text_has_none(
    make_settings: MakeSettings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await Client(make_settings()).ask("GET", "/models?last_event_id=secret")
    assert not [record for record in caplog.records if record.name.endswith(".requests")]
    response = await Client(make_settings(log_format="json")).ask("GET", "/models?token=secret")
    (record,) = [record for record in caplog.records if record.name.endswith(".requests")]
    told = vars(record)
    assert (told["method"], told["route"], told["status"]) == (
        "GET",
        "/models",
        response.status_code,
    )
    assert told["duration_s"] >= 0
    assert "secret" not in str(told)


async def test_probes_are_logged_at_the_level_debug(
    make_settings: MakeSettings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    client = Client(make_settings(log_format="json"))
    await client.ask("GET", "/health")
    assert not [record for record in caplog.records if record.name.endswith(".requests")]


async def test_metrics_are_in_the_format_that_prometheus_reads(client: Client) -> None:
    response = await client.ask("GET", "/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in text_string_to_metric_families(response.text)}
    assert families["burble_generations_running"].type == "gauge"
    assert families["burble_http_requests"].type == "counter"
    assert families["burble_time_to_first_token_seconds"].type == "histogram"
    assert all(family.documentation for family in families.values())
    openmetrics = await client.ask(
        "GET", "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}
    )
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    assert openmetrics.text.endswith("# EOF\n")


@pytest.mark.parametrize("version", ["abc", "1.0.0-rc1", '"1.0.0"', "1e5", "9" * 5000])
async def test_a_format_that_nobody_knows_is_answered_with_the_usual_one(
    client: Client, version: str
) -> None:
    accept = f"application/openmetrics-text; version={version}"
    response = await client.ask("GET", "/metrics", headers={"Accept": accept})
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
