"""What a request and its client must be like, resolved: ports are numbers, and clients have pod labels."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class TextCondition(Struct, frozen=True, kw_only=True, order=True):
    """A condition on text. For paths `prefix` means whole segments and `stringPrefix` characters; for other
    text `prefix` means characters. `value` is "" for `present`."""

    form: Literal["exact", "prefix", "stringPrefix", "suffix", "regex", "present"]
    value: str = ""
    ignore_case: bool = False


class NamedCondition(Struct, frozen=True, kw_only=True, order=True):
    """A condition on one header or query parameter; `invert`: the request must not meet it (absent counts as
    not).
    """

    name: str
    condition: TextCondition
    invert: bool = False


class SourceCondition(Struct, frozen=True, kw_only=True, order=True):
    """Which clients inside this cluster: all that is given must hold. The cluster itself is already
    decided.
    """

    labels: tuple[tuple[str, str], ...] = ()
    namespaces: tuple[str, ...] = ()
    service_accounts: tuple[str, ...] = ()


class RequestMatch(Struct, frozen=True, kw_only=True, order=True):
    """A conjunction of conditions on a request; the empty one matches every request. `port` is a Service port
    number.
    """

    path: TextCondition | None = None
    headers: tuple[NamedCondition, ...] = ()
    query: tuple[NamedCondition, ...] = ()
    method: str = ""
    port: int = 0
    authority: TextCondition | None = None
    source: SourceCondition = SourceCondition()
