"""The page's files over HTTP: compressed, asked for again each time, and never old."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import re
import struct
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from starlette.datastructures import Headers

from backend import page
from backend.app import create_app
from backend.settings import Settings

pytestmark = pytest.mark.anyio

SCRIPT = "// how a long script begins\n" + "let again = 1;\n" * 200


@pytest.fixture
def client(tmp_path: Path) -> httpx.AsyncClient:
    """A client of the files in `tmp_path`, that says nothing about encodings by itself."""
    (tmp_path / "long.js").write_text(SCRIPT)
    return client_of(page.PageFiles(directory=tmp_path))


def client_of(app: object) -> httpx.AsyncClient:
    client = httpx.AsyncClient(
        transport=httpx.ASGITransport(app),  # type: ignore[arg-type]
        base_url="http://test",
    )
    del client.headers["accept-encoding"]
    return client


GZIP = {"Accept-Encoding": "gzip, deflate, br, zstd"}


async def test_a_file_is_compressed_for_who_takes_that(client: httpx.AsyncClient) -> None:
    response = await client.get("/long.js", headers=GZIP)
    assert response.headers["content-encoding"] == "gzip"
    assert int(response.headers["content-length"]) == response.num_bytes_downloaded
    assert response.num_bytes_downloaded < len(SCRIPT) / 10
    assert response.text == SCRIPT
    assert response.headers["content-type"] == "text/javascript"
    assert not {"accept-ranges", "last-modified"} & set(response.headers)


async def test_a_file_goes_out_as_it_is_to_everybody_else(client: httpx.AsyncClient) -> None:
    response = await client.get("/long.js")
    assert "content-encoding" not in response.headers
    assert response.content == SCRIPT.encode()


async def test_caches_between_keep_both_forms_apart(client: httpx.AsyncClient) -> None:
    for headers in (GZIP, {}):
        response = await client.get("/long.js", headers=headers)
        assert response.headers["vary"] == "Accept-Encoding"
        assert response.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("then", [GZIP, {}])
@pytest.mark.parametrize("first", [GZIP, {}])
async def test_what_has_not_changed_is_not_sent_again(
    client: httpx.AsyncClient, first: dict[str, str], then: dict[str, str]
) -> None:
    etag = (await client.get("/long.js", headers=first)).headers["etag"]
    assert re.fullmatch(r'W/"\w{10}"', etag)  # short: it is in each of the first load's heads
    for known in (etag, f'"another", {etag}', etag.removeprefix("W/"), "*"):
        again = await client.get("/long.js", headers={**then, "If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == etag
        assert again.headers["vary"] == "Accept-Encoding"
        assert again.headers["cache-control"] == "no-cache"
    changed = await client.get("/long.js", headers={**then, "If-None-Match": 'W/"another"'})
    assert changed.status_code == 200


@pytest.mark.parametrize("headers", [GZIP, {}])
async def test_an_edit_shows_at_once(
    client: httpx.AsyncClient, tmp_path: Path, headers: dict[str, str]
) -> None:
    etag = (await client.get("/long.js", headers=headers)).headers["etag"]
    edited = SCRIPT.replace("1", "2")  # of the same size
    (tmp_path / "long.js").write_text(edited)
    os.utime(tmp_path / "long.js", ns=(0, 1))
    response = await client.get("/long.js", headers={**headers, "If-None-Match": etag})
    assert response.text == edited
    assert response.headers["etag"] != etag


async def test_a_version_is_compressed_once(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    compressed: list[bytes] = []
    compress = gzip.compress

    def counted(data: bytes, *, mtime: float) -> bytes:
        compressed.append(data)
        return compress(data, mtime=mtime)

    monkeypatch.setattr(gzip, "compress", counted)
    for _ in range(3):
        await client.get("/long.js", headers=GZIP)
    assert compressed == [SCRIPT.encode()]


@pytest.mark.parametrize("headers", [GZIP, {}])
async def test_head_tells_what_get_would(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    told = await client.head("/long.js", headers=headers)
    got = await client.get("/long.js", headers=headers)
    assert told.headers == got.headers
    assert told.content == b""


@pytest.mark.parametrize("content", [b"let small;\n" * 15, os.urandom(5000)])
async def test_what_would_hardly_shrink_is_left_alone(
    client: httpx.AsyncClient, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "other.js").write_bytes(content)
    response = await client.get("/other.js", headers=GZIP)
    assert "content-encoding" not in response.headers
    assert response.content == content


@pytest.mark.parametrize(
    ("accept_encoding", "takes"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("br, gzip", True),
        ("gzip;q=0.5", True),
        ("gzip ; q=0.001", True),
        ("gzip;q=1.000, identity;q=0.5", True),
        ("*", True),
        ("*;q=0.1", True),
        ("identity;q=0, *", True),
        ("", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("gzip;Q=0", False),
        ("gzip;q=0, *", False),
        ("*;q=0", False),
        ("gzip;q=0.5, identity", False),
        ("gzip;q=2", False),
        ("gzip;quality=1", False),
        ("gzipped", False),
    ],
)
async def test_accept_encoding_is_understood(accept_encoding: str, takes: bool) -> None:
    assert page.takes_gzip(Headers({"Accept-Encoding": accept_encoding})) is takes


async def test_accept_encoding_may_come_in_several_lines() -> None:
    lines = [(b"accept-encoding", b"br"), (b"accept-encoding", b"gzip")]
    assert page.takes_gzip(Headers(raw=lines))
    assert not page.takes_gzip(Headers(raw=[]))


@pytest.mark.parametrize(
    "path", ["/", "/js/main.js", "/styles/theme.css", "/swagger/swagger-ui-bundle.js"]
)
async def test_the_page_and_the_apis_page_are_served_so(
    path: str, make_settings: Callable[..., Settings]
) -> None:
    client = client_of(create_app(make_settings()))
    response = await client.get(path, headers=GZIP)
    assert response.status_code == 200
    assert response.headers["content-encoding"] == "gzip"
    known = {**GZIP, "If-None-Match": response.headers["etag"]}
    assert (await client.get(path, headers=known)).status_code == 304
    assert (await client.head(path, headers=GZIP)).headers == response.headers


async def test_our_own_files_go_without_their_comments_and_keep_their_lines() -> None:
    own = [*page.FRONTEND.glob("js/**/*.js"), *page.FRONTEND.glob("styles/*.css")]
    async with client_of(create_app(Settings())) as client:
        for path in own:
            source = path.read_text()
            url = path.relative_to(page.FRONTEND).as_posix()
            sent = (await client.get(url, headers=GZIP)).text
            before, after = source.split("\n"), sent.split("\n")
            assert len(before) == len(after)
            left_out = [
                line.strip() for line, kept in zip(before, after, strict=True) if line != kept
            ]
            # What is left out is empty now, and was within a comment.
            assert [
                line for line in left_out if not line.startswith(("/*", "*", "//"))
            ] == [] or url.endswith(".css")
            assert len(source) < page.SMALL_BYTES or "\n/**" not in sent


async def test_parts_of_a_document_carry_no_headers_of_documents() -> None:
    async with client_of(create_app(Settings())) as client:
        for url, is_document in {
            "/": True,
            "/docs": True,
            "/js/main.js": False,
            "/styles/theme.css": False,
        }.items():
            first = await client.get(url)
            known = {"If-None-Match": first.headers.get("etag", "none")}
            for response in (first, await client.get(url, headers=known)):
                headers = response.headers
                assert ("content-security-policy" in headers) == is_document
                assert headers["x-content-type-options"] == "nosniff"
                assert headers["cross-origin-resource-policy"] == "same-origin"


def sri(content: bytes) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content).digest()).decode()


@pytest.mark.parametrize("headers", [GZIP, {}])
async def test_the_list_of_files_has_the_hash_of_what_is_sent(headers: dict[str, str]) -> None:
    """A browser keeps a copy of all of them, and refuses what is not of the same version."""
    async with client_of(create_app(Settings())) as client:
        response = await client.get("/files.json", headers=headers)
        assert response.headers["cache-control"] == "no-cache"
        files = response.json()["files"]
        own = [*page.FRONTEND.glob("js/**/*.js"), *page.FRONTEND.glob("styles/*.css")]
        names = [path.relative_to(page.FRONTEND).as_posix() for path in own]
        assert sorted(files) == sorted(["./", "favicon.svg", *names])
        sent = {url: sri((await client.get(f"/{url}", headers=headers)).content) for url in files}
        assert files == sent
        known = {**headers, "If-None-Match": response.headers["etag"]}
        again = await client.get("/files.json", headers=known)
        assert (again.status_code, again.content) == (304, b"")


async def test_each_edit_is_another_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "FRONTEND", tmp_path)
    for name in ("index.html", "favicon.svg", "js/deep/a.js", "styles/b.css"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    versions = [json.loads(page.listing(compressed=False))["version"]]
    assert re.fullmatch("[0-9a-f]{40}", versions[0])
    for number, name in enumerate(("index.html", "favicon.svg", "js/deep/a.js", "styles/b.css")):
        (tmp_path / name).write_text("2")
        os.utime(tmp_path / name, ns=(0, number))
        versions.append(json.loads(page.listing(compressed=False))["version"])
    (tmp_path / "js" / "new.js").write_text("")
    versions.append(json.loads(page.listing(compressed=False))["version"])
    assert len(set(versions)) == len(versions)


async def test_who_asks_for_a_copy_of_the_page_is_led_home() -> None:
    async with client_of(create_app(Settings())) as client:
        response = await client.get(f"/offline/{'0' * 40}/")
    assert (response.status_code, response.headers["location"]) == (307, "../../")


async def test_the_manifest_names_pictures_of_the_sizes_that_it_tells() -> None:
    async with client_of(create_app(Settings())) as client:
        response = await client.get("/manifest.webmanifest")
        assert response.headers["content-type"] == "application/manifest+json"
        icons = response.json()["icons"]
        assert {icon["sizes"] for icon in icons} == {"any", "192x192", "512x512"}
        assert any(icon.get("purpose") == "maskable" for icon in icons)
        for icon in icons:
            picture = await client.get("/" + icon["src"])
            assert picture.headers["content-type"] == icon["type"]
            if icon["sizes"] != "any":
                width, height = struct.unpack(">II", picture.content[16:24])
                assert f"{width}x{height}" == icon["sizes"]


async def test_a_picture_that_is_opened_by_itself_can_do_nothing() -> None:
    async with client_of(create_app(Settings())) as client:
        headers = (await client.get("/favicon.svg")).headers
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
