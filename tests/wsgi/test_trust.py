"""Which peers and which addresses in headers are trusted, and what is no such list."""

from __future__ import annotations

import pytest

from greenworld.wsgi import trust
from greenworld.wsgi.trust import TrustedProxies, parse_address


@pytest.mark.parametrize(
    ("names", "host", "trusted"),
    [
        (["10.0.0.1"], "10.0.0.1", True),
        (["10.0.0.1"], "10.0.0.2", False),
        (["10.0.0.0/8"], "10.255.255.255", True),
        (["10.0.0.0/8"], "11.0.0.0", False),
        (["0.0.0.0/0"], "203.0.113.9", True),
        (["0.0.0.0/0"], "2001:db8::1", False),
        (["2001:db8::/32"], "2001:db8:1::9", True),
        (["2001:db8::/32"], "2001:0db8:0001:0000::9", True),
        (["::1"], "127.0.0.1", False),
        (["127.0.0.1"], "::ffff:127.0.0.1", True),
        (["fe80::/10"], "fe80::1%eth0", True),
        (["unix"], "", True),
        (["unix"], "127.0.0.1", False),
        (["127.0.0.1"], "", False),
        (["*"], "203.0.113.9", True),
        (["*"], "", True),
        ([], "127.0.0.1", False),
        (["10.0.0.1"], "no address", False),
    ],
)
def test_peers(names: list[str], host: str, trusted: bool) -> None:
    proxies = TrustedProxies(names)
    assert proxies.trusts_peer(host) is trusted
    assert proxies.trusts_peer(host) is trusted  # remembered


def test_everyone_is_who_connects_and_not_who_is_named() -> None:
    proxies = TrustedProxies(["*", "10.0.0.0/8"])
    assert proxies.trusts_peer("203.0.113.9")
    assert not proxies.trusts_hop("203.0.113.9")
    assert not proxies.trusts_hop("")
    assert proxies.trusts_hop("10.1.1.1")


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "_MAX_KNOWN", 4)
    proxies = TrustedProxies(["10.0.0.0/24"])
    for last in range(20):
        assert proxies.trusts_hop(f"10.0.0.{last}")
        assert not proxies.trusts_peer(f"10.0.1.{last}")
    assert 0 < len(proxies._hops) <= 4
    assert 0 < len(proxies._peers) <= 4


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "a trusted proxy is an address"),
        ("localhost", "not 'localhost'"),
        ("10.0.0.0/33", "not '10.0.0.0/33'"),
        ("10.0.0.1/8", "did you mean 10.0.0.0/8?"),
        ("2001:db8::1/32", "did you mean 2001:db8::/32?"),
        ("fe80::1%eth0", "without a zone"),
        ("::ffff:10.0.0.1", "written as the IPv4 address 10.0.0.1"),
        ("10.0.0.1:80", "not '10.0.0.1:80'"),
        ("010.0.0.1", "not '010.0.0.1'"),
        ("unix:/run/x", "not 'unix:/run/x'"),
    ],
)
def test_what_is_no_trusted_proxy(name: str, says: str) -> None:
    with pytest.raises(ValueError, match="trusted") as caught:
        TrustedProxies([name])
    assert says in str(caught.value)


def test_one_text_is_no_list() -> None:
    with pytest.raises(ValueError, match="must be a list"):
        TrustedProxies("10.0.0.1")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::FFFF:192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("192.0.2.01", None),
        ("192.0.2", None),
        ("1", None),
        ("unknown", None),
        ("", None),
        ("[::1]", None),
    ],
)
def test_parse_address(text: str, found: str | None) -> None:
    address = parse_address(text)
    assert (None if address is None else str(address)) == found
