"""Names that Istio needs and gives: hosts, subsets, quoted expressions, versions."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence

from gitmesh.model.facts import Mesh

DEFAULT_DOMAIN = "cluster.local"
MESH_WIDE = "gitmesh-default"
"""What the name of the mesh-wide default deny begins with, before `-deny`."""
LABEL_LENGTH = 63
_HASH_LENGTH = 8
_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")
_FORBIDDEN = re.compile(r"[^a-z0-9-]+")

Labels = tuple[tuple[str, str], ...]


def cluster_domain(meshes: Sequence[Mesh]) -> str:
    """The DNS suffix of Services, as istiod was told it."""
    return next(
        (mesh.settings["clusterDomain"] for mesh in meshes if mesh.settings.get("clusterDomain")),
        DEFAULT_DOMAIN,
    )


def host(namespace: str, name: str, domain: str) -> str:
    """A Service's full name."""
    # Short names would be resolved in the namespace of the object that carries them.
    return f"{name}.{namespace}.svc.{domain}"


def full_host(text: str, namespace: str, domain: str) -> str:
    """What a host in somebody's object means, read in that object's namespace: a lower-case full name or
    wildcard.
    """
    given = text.lower()
    if given.startswith("*") or given.endswith(f".svc.{domain}"):
        return given
    parts = given.split(".")
    if len(parts) == 1:
        return host(namespace, given, domain)
    if len(parts) == 2 or (len(parts) == 3 and parts[2] == "svc"):
        return host(parts[1], parts[0], domain)
    return given


def access_name(service: str, role: str, pods: Labels = ()) -> str:
    """The AuthorizationPolicy of a Service, `role` allow or deny; of some of its pods, which have these
    labels beside those that the Service selects by.
    """
    if pods:
        # A dot, which no Service has in its name, keeps a Service's pods apart from another Service.
        return f"{service}.{subset_name(pods)}-{role}"
    # One Service name would give the mesh-wide default deny its name.
    return f"{service}.service-{role}" if service == MESH_WIDE else f"{service}-{role}"


def waypoint_name(service: str, role: str) -> str:
    """The AuthorizationPolicy of a Service at its waypoint, `role` allow or deny."""
    return f"{service}.waypoint-{role}"


def version_of(text: str) -> tuple[int, int, int] | None:
    """`1.30.3-rc.1` -> (1, 30, 3); None where the version is unknown."""
    match = _VERSION.match(text)
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else None


def quoted(text: str) -> str:
    """The text as an RE2 expression that matches just it."""
    return re.escape(text)


def subset_name(labels: Labels) -> str:
    """`version-v1` for {version: v1}: sorted `k-v` joined by `-`.

    A client's route and the destination's subset are made apart from each other, so the name is a function of
    the labels alone, and injective: where the plain form is not a DNS label, is too long, or can be read in
    two ways, a hash follows.
    """
    parts = [part for pair in sorted(labels) for part in pair]
    plain = "-".join(parts)
    if _is_plain(parts) and len(plain) <= LABEL_LENGTH:
        return plain
    # Joined by what no label can hold: by a dash, two different sets of labels could be one text.
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:_HASH_LENGTH]
    readable = _FORBIDDEN.sub("-", plain.lower()).strip("-")[: LABEL_LENGTH - _HASH_LENGTH - 1].rstrip("-")
    return f"{readable}-{digest}" if readable else digest


def _is_plain(parts: list[str]) -> bool:
    """Whether the joined parts can be read in one way only: no part has a dash, or the only value has an odd
    number of them (labels without dashes always give an even number of words)."""
    if not all(parts) or any(_FORBIDDEN.search(part) for part in parts):
        return False
    dashes = [part.count("-") for part in parts]
    return not any(dashes) or (
        len(parts) == 2 and dashes[0] == 0 and dashes[1] % 2 == 1 and not parts[1].endswith("-")
    )


def sorted_unique(values: Iterable[str]) -> list[str]:
    """For set-like lists of an object."""
    return sorted(set(values))
