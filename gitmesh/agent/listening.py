"""Sockets for HOST:PORT, on the address families that the host means."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from ipaddress import IPv6Address
from typing import TypeAlias

Place: TypeAlias = "tuple[str, int, *tuple[int, ...]]"
"""Address and port, and of an IPv6 address flow and scope."""
_LAST_PORT = 65_535
# What says that this machine has no such address. A name may mean several, and others of them may be there.
_ABSENT = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


class ListenError(Exception):
    """The address of health and metrics cannot be listened on."""


def listening(listen: str, *, backlog: int) -> tuple[socket.socket, ...]:
    """Listen on `HOST:PORT`: a name (on all that it means), an IPv4 address, an IPv6 address in brackets, or
    nothing, which is every address of both families. Port 0 is any free port, the same for all sockets.
    Raises ListenError.
    """
    host, colon, port = listen.rpartition(":")
    if not (colon and port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) <= _LAST_PORT):
        raise ListenError(f"cannot listen on {listen}: not HOST:PORT, with a port from 0 to {_LAST_PORT}")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise ListenError(
            f"cannot listen on {listen}: an IPv6 address stands in brackets, [{host.strip('[]')}]:{port}"
        )
    try:
        return (
            _everywhere(int(port), backlog)
            if not host
            else _all(_meant(host.strip("[]"), int(port)), backlog)
        )
    except (OSError, ValueError) as error:  # ValueError: a name that cannot be encoded
        raise ListenError(f"cannot listen on {listen}: {getattr(error, 'strerror', None) or error}") from None


def addresses(sockets: Sequence[socket.socket]) -> str:
    """The addresses that are listened on, with the port that was chosen, as they are written in URLs."""
    return ",".join(_written(*one.getsockname()[:2]) for one in sockets)


def _written(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _everywhere(port: int, backlog: int) -> tuple[socket.socket, ...]:
    """One socket for both families; IPv4 alone where the machine has no IPv6."""
    if socket.has_dualstack_ipv6():
        try:
            return (_one(socket.AF_INET6, ("::", port), backlog),)
        except OSError as error:
            # Where IPv6 is compiled in but switched off (net.ipv6.conf.all.disable_ipv6) the socket is
            # made, and only its bind fails.
            if error.errno not in _ABSENT:
                raise
    return (_one(socket.AF_INET, ("0.0.0.0", port), backlog),)  # noqa: S104  that is what an empty host says


def _meant(host: str, port: int) -> Iterator[tuple[socket.AddressFamily, Place]]:
    """The addresses of a name, each once; an address means itself. Raises OSError where there is none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # A hosts file may name an address twice, and the second bind to it would fail.
    yield from dict.fromkeys((family, _place(address, port)) for family, _, _, _, address in found)


def _place(address: Sequence[object], port: int) -> Place:
    # The scope belongs to an IPv6 address: without it a link's own address is none.
    flow_and_scope = tuple(part for part in address[2:] if isinstance(part, int))
    return (str(address[0]), port, *flow_and_scope)


def _all(places: Iterable[tuple[socket.AddressFamily, Place]], backlog: int) -> tuple[socket.socket, ...]:
    """A socket for each place that this machine has; where the port is 0, the first one chooses it. Raises
    OSError.
    """
    made: list[socket.socket] = []
    absent = OSError(errno.EADDRNOTAVAIL, "the name has no address")
    with ExitStack() as opened:
        for family, (address, port, *scope) in places:
            # Port 0 for each would give each family a port of its own, and one number is what is told and
            # scraped.
            chosen = made[0].getsockname()[1] if made else port
            try:
                made.append(opened.enter_context(_one(family, (address, chosen, *scope), backlog)))
            except OSError as error:
                if error.errno not in _ABSENT:
                    raise
                absent = error
        if not made:
            raise absent
        # Kept open only when all are: where one address is taken, the others are closed with the failure.
        opened.pop_all()
    return tuple(made)


def _one(family: socket.AddressFamily, place: Place, backlog: int) -> socket.socket:
    """A socket that listens; one on :: takes IPv4 too, where the machine can, and so does one on an IPv4
    address that is written as an IPv6 one.
    """
    both = family == socket.AF_INET6 and _takes_ipv4(place[0]) and socket.has_dualstack_ipv6()
    return socket.create_server(place, family=family, backlog=backlog, dualstack_ipv6=both)


def _takes_ipv4(address: str) -> bool:
    found = IPv6Address(address)
    return found.is_unspecified or found.ipv4_mapped is not None
