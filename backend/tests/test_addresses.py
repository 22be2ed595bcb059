from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from backend.addresses import address_of, in_both_forms


@pytest.mark.parametrize(
    ("client_host", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::FFFF:c000:207", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("testclient", "testclient"),
        ("", ""),
        ("192.0.2.07", "192.0.2.07"),
    ],
)
def test_an_address_stands_for_a_client(client_host: str, address: str) -> None:
    assert address_of(client_host) == address


@pytest.mark.anyio
@pytest.mark.parametrize("proxy", ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1"])
async def test_a_proxy_is_known_however_its_connection_comes(proxy: str) -> None:
    seen: dict[str, Any] = {}

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.update(scope)

    networks = [ip_network("10.0.0.0/8"), ip_network("2001:db8::/64")]
    scope: Any = {
        "type": "http",
        "client": (proxy, 1),
        "headers": [(b"x-forwarded-for", b"192.0.2.7")],
    }
    nothing: Any = None
    await ProxyHeadersMiddleware(app, in_both_forms(networks))(scope, nothing, nothing)
    assert seen["client"][0] == "192.0.2.7"
