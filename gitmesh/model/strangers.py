"""What others wrote for a mesh, reduced to what it does to ours: facts like Services and pods. And what that
comes to for one destination.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

from gitmesh.model.objects import ObjectKey

EVERYBODY = "*"
"""In `Stranger.shown`: the clients of every namespace."""


class NamedSubset(Struct, frozen=True, kw_only=True, order=True):
    """A subset that somebody else's object offers: pods behind a Service by labels."""

    name: str
    labels: tuple[str, ...] = ()
    """`key=value`, sorted."""


class ForeignSource(Struct, frozen=True, kw_only=True):
    """Who is meant: all that is given must hold, one value of each will do, and none of `no_...`. Values are
    textual with a `*` at an end; principals are `<trust domain>/ns/<namespace>/sa/<name>`. `unsure`: it asks
    for more, which is not known here; facts hold no addresses."""

    principals: tuple[str, ...] = ()
    no_principals: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    no_namespaces: tuple[str, ...] = ()
    unsure: bool = False


class ForeignOperation(Struct, frozen=True, kw_only=True):
    """Which requests are meant, read like a source; `ports` are container port numbers, as text."""

    ports: tuple[str, ...] = ()
    no_ports: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    no_methods: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    no_paths: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    no_hosts: tuple[str, ...] = ()


class ForeignRule(Struct, frozen=True, kw_only=True):
    """One of the sources and one of the operations, where there are any. `unsure`: and conditions that are
    not known here: their values may be secrets, and facts are published."""

    sources: tuple[ForeignSource, ...] = ()
    operations: tuple[ForeignOperation, ...] = ()
    unsure: bool = False


class ForeignGuard(Struct, frozen=True, kw_only=True):
    """What somebody else's object says of who may call pods: those of the namespace ("" = of all) with the
    labels of the `selector`.

    `action`: Allow and Deny as in policies; an Allow without rules admits nobody. Ask leaves it to somebody
    who is not known here. Mtls sets `mode` (Strict, Permissive, Disabled), or that of a container port in
    `ports`.
    """

    action: str
    namespace: str = ""
    selector: Mapping[str, str] = {}
    rules: tuple[ForeignRule, ...] = ()
    mode: str = ""
    ports: Mapping[str, str] = {}


class GuardAhead(Struct, frozen=True, kw_only=True):
    """What somebody else's object says of who may call Services, (namespace, name), at proxies ahead of their
    pods, where there are some; `services` () = all that one of these proxies serves. The ports of the rules
    are those of the Services."""

    guard: ForeignGuard
    services: tuple[tuple[str, str], ...] = ()


class Stranger(Struct, frozen=True, kw_only=True):
    """A live object of a mesh that is not ours: not in our ledger with this uid, or without our marks.

    `hosts` are the full names or wildcards that it is about, in lower case; `shown` the namespaces whose
    clients see it (EVERYBODY = all), `clients` the labels of those that follow it (none = all). `subsets` are
    those that it offers, `sets` names what it sets for connections, `tls` its mode of TLS, in the mesh's own
    words, and `port_tls` that of each Service port of which it speaks apart: nothing else of it counts there.
    `guards` are what it says of who may call pods, `ahead` of who may call Services before that. `meshes` are
    those that read it (none named = all of the cluster). Nothing in it is an authority: whoever may write in
    a namespace can make one.
    """

    group: str
    kind: str
    namespace: str
    name: str
    hosts: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    clients: Mapping[str, str] = {}
    subsets: tuple[NamedSubset, ...] = ()
    sets: tuple[str, ...] = ()
    tls: str = ""
    port_tls: Mapping[str, str] = {}
    guards: tuple[ForeignGuard, ...] = ()
    ahead: tuple[GuardAhead, ...] = ()
    meshes: tuple[str, ...] = ()

    @property
    def key(self) -> ObjectKey:
        """Its identity."""
        return ObjectKey(self.group, self.kind, self.namespace, self.name)

    def is_shown(self, namespace: str) -> bool:
        """Whether clients of the namespace see it."""
        # A star stands for all namespaces, also such as are made later.
        return EVERYBODY in self.shown or namespace in self.shown

    def is_read_by(self, mesh: str) -> bool:
        """Whether it does anything to pods of the mesh, or may to pods that are in none ("") yet."""
        return not self.meshes or not mesh or mesh in self.meshes


Subject: TypeAlias = Literal["routes", "settings"]
"""How requests are routed, or connections made."""


class Override(Struct, frozen=True, kw_only=True, order=True):
    """Clients of a namespace follow the object `by` in place of ours for a Service (namespace, name).
    `subsets` are those that they find there, of those that matter."""

    of: Subject
    service: tuple[str, str]
    namespace: str
    by: ObjectKey
    subsets: tuple[NamedSubset, ...] = ()


class Contender(Struct, frozen=True, kw_only=True, order=True):
    """An object for what ours would be for, of which the mesh takes only one: ours is not created beside
    it."""

    of: Subject
    by: ObjectKey
    host: str


class Displaced(Struct, frozen=True, kw_only=True, order=True):
    """An object that clients would follow if ours were not there; `sets`, `tls`, `subsets` as it says."""

    by: ObjectKey
    sets: tuple[str, ...] = ()
    tls: str = ""
    subsets: tuple[str, ...] = ()


class ClientTls(Struct, frozen=True, kw_only=True):
    """With which TLS clients that have proxies of their own connect to a Service where no policy says it:
    those of a namespace, which goes before policies, or ("") all others. `tls` as in policies ("" = as the
    mesh chooses), `ports` that of single Service ports; `by` the object that says so, None the mesh's
    settings."""

    namespace: str = ""
    tls: str = ""
    ports: Mapping[int, str] = {}
    by: ObjectKey | None = None

    def at(self, port: int) -> str:
        """That of connections to a Service port."""
        return self.ports.get(port, self.tls)


class Around(Struct, frozen=True, kw_only=True):
    """What stands around one destination. `plaintext`: its pods take no mTLS, as a policy says. `ways` are
    the Services (namespace, name) among it and those that share its pods whose requests come to pods without
    a proxy of their own through one that sees them, and that decides them as this destination says. It sees
    requests, and not from which address. `shut` are those whose requests come through one that the pods
    refuse altogether, as it sends on what is decided otherwise. `direct`: no proxy is ahead of the
    destination, so nobody routes the requests of clients that have none of their own. `common`: how requests
    go there is said in a form that clients of other meshes may follow, too. `seen_as` (namespace,
    ServiceAccount): so the pods see everybody who comes by the proxy ahead of the destination; None: there is
    none."""

    overrides: tuple[Override, ...] = ()
    contenders: tuple[Contender, ...] = ()
    displaced: tuple[Displaced, ...] = ()
    plaintext: bool = False
    ways: tuple[tuple[str, str], ...] = ()
    shut: tuple[tuple[str, str], ...] = ()
    direct: bool = False
    common: bool = False
    seen_as: tuple[str, str] | None = None


ALONE = Around()
"""Nobody else says anything."""
