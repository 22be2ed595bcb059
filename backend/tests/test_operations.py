"""What whoever runs Burble is told, in `docs/` and `ops/`, against the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from backend.errors import BurbleError, _tree
from backend.security import MAX_BODY_BYTES
from backend.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "operations.md").read_text()
NGINX = (ROOT / "ops" / "nginx.conf").read_text()
CADDY = (ROOT / "ops" / "Caddyfile").read_text()
GUNICORN = (ROOT / "gunicorn_conf.py").read_text()

TOLD = [
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("ops/*")),
    ROOT / "docker-compose.yml",
    ROOT / "Dockerfile",
    ROOT / "README.md",
]


def default(name: str) -> float:
    return float(Settings.model_fields[name].default)


def seconds(configuration: str, directive: str) -> float:
    """Return a time of a proxy's; it has to be said once."""
    (value,) = re.findall(rf"^\s*{directive} (\d+)s;?$", configuration, re.MULTILINE)
    return float(value)


@pytest.mark.parametrize("path", TOLD, ids=lambda path: path.name)
def test_every_variable_that_is_told_of_is_a_setting(path: Path) -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    told = set(re.findall(rf"\b{PREFIX}[A-Z_]*[A-Z]\b(?!_)", path.read_text()))
    assert told <= known


def test_the_guide_has_every_error_with_its_status() -> None:
    rows = re.findall(r"^\| `(\w+)`( †)? \| (\d+) \| .+ \| .+ \|$", GUIDE, re.MULTILINE)
    told = [(code, int(status)) for code, _, status in rows]
    assert len(told) == len(set(told))
    assert set(told) == {
        (kind.code, kind.status)
        for kind in _tree(BurbleError)
        if kind.__module__ == BurbleError.__module__  # other tests have classes of their own
    }


def test_the_guide_watches_metrics_that_there_are() -> None:
    there_are = set(re.findall(r"`(burble_\w+)`", (ROOT / "docs" / "observation.md").read_text()))
    watched = {name.removesuffix("_bucket") for name in re.findall(r"\bburble_\w+", GUIDE)}
    assert len(watched) > 5
    assert watched <= there_are


def test_the_proxies_nest_with_burble() -> None:
    (idle,) = re.findall(r"^keepalive = (\d+)$", GUNICORN, re.MULTILINE)
    assert seconds(NGINX, "keepalive_timeout") < int(idle)
    assert "keepalive off" in CADDY
    for silent in (seconds(NGINX, "proxy_read_timeout"), seconds(CADDY, "response_header_timeout")):
        assert silent > default("max_generation_seconds")
        assert silent > default("dirty_timeout")
    assert seconds(NGINX, "client_body_timeout") >= default("write_timeout")
    (size,) = re.findall(r"client_max_body_size (\d+)m;", NGINX)
    assert int(size) * 1024 * 1024 > MAX_BODY_BYTES
    assert int(re.findall(r"max_size (\d+)MB", CADDY)[0]) * 1000 * 1000 > MAX_BODY_BYTES


def test_the_page_waits_for_longer_than_a_stream_is_silent() -> None:
    script = (ROOT / "frontend" / "js" / "sse.js").read_text()
    (silence,) = re.findall(r"silence: ([\d_]+)", script)
    (longest,) = [
        part.le for part in Settings.model_fields["keep_alive"].metadata if hasattr(part, "le")
    ]
    assert longest < int(silence.replace("_", "")) / 1000
