"""Selectors of policies: workloads, destinations, identities (docs/concepts.md#selectors)."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from gitmesh.model.base import DnsLabel, DnsName, Labels, Model, OnlyTrue, SomeOf


def _cidr(text: str) -> str:
    """An address or a network, in its normal form; `10.0.0.1` stays an address."""
    address, slash, bits = text.partition("/")
    # `%` begins a zone, which means something on one machine only. Digits only: `ipaddress` also takes a
    # netmask here, and `isdigit` alone the digits of other scripts.
    if "%" in text or (slash and not (bits.isascii() and bits.isdigit())):
        raise ValueError("must be an address, or a network as address/bits, 10.0.0.0/8 say")
    if not slash:
        return str(ipaddress.ip_address(address))
    # Not strict, because the library's own error does not say which network was meant.
    network = ipaddress.ip_network(text, strict=False)
    # Nothing may be set beyond the bits: such a spelling means more than it seems to.
    if ipaddress.ip_address(address) != network.network_address:
        raise ValueError(f"{text} has bits set beyond its length; the network is {network}")
    return str(network)


Cidr = Annotated[str, Field(max_length=64), AfterValidator(_cidr)]


class _Item(Model):
    """An item that names nothing would silently mean all or nothing, so it is refused."""

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        # `kind` has a default, and so names nothing.
        if not any(getattr(self, name) for name in type(self).model_fields if name != "kind"):
            raise ValueError("an empty selector item is ambiguous; write {all: true} to select all")
        return self


class WorkloadSelector(_Item):
    """Workloads that send requests: AND inside an item, OR between items; an omitted key means any."""

    all: OnlyTrue | None = Field(None, description="Select every workload; excludes the other keys.")
    labels: Labels | None = Field(None, description="Labels that the pods must carry, all of them.")
    namespaces: SomeOf[DnsLabel] | None = Field(None, description="Namespaces of the workloads.")
    clusters: SomeOf[DnsLabel] | None = Field(
        None, description="Clusters of the workloads, by their name in gitmesh.yaml."
    )
    service_accounts: SomeOf[DnsName] | None = Field(
        None, description="ServiceAccounts that the workloads run as."
    )

    @model_validator(mode="after")
    def _all_alone(self) -> Self:
        if self.all and (self.labels or self.namespaces or self.clusters or self.service_accounts):
            raise ValueError("all: true excludes the other keys of a selector item")
        return self


class DestinationSelector(_Item):
    """Destinations of requests. With `name` the item is exact, and `namespaces` defaults to the policy's
    own.
    """

    all: OnlyTrue | None = Field(None, description="Select every destination; excludes the other keys.")
    name: DnsLabel | None = Field(None, description="Exact name of the Service.")
    namespaces: SomeOf[DnsLabel] | None = Field(
        None, description="Namespaces of the Services; with `name` the default is metadata.namespace."
    )
    clusters: SomeOf[DnsLabel] | None = Field(None, description="Clusters of the Services.")
    labels: Labels | None = Field(None, description="Labels that the Services must carry, all of them.")
    kind: Literal["Service"] = Field("Service", description="Kind of destination.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.all and (self.name or self.namespaces or self.clusters or self.labels):
            raise ValueError("all: true excludes the other keys of a selector item")
        return self


class ServiceAccountRef(Model):
    """One ServiceAccount. Without a cluster: the account of that name in every managed mesh."""

    name: DnsName = Field(description="Name of the ServiceAccount.")
    namespace: DnsLabel | None = Field(None, description="Its namespace; default metadata.namespace.")
    cluster: DnsLabel | None = Field(
        None, description="Its cluster; needs a trust domain that no other managed mesh shares."
    )


class IdentitySelector(_Item):
    """Callers, by the identity that their mesh has verified, or by address: AND inside an item, OR between
    items and in lists.
    """

    all: OnlyTrue | None = Field(
        None, description="Every caller, also those without an identity; excludes the other keys."
    )
    authenticated: OnlyTrue | None = Field(
        None, description="Every caller with a verified identity; excludes the other keys."
    )
    service_accounts: SomeOf[ServiceAccountRef] | None = Field(
        None, description="Callers that run as one of these ServiceAccounts."
    )
    namespaces: SomeOf[DnsLabel] | None = Field(None, description="Callers in these namespaces.")
    clusters: SomeOf[DnsLabel] | None = Field(None, description="Callers in these clusters.")
    ip_blocks: SomeOf[Cidr] | None = Field(
        None, description="Callers whose connection comes from these addresses or networks."
    )
    not_ip_blocks: SomeOf[Cidr] | None = Field(
        None, description="Callers whose connection comes from elsewhere than these networks."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        others = (self.service_accounts, self.namespaces, self.clusters, self.ip_blocks, self.not_ip_blocks)
        if (self.all and (self.authenticated or any(others))) or (self.authenticated and any(others)):
            raise ValueError("all: true and authenticated: true exclude the other keys of an identity")
        if self.service_accounts and (self.namespaces or self.clusters):
            raise ValueError(
                "serviceAccounts carry their own namespace and cluster; use a separate item for namespaces or"
                " clusters"
            )
        return self
