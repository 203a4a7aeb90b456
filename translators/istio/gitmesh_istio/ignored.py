"""Namespaces that an istiod ignores: those that the discoverySelectors of its MeshConfig leave out.

Nothing that stands in them is anything to the mesh: no Service, no pod, and no object of Istio's kinds,
mesh-wide ones included (istio.mesh.v1alpha1.MeshConfig, discovery_selectors; pkg/kube/namespace/filter.go).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from gitmesh.model.facts import Mesh
from gitmesh.model.objects import mapping
from gitmesh_istio.names import version_of

IGNORED = "ignoredNamespaces"
"""Mesh.settings: the cluster's namespaces that the mesh ignores, sorted, with commas between; absent where it
ignores none.
"""
# Before, objects of Istio's kinds were read everywhere, unless istiod was told otherwise (release notes of
# 1.22).
_SINCE = (1, 22, 0)
_TOLD = "ENABLE_ENHANCED_RESOURCE_SCOPING"
_NAME_LABEL = "kubernetes.io/metadata.name"

Labels = Mapping[str, str]


def ignores(mesh: Mesh, namespace: str) -> bool:
    """Whether nothing in the namespace counts for the mesh."""
    return namespace in _names(mesh.settings.get(IGNORED, ""))


@lru_cache(maxsize=64)
def _names(text: str) -> frozenset[str]:
    return frozenset(text.split(",") if text else ())


def is_scoped(version: str, environment: Mapping[str, str]) -> bool:
    """Whether an istiod of that version ("" = not known) heeds discoverySelectors for objects of Istio's
    kinds.
    """
    return (version_of(version) or _SINCE) >= _SINCE or environment.get(_TOLD) == "true"


def ignored_namespaces(selectors: object, namespaces: Mapping[str, Labels]) -> Mapping[str, str]:
    """The setting for a MeshConfig's discoverySelectors; empty where nothing is ignored."""
    tests = [_selector(one) for one in selectors] if isinstance(selectors, list) else []
    # istiod logs a selector that it cannot take, and discovers everything.
    if not tests or None in tests:
        return {}
    # Every API server sets this label; a folder's namespaces may not have it.
    labelled = {name: {_NAME_LABEL: name, **labels} for name, labels in namespaces.items()}
    ignored = [
        name for name, labels in sorted(labelled.items()) if not any(test(labels) for test in tests if test)
    ]
    return {IGNORED: ",".join(ignored)} if ignored else {}


def _selector(selector: object) -> Callable[[Labels], bool] | None:
    """A LabelSelector (apimachinery, meta/v1) as a test; None where it is not valid."""
    if not isinstance(selector, Mapping):
        return None
    wanted, listed = mapping(selector.get("matchLabels")), selector.get("matchExpressions") or []
    expressions = [_expression(mapping(one)) for one in listed] if isinstance(listed, list) else [None]
    if None in expressions:
        return None
    return lambda labels: (
        all(labels.get(key) == value for key, value in wanted.items())
        and all(holds(labels) for holds in expressions if holds)
    )


def _expression(expression: Mapping[str, object]) -> Callable[[Labels], bool] | None:
    key, values = expression.get("key"), expression.get("values") or []
    if not isinstance(key, str) or not isinstance(values, list):
        return None
    match expression.get("operator"), bool(values):
        case "In", True:
            return lambda labels: key in labels and labels[key] in values
        case "NotIn", True:
            return lambda labels: key not in labels or labels[key] not in values
        case "Exists", False:
            return lambda labels: key in labels
        case "DoesNotExist", False:
            return lambda labels: key not in labels
        case _:
            return None
