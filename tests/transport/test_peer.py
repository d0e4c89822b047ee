"""Which addresses count as public, however they are written."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ConfigError
from core.transport.peer import PeerPolicy, PeerRefused, is_public

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1"]
)
def test_public_addresses(address: str) -> None:
    assert is_public(ip_address(address))
    assert PeerPolicy().allows(address)


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.1.2.3", "169.254.169.254", "172.16.0.1"),
        *("192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "203.0.113.1", "224.0.0.1"),
        *("240.0.0.1", "255.255.255.255", "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1"),
        *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1"),
        *("2002:7f00:1::", "3fff::1", "fc00::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "5f00::1"),
        *("", "localhost", "2130706433", "0x7f.1", "017700000001"),
    ],
)
def test_addresses_that_are_refused(address: str) -> None:
    assert not PeerPolicy().allows(address)


@given(st.ip_addresses(v=4))
def test_an_address_is_judged_alike_in_every_wrapping(inner: object) -> None:
    plain = PeerPolicy().allows(str(inner))
    assert PeerPolicy().allows(f"::ffff:{inner}") is plain
    assert PeerPolicy().allows(f"64:ff9b::{inner}") is plain
    assert not PeerPolicy().allows(str(ip_address((0x2002 << 112) | (int(ip_address(str(inner))) << 80))))


@given(st.ip_addresses())
def test_whatever_python_calls_private_is_refused(address: object) -> None:
    peer = ip_address(str(address))
    if peer.is_private or peer.is_loopback or peer.is_link_local or peer.is_multicast or peer.is_reserved:
        mapped = getattr(peer, "ipv4_mapped", None)
        assert not is_public(peer) or mapped is not None or peer in ip_network("64:ff9b::/96")


def test_what_the_operator_allows() -> None:
    policy = PeerPolicy.of(["10.1.0.0/16", " 192.168.1.7 ", "fd00::/8"])
    assert all(map(policy.allows, ["10.1.2.3", "::ffff:10.1.2.3", "192.168.1.7", "fd12::1"]))
    assert not any(map(policy.allows, ["10.2.0.1", "192.168.1.8", "127.0.0.1"]))
    with pytest.raises(ConfigError, match="PRIVATE_HOSTS_ALLOWED"):
        PeerPolicy.of(["my network"])


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "0", "2130706433", "0x7f.1", "017700000001", "[::1]", "::1"]
)
async def test_a_host_inside_is_refused_however_it_is_written(host: str) -> None:
    with pytest.raises((PeerRefused, OSError)) as caught:
        await PeerPolicy().addresses_of(host, 80)
    assert "127" not in str(caught.value).replace(host, "")


async def test_a_name_that_is_none() -> None:
    with pytest.raises(OSError, match="no host name"):
        await PeerPolicy().addresses_of("x..test", 80)
