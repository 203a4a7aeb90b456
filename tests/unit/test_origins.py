"""CORS with credentials: what a condition on origins admits, however it is spelled."""

from __future__ import annotations

from typing import Any

import pytest

from gitmesh.model import origins
from gitmesh.model.origins import UNRELATED, lookalike, stranger
from gitmesh.model.requests import OriginMatch
from gitmesh.resolution.check import check
from tests.factories import policies_of, traffic


def found(*origins: dict[str, str], **cors: Any) -> list[tuple[str, str]]:
    fields = {"allowOrigins": list(origins), "allowCredentials": True, **cors}
    return [(d.code, d.field) for d in check([traffic("t", cors=fields)], {})]


@pytest.mark.parametrize(
    "origin",
    [
        {"exact": "*"},
        {"exact": "null"},
        {"prefix": "*"},
        {"prefix": "h"},
        {"prefix": "http"},
        {"prefix": "https://"},
        {"prefix": "http://"},
        {"prefix": "https://a"},
        {"prefix": "https://shop"},
        {"prefix": "https://www."},
        {"prefix": "n"},
        *[
            {"regex": regex}
            for regex in (
                ".*",
                ".+",
                "^.*$",
                "[^ ]*",
                r"\S+",
                "(?s).*",
                "https?://.*",
                r"^https://.+$",
                "(https|http)://.*",
                "https://.{3,}",
                "https://.{3,12}",
                "https://[^/]+",
                "[a-z]+://.*",
                r"https://[a-z]+\.com",
                r"https://\w+\.com",
                r"https://[0-9]+\.com",
                r"https://[a-m][a-z0-9]*\.com",
                r".*\.com",
                r"https://.*\.(com|net|org)",
                r"https://.*\.dev(:\d+)?",
                r"https://([a-z0-9-]+\.)+[a-z]{2,}",
                r"https://([a-z0-9-]+\.)+[a-z]{2,}(:[0-9]+)?",
                "(?i)HTTPS://.*",
                "https://ab.*",
                r"https://shop[a-z]+\.com",
                r"https?://\d+\.\d+\.\d+\.\d+(:\d+)?",
                r"https://shop\.example\.com|null",
                r"https://shop\.example\.com|.*",
                "n.ll",
                "[^x]*|.*x.*",
                "https://[^e].*",
                r".*\.dev",
                r"https://.*\.de",
                r"https://.*\.io(:\d+)?",
                r"https://x[a-z]*\.net",
                r"https://shop-[a-z]+\.app",
                r"https://.*\.(?:xyz|travel)",
                r"https://[a-z]{3}\.[a-z]{2}",
                r"https://[a-z]{20}\.[a-z]{3}",
                r"https?://.*:9443",
                r"http://.+:443",
                r"moz-extension://[a-z0-9-]+",
                r"http://\[.*\]",
            )
        ],
    ],
)
def test_origins_of_any_site_with_credentials_are_an_error_at_their_line(origin: dict[str, str]) -> None:
    fine = {"exact": "https://shop.example"}
    assert found(fine, origin) == [("GM203", "spec.cors.allowOrigins[1]")]
    assert not found(fine, origin, allowCredentials=False)


@pytest.mark.parametrize(
    ("origin", "site"),
    [
        ({"prefix": "https://shop.example"}, "https://shop.example.qzxkw.com"),
        ({"prefix": "https://shop.example.com"}, "https://shop.example.com.qzxkw.com"),
        ({"regex": r".*example\.com"}, "https://qzxkwexample.com"),
        ({"regex": r"https://.*example\.com"}, "https://qzxkwexample.com"),
        ({"regex": r"https://[a-z]*example\.com"}, "https://qzxkwexample.com"),
        ({"regex": r"https://shop\.example\.com.*"}, "https://shop.example.com.qzxkw.com"),
        ({"regex": r"https://shop.example.com"}, "https://shopqexample.com"),
        ({"regex": r"https://[a-z]+.example.com"}, "https://qzxkwexample.com"),
        ({"regex": r"http://.*-?shop\.example"}, "http://qzxkwshop.example"),
        ({"regex": r"https://(a|b)\.shop\.example\.org.*"}, ""),
    ],
)
def test_origins_that_a_stranger_can_imitate_are_a_warning(origin: dict[str, str], site: str) -> None:
    match = OriginMatch(**origin)
    assert not stranger(match)
    assert lookalike(match) == site or not site
    if site:
        assert found(origin) == [("GM219", "spec.cors.allowOrigins[0]")]
        assert not found(origin, allowCredentials=False)


@pytest.mark.parametrize(
    "origin",
    [
        {"exact": "https://shop.example.com"},
        {"exact": "http://localhost:3000"},
        {"prefix": "https://shop.example.com:"},
        {"prefix": "http://localhost:"},
        {"regex": r"https://shop\.example\.com"},
        {"regex": r"https://shop\.example\.com(:\d+)?"},
        {"regex": r"https://([a-z0-9-]+\.)?example\.com"},
        {"regex": r"https://.*\.example\.com"},
        {"regex": r"https://[a-z0-9-]+\.shop\.example\.co\.uk"},
        {"regex": r"https://(shop|pay)\.example\.(com|org)"},
        {"regex": r"http://localhost(:\d+)?"},
        {"regex": r"https://pr-\d+\.preview\.example\.com"},
        {"regex": r"https://.*\.internal"},
        {"regex": r"https://[a-z0-9-]+\.corp\.example\.de:8443"},
        {"regex": r"https://shop\.example\.de:(3000|9443)"},
        {"regex": "never"},
    ],
)
def test_origins_that_name_their_sites_are_nothing_to_report(origin: dict[str, str]) -> None:
    assert not found(origin)


def test_the_line_is_that_of_the_origin() -> None:
    [policy] = policies_of(
        "apiVersion: gitmesh.io/v1alpha1\nkind: TrafficPolicy\nmetadata: {name: t}\nspec:\n  destinations:"
        " [{name: reviews}]\n  cors:\n    allowCredentials: true\n    allowOrigins:\n    - exact:"
        ' https://a.example\n    - prefix: "https://"\n'
    )
    [finding] = check([policy], {})
    assert finding.at is not None
    assert (finding.at.line, finding.is_error, finding.hint) == (10, True, "name the origins")


def test_fields_that_are_off_are_nothing_to_report() -> None:
    assert not check([traffic("t", cors={"disabled": True})], {})


def test_the_unrelated_sites_are_many_shapes_and_few_enough_to_ask_each() -> None:
    assert 100 < len(set(UNRELATED)) == len(UNRELATED) < 200


def test_what_an_expression_spells_makes_few_questions() -> None:
    asked: list[str] = []
    many = OriginMatch(regex="|".join(f"https://a[.]{word}:{n}" for n, word in enumerate(["de", "com"] * 5)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(origins, "_admits", lambda _: asked.append)
        stranger.__wrapped__(many)
    assert len(asked) < 600

    hosts = [site.partition("://")[2] for site in UNRELATED]
    assert {host[:1] for host in hosts} >= set("abcdefghijklmnopqrstuvwxyz0123456789")
    assert len({host.partition(":")[0].rpartition(".")[2] for host in hosts}) > 9
