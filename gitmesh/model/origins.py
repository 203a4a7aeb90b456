"""What a condition on origins admits, asked of the condition itself: sites that no allow-list means together.

An origin is `scheme://host[:port]` in lower case (RFC 6454), or `null` for sandboxed pages, which every site
can make.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache

from gitmesh.model.expressions import Malformed, TooLarge, compiled
from gitmesh.model.requests import OriginMatch

_INITIALS = "abcdefghijklmnopqrstuvwxyz0123456789"
# Of each initial there are a .com of letters and digits, one of letters, and one of some other shape.
_SHAPES = (
    "https://{0}q7x.com",
    "https://{0}qzxk.com",
    "https://{0}8302.com",
    "http://{0}-qz7.net",
    "https://www.{0}qzxk.org",
    "http://{0}qz.io",
    "https://{0}q7xkvjw2zqpf.dev:8443",
    "https://a.b.{0}qz-xk.co.uk",
    "https://{0}zq.app",
    "http://{0}qzxkvjwqpfbhmtg.de:8080",
    "https://{0}qzx.example",
    "https://cdn.{0}qz7.info",
)
_FIXED = (
    "https://203.0.113.7",
    "http://198.51.100.23:8080",
    "https://[2001:db8::7]",
    "http://[2001:db8::7]",
    "https://q.cc",
    "https://xn--qzxk-8ta.com",
    "null",
)


def _unrelated() -> Iterator[str]:
    yield from _FIXED
    for number, initial in enumerate(_INITIALS):
        for shape in (*_SHAPES[:3], _SHAPES[3 + number % (len(_SHAPES) - 3)]):
            yield shape.format(initial)


UNRELATED = tuple(_unrelated())
"""Origins of sites that have nothing to do with each other, of all usual shapes."""

_HOST = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+")
_ESCAPE = re.compile(r"\\([^a-zA-Z0-9])")
_BEGINNING = re.compile(r"\^?((?:(?:[A-Za-z0-9:/-]|\\[^a-zA-Z0-9])(?![*?{]))*)")
_OTHER = "qzxkw"
_MOST_HOSTS = 16
_WORD = re.compile(r"[a-z]{2,}")
_NUMBER = re.compile(r"[0-9]{1,5}")
# Where anybody may register a name, beside every top-level domain of two letters.
_OPEN = frozenset(
    {
        *("com", "net", "org", "info", "biz", "dev", "app", "xyz", "online", "site", "shop", "store", "tech"),
        *("cloud", "page", "live", "pro", "name", "mobi", "club", "vip", "top", "icu", "space", "website"),
        *("world", "digital", "agency", "blog", "art", "design", "email", "group", "network", "services"),
        *("solutions", "software", "systems", "travel", "link", "click", "zone", "run", "host", "news"),
    }
)
_USUAL = ("com", "de", "info")
_MOST_PARTS = 4


@lru_cache(maxsize=4096)
def stranger(origin: OriginMatch) -> str:
    """An origin of a site that nobody can have meant, which the condition admits; "" where none is known.

    `https://shop` as a prefix means every site whose name begins so, which is no less.
    """
    admits = _admits(origin)
    return next((site for site in (*UNRELATED, *_spelled(origin)) if admits(site)), "")


def _spelled(origin: OriginMatch) -> Iterator[str]:
    """Origins that anybody can have, made of what the condition itself spells: its beginning, the top-level
    domains, ports and lengths in it. No list of samples has them all.
    """
    begun = _beginning(origin)
    scheme, _, host = begun.partition("://")
    # The first part of the host is not finished, so whoever registers a name that begins like it is admitted.
    starts = [begun] if "://" in begun and not set(".:") & set(host) else []
    if starts and scheme not in ("http", "https"):
        yield f"{begun}{_OTHER}"  # such as a browser's extension, which has no domain
    text = _ESCAPE.sub(r"\1", (origin.regex or "").lower())
    words = [word for word in _WORD.findall(text) if word in _OPEN or len(word) == 2]
    numbers = list(dict.fromkeys(_NUMBER.findall(text)))[:_MOST_PARTS]
    names = [_OTHER, *((_OTHER * 13)[: int(number)] for number in numbers if 0 < int(number) < 64)]
    ports = ["", *(f":{number}" for number in numbers if int(number) < 1 << 16)]
    for start in (*starts, "https://", "http://") if words or numbers or starts else ():
        for domain in (*dict.fromkeys(words[-_MOST_PARTS:]), *_USUAL):
            yield from (f"{start}{name}.{domain}{port}" for name in names for port in ports)


def _beginning(origin: OriginMatch) -> str:
    """Text with which the admitted origins begin, as far as that is easily told."""
    if origin.regex is None:
        return origin.prefix or ""
    # With an alternative, what stands first is the beginning of only one of them.
    found = "" if "|" in origin.regex else re.match(_BEGINNING, origin.regex)
    return _ESCAPE.sub(r"\1", found[1]) if found else ""


@lru_cache(maxsize=4096)
def lookalike(origin: OriginMatch) -> str:
    """An origin that anybody can make of a host which the condition names, and which it admits too; "" where
    none is known.
    """
    if origin.prefix is not None:
        host = _host(origin.prefix)
        return "" if not host or ":" in host else f"{origin.prefix}.{_OTHER}.com"
    if origin.regex is None:
        return ""
    admits = _admits(origin)
    return next((site for host in _hosts(origin.regex) for site in _made_of(host) if admits(site)), "")


def _made_of(host: str) -> Iterator[str]:
    """Registrable by a stranger: the name with something before it, after it, or in place of a dot."""
    first, _, rest = host.partition(".")
    for scheme in ("https", "http"):
        yield f"{scheme}://{_OTHER}{host}"
        yield f"{scheme}://{_OTHER}-{host}"
        yield f"{scheme}://{host}.{_OTHER}.com"
        yield f"{scheme}://{host}{_OTHER}.com"
        if "." in rest:
            yield f"{scheme}://{first}q{rest}"


def _host(prefix: str) -> str:
    """Host and port of the prefix, as far as it goes."""
    return prefix.partition("://")[2]


def _hosts(pattern: str) -> list[str]:
    """Hosts that the expression spells out."""
    return list(dict.fromkeys(_HOST.findall(_ESCAPE.sub(r"\1", pattern.lower()))))[:_MOST_HOSTS]


def _admits(origin: OriginMatch) -> Callable[[str], bool]:
    if origin.exact is not None:
        exact = origin.exact
        # Envoy's CORS filter admits every origin where a condition matches the text `*` itself.
        return lambda site: exact in ("*", site)
    if origin.prefix is not None:
        prefix = origin.prefix
        return lambda site: prefix == "*" or site.startswith(prefix)
    found = compiled(origin.regex or "")
    # Such an expression is refused when the policy is read, with a finding of its own.
    if isinstance(found, TooLarge | Malformed):
        return lambda _: False
    return lambda site: found.fullmatch(site) is not None
