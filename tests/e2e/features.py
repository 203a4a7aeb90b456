"""What the suite must prove: the translator's own table, the rules of the policy API, and the traps of the
mesh.

A case names the rows that it proves; a row without a case fails a test, and so does a name that is no row.
"""

from __future__ import annotations

from collections.abc import Mapping

from gitmesh_istio.support import AMBIENT, SUPPORTS

from gitmesh.model.features import FEATURES as NAMES
from gitmesh.model.features import Supports, support_of


def _told(table: Supports) -> Mapping[str, str]:
    """Field of the policy API -> what Istio can do with it."""
    return {
        name: "; ".join(part for part in (support.level, support.note) if part)
        for name in NAMES
        for support in (support_of(table, name),)
    }


FEATURES = _told(SUPPORTS)
"""Field of the policy API -> what sidecars can do with it."""
IN_AMBIENT = _told(AMBIENT)
"""Field of the policy API -> what waypoints and ztunnels can do with it."""

RULES: Mapping[str, str] = {
    "matches-any": "The items of `matches` are alternatives; inside an item every condition must hold.",
    "unmatched-flows": "What no policy matches keeps the mesh's own behaviour and never turns into 404.",
    "service-ports": "Every port in a policy is a Service port, whatever the pods listen on.",
    "header-names": "Names of headers ignore case.",
    "whole-value": "A regular expression means the whole value.",
    "inverted-absent": "An inverted condition holds where the header is absent.",
    "precedence-priority": "A higher priority decides, however narrow the other rule is.",
    "precedence-path": (
        "Exact beats longer prefix, longer beats shorter, then stringPrefix, suffix, regex, none."
    ),
    "precedence-conditions": (
        "At the same path, more header conditions decide, then query conditions, then method, authority,"
        " port."
    ),
    "precedence-source": "Everything else equal, the narrower form of source decides.",
    "precedence-destination": (
        "Everything else equal, a destination by name beats one by labels, namespaces or all."
    ),
    "inheritance": "A field that the greatest rule leaves unset comes from the next one that sets it.",
    "disabled": "`disabled: true` ends the inheritance of a field.",
    "headers-merge": "Header changes merge by the name of the header, every other field is taken as a whole.",
    "overlap": "Requests that two overlapping rules match get the fields of both.",
    "namespace-grants-nothing": (
        "metadata.namespace is only the default of exact names: a policy may act on other namespaces."
    ),
    "allow-union": "What one Allow does not admit, another may: Allows add up.",
    "allow-governs": (
        "A destination that an Allow selects denies what no Allow admits; others keep their default."
    ),
    "deny-beats-allow": "A Deny holds against every Allow.",
    "deny-anonymous": "A Deny by identity also denies callers that show none.",
    "shared-pods": "Services that share pods and ports share one access decision.",
    "default-deny": "With accessDefault: Deny what no Allow admits is denied, and exemptions are not.",
    "never-wider": "What a mesh cannot express is never emitted for more requests than the policy names.",
    "one-unit-held": "An error that depends on facts holds one destination; all others go on.",
    "quiet": "What is in the clusters as the policies say is left alone: nothing is written twice.",
    "verdict": "What the mesh itself says of a policy is told: accepted, warned of or rejected.",
    "last-good": "A revision with a static error changes nothing.",
}
"""Rule of the policy API -> what it says."""

TRAPS: Mapping[str, str] = {
    "text-prefix": (
        "Istio compares path prefixes by characters, so the policy's segments need an exact match beside the"
        " prefix."
    ),
    "case-in-expressions": (
        "Istio ignores case in exact paths and prefixes only; in expressions it must be written out."
    ),
    "absent-is-empty": "For an inverted condition Istio reads an absent header as an empty one.",
    "reserved-headers": (
        "Conditions on headers named like uri, scheme, method or authority are silently ignored by Istio."
    ),
    "first-match": "Istio takes the first route that matches, the policy API the most specific one.",
    "one-route-object": (
        "Sidecars use one VirtualService for a host and drop the others, so all policies must end in one."
    ),
    "one-rule-object": (
        "Of several DestinationRules for a host only one counts, so settings and subsets must end in one."
    ),
    "port-settings-replace": (
        "Settings of one port replace those of the whole destination instead of adding to them."
    ),
    "subset-before-route": "A route to a subset that is not there yet, or not there any more, answers 503.",
    "percent-unset": "Without a percentage Istio mirrors everything and injects no fault at all.",
    "fault-without-timeout": "Istio neither cuts short nor retries what it delays or aborts itself.",
    "default-retries": (
        "Without a policy Istio tries again twice when a server cannot be reached; attempts: 0 must switch"
        " that off."
    ),
    "retry-conditions": (
        "Retries without conditions get Istio's own list, which leaves most answers of servers alone."
    ),
    "redirect-status": "Istio redirects with 301 unless told; the policy's default is 302.",
    "rewrite-replaces-match": (
        "Istio replaces exactly what it matched, so /foo and /foo/ need replacements of their own."
    ),
    "percent-sign": "Envoy reads % in a header value as the start of a variable.",
    "rewrite-by-expression": (
        "A whole path can be replaced by an expression only, in which backslashes mean something."
    ),
    "unmatched-preflight": (
        "A preflight request whose origin is not allowed is not answered by the proxy but forwarded."
    ),
    "workload-ports": "Access rules of Istio mean the pods' ports, routes mean the Service's.",
    "allow-closes-pod": "One Allow object closes every port of the pods, also those that it does not mean.",
    "empty-allow": "An Allow of which nothing is left must still be there: its absence would be open.",
    "host-with-port": "Istio compares the whole Host header, with the port that a client may have put there.",
    "anonymous-plaintext": (
        "Plaintext callers have no identity, so conditions on identities say nothing of them."
    ),
    "oldest-mode": (
        "Mesh-wide mTLS is one object of the root namespace; clients learn the mode without one of their own."
    ),
    "plaintext-alone": (
        "With DISABLE a server speaks plaintext alone, and clients learn of that earlier or later: requests"
        " between fail."
    ),
    "full-names": "Short host names mean the namespace of Istio's object, not that of the policy.",
    "locality-needs-outlier": (
        "Failover by locality has no effect until outlier detection says which pods are unhealthy."
    ),
    "normalised-paths": (
        "Access rules see the path after normalisation, so that /x/../admin cannot pass for /x."
    ),
    "several-ports": (
        "Where a Service has several ports Istio's analysis calls a destination without port an error."
    ),
    "redirect-port": "A redirect to another host drops the requested port unless Istio is told to keep it.",
    "sniffed-port": "A port without a protocol in its name is sniffed; routes for HTTP hold there too.",
}
"""Trap -> what Istio does."""
