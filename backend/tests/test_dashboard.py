"""What is exported, what the dashboard shows of it, and what the docs say of it: the same names."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from backend import metrics
from backend.settings import Settings

ROOT = Path(__file__).parent.parent.parent
SUFFIXES = {
    "counter": ["_total"],
    "gauge": [""],
    "histogram": ["_bucket", "_count", "_sum"],
}


@pytest.fixture
def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "ops" / "grafana-dashboard.json").read_text())
    return found


@pytest.fixture
def exported(make_settings: Callable[..., Settings]) -> dict[str, list[str]]:
    """The samples of each metric of an answer, by the metric's name."""
    content, _ = metrics.exposition(make_settings(), [])
    return {
        family.name: [family.name + suffix for suffix in SUFFIXES[family.type]]
        for family in text_string_to_metric_families(content.decode())
    }


def queries(dashboard: dict[str, Any]) -> list[str]:
    """Every expression of the dashboard, those of its variables too."""
    return [
        *(target["expr"] for panel in panels(dashboard) for target in panel["targets"]),
        *(variable.get("definition", "") for variable in dashboard["templating"]["list"]),
    ]


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def test_the_dashboard_asks_for_what_is_exported_and_shows_all_of_it(
    dashboard: dict[str, Any], exported: dict[str, list[str]]
) -> None:
    asked = set(re.findall(r"burble_\w+", " ".join(queries(dashboard))))
    assert asked <= {sample for samples in exported.values() for sample in samples}
    shown = {name for name, samples in exported.items() if asked & set(samples)}
    assert shown == set(exported)


def test_the_docs_name_every_metric_and_no_other(exported: dict[str, list[str]]) -> None:
    texts = "".join(path.read_text() for path in (ROOT / "docs").glob("*.md"))
    told = set(re.findall(r"`(burble_\w+)`", texts))
    named = {samples[0] if len(samples) == 1 else name for name, samples in exported.items()}
    assert told == named


def test_names_follow_the_conventions(exported: dict[str, list[str]]) -> None:
    for name, samples in exported.items():
        assert re.fullmatch(r"burble(_[a-z]+)+", name)
        assert ("_seconds" in name) == (len(samples) == 3)  # what takes time is a histogram


def test_the_dashboard_can_be_imported_anywhere(dashboard: dict[str, Any]) -> None:
    assert dashboard["schemaVersion"] >= 39
    assert dashboard.get("id") is None
    source = {"type": "prometheus", "uid": "${datasource}"}
    assert (
        dashboard["templating"]["list"][0] | {"type": "datasource", "query": "prometheus"}
        == (dashboard["templating"]["list"][0])
    )
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    for panel in panels(dashboard):
        assert panel["datasource"] == source
        assert all(target["datasource"] == source for target in panel["targets"])
        assert panel["title"]
        assert panel["description"]


def test_no_panel_covers_another(dashboard: dict[str, Any]) -> None:
    def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
        place = panel["gridPos"]
        columns = range(place["x"], place["x"] + place["w"])
        rows = range(place["y"], place["y"] + place["h"])
        return set(itertools.product(columns, rows))

    seen: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        assert not cells(panel) & seen, panel["title"]
        assert max(column for column, _ in cells(panel)) < 24
        seen |= cells(panel)
