"""What the metadata of any object says. Strings are interned, since tens of thousands of pods share few of
them.
"""

from __future__ import annotations

from sys import intern

from gitmesh.model.objects import Body, listed, mapping, text
from gitmesh.model.workloads import Pairs

NO_OWNER = ("", "")


def pairs(value: object) -> Pairs:
    """A mapping of strings, sorted."""
    items = mapping(value).items()
    return tuple(
        sorted((intern(key), intern(item)) for key, item in items if type(key) is str and type(item) is str)
    )


def name_of(metadata: Body) -> str:
    """metadata.name."""
    return intern(text(metadata.get("name")))


def namespace_of(metadata: Body) -> str:
    """metadata.namespace; objects of namespaced kinds that name none lie in `default`."""
    return intern(text(metadata.get("namespace")) or "default")


def owner_of(metadata: Body) -> tuple[str, str]:
    """(kind, name) of the controller, or ("", "")."""
    for owner in listed(metadata.get("ownerReferences")):
        # Kubernetes, 'Owners and Dependents': of several owners at most one is the controller.
        if owner.get("controller") is True:
            return intern(text(owner.get("kind"))), intern(text(owner.get("name")))
    return NO_OWNER


def gateway_of(metadata: Body) -> str:
    """The Gateway that owns an object; its controller need not call itself one."""
    for owner in listed(metadata.get("ownerReferences")):
        # In any version: a reference keeps the one in which it was written.
        if text(owner.get("kind")) == "Gateway" and text(owner.get("apiVersion")).startswith(
            "gateway.networking.k8s.io/"
        ):
            return intern(text(owner.get("name")))
    return ""


def strings_of(value: object) -> list[str]:
    """The strings of a list; anything else is empty."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
