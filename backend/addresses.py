"""What addresses say: whom one stands for, where nothing else says who asks, and which are those of proxies."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

IPV6_PREFIX = 64  # bits that a network gives one customer; of the others each may choose freely (RFC 6177, RFC 8981)


def address_of(client_host: str) -> str:
    """Return what is the same for all requests of one client.

    An IPv4 address as it is, also where it comes mapped into IPv6; the /64 of an IPv6 address; and what is no address,
    as the name of a unix socket's client, unchanged.
    """
    try:
        address = ip_address(client_host)
    except ValueError:
        return client_host
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ip_network((int(address), IPV6_PREFIX), strict=False))


def in_both_forms(networks: Iterable[IPv4Network | IPv6Network]) -> list[str]:
    """Return networks as they are, and those of IPv4 also as whoever listens at `[::]` sees them: mapped into IPv6."""
    found = []
    for network in networks:
        found.append(str(network))
        if isinstance(network, IPv4Network):
            found.append(f"::ffff:{network.network_address}/{96 + network.prefixlen}")
    return found
