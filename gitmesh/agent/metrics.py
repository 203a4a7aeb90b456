"""Prometheus metrics, made from the last report. Bounded: no label holds a commit, and no policy beyond
2,000.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from gitmesh import __version__
from gitmesh.model.report import Report, State, verdict_counts
from gitmesh.status.states import policy_states

MOST_POLICIES = 2000
"""Above this many policies their own series are left out (docs/reliability.md W13)."""
_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics(Collector):
    """A publisher that keeps the last report and shows it to Prometheus."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self._report: Report | None = None
        self._cycles = Counter(
            "gitmesh_reconcile", "Completed cycles by result.", ["result"], registry=self.registry
        )
        self._seconds = Histogram(
            "gitmesh_reconcile_duration_seconds",
            "Duration of the phases of a cycle.",
            ["phase"],
            registry=self.registry,
            buckets=_BUCKETS,
        )
        self._writes = Counter(
            "gitmesh_writes",
            "Writes to clusters by action and result.",
            ["cluster", "action", "result"],
            registry=self.registry,
        )
        self._heals = Counter(
            "gitmesh_drift_healed", "Objects whose drift was healed.", ["cluster"], registry=self.registry
        )
        self._reviews = Counter(
            "gitmesh_reviews",
            "Reviews of pull requests by what became of them.",
            ["result"],
            registry=self.registry,
        )
        self._review_seconds = Histogram(
            "gitmesh_review_seconds", "Duration of a review.", registry=self.registry, buckets=_BUCKETS
        )
        self.registry.register(self)

    def publish(self, report: Report) -> Report:
        """Count the cycle and keep its report for the next scrape."""
        self._cycles.labels(_result(report)).inc()
        for phase, seconds in report.seconds.items():
            self._seconds.labels(phase).observe(seconds)
        for name, result in report.clusters.items():
            drifted = {change.key for change in (result.plan.writes if result.plan else ()) if change.drift}
            for outcome in result.outcomes:
                self._writes.labels(
                    # What waits for a deletion was taken by the cluster, and has not failed.
                    name,
                    outcome.action.value,
                    "ok" if outcome.ok or outcome.pending else "failed",
                ).inc()
            self._heals.labels(name).inc(
                len(drifted & {outcome.key for outcome in result.outcomes if outcome.ok})
            )
        self._report = report
        return report

    def failed(self) -> None:
        """A cycle ended in a defect of ours."""
        self._cycles.labels("bug").inc()

    def reviewed(self, result: str, seconds: float) -> None:
        """A pull request was reviewed, or was to be."""
        self._reviews.labels(result).inc()
        self._review_seconds.observe(seconds)

    def collect(self) -> Iterator[Metric]:
        """The gauges of the last report."""
        info = InfoMetricFamily("gitmesh_build", "Version of the agent.")
        info.add_metric([], {"version": __version__})
        yield info
        if self._report is not None:
            for gauges in (_sources, _clusters, _holds, _objects, _findings, _policies):
                yield from gauges(self._report)


def _result(report: Report) -> str:
    if report.unreachable or any(source.unavailable for source in report.sources.values()):
        return "incomplete"
    return "findings" if any(diagnostic.is_error for diagnostic in report.diagnostics) else "clean"


def _sources(report: Report) -> Iterator[Metric]:
    yield _family(
        "gitmesh_source_up",
        "Whether the source answers.",
        ["source"],
        ((s.name, not s.unavailable) for s in report.sources.values()),
    )
    yield _family(
        "gitmesh_source_refused",
        "Whether the tip was read and is refused or held.",
        ["source"],
        ((s.name, s.refused and not s.unavailable) for s in report.sources.values()),
    )


def _clusters(report: Report) -> Iterator[Metric]:
    yield _family(
        "gitmesh_cluster_up",
        "Whether the cluster answered.",
        ["cluster"],
        ((n, r.state is not State.UNREACHABLE) for n, r in report.clusters.items()),
    )
    yield _family(
        "gitmesh_cluster_state",
        "State of the cluster: 1 for the one that it is in.",
        ["cluster", "state"],
        ((n, s.value, r.state is s) for n, r in report.clusters.items() for s in State),
    )


def _holds(report: Report) -> Iterator[Metric]:
    """Every hold has an age: the time now less this."""
    holds = [
        (name, hold)
        for name, result in report.clusters.items()
        for hold in (result.ledger.holds.items() if result.ledger else ())
    ]
    lasting = [(name, key, hold) for name, (key, hold) in holds if not hold.approved]
    names = report.clusters
    yield _family(
        "gitmesh_holds", "What is left as it is until a doubt ends or is approved.", ["cluster"],
        ((name, sum(of == name for of, _, _ in lasting)) for name in names),
    )  # fmt: skip
    yield _family(
        "gitmesh_hold_since_seconds", "When a hold began, in seconds since the epoch.", ["cluster", "hold"],
        ((name, key, hold.since) for name, key, hold in lasting),
    )  # fmt: skip


def _objects(report: Report) -> Iterator[Metric]:
    plans = [(name, result.plan) for name, result in report.clusters.items() if result.plan]
    yield _family(
        "gitmesh_objects", "Objects by what the last plan said of them.", ["cluster", "action"],
        ((name, action.value, count) for name, plan in plans for action, count in plan.counts().items()),
    )  # fmt: skip
    yield _family(
        "gitmesh_drift_objects", "Objects that somebody changed, in the last cycle.", ["cluster"],
        ((name, len({c.key for c in plan.writes if c.drift})) for name, plan in plans),
    )  # fmt: skip
    verdicts = ((name, verdict_counts(result)) for name, result in report.clusters.items())
    yield _family(
        "gitmesh_object_verdicts", "Objects by what their mesh says of them, in the last cycle.",
        ["cluster", "verdict"],
        ((name, verdict.value, count) for name, counts in verdicts for verdict, count in counts.items()),
    )  # fmt: skip


def _findings(report: Report) -> Iterator[Metric]:
    tally = Tally((d.code, d.severity.value) for d in report.diagnostics)
    yield _family(
        "gitmesh_findings",
        "Findings by code and level.",
        ["code", "level"],
        ((*key, n) for key, n in sorted(tally.items())),
    )


def _policies(report: Report) -> Iterator[Metric]:
    kinds = Tally(policy.kind for policy in report.policies)
    yield _family("gitmesh_policies", "Policies in force by kind.", ["kind"], sorted(kinds.items()))
    # Each label's value is a series of its own, and memory of every Prometheus that scrapes us.
    if len(report.policies) <= MOST_POLICIES:
        states = policy_states(report)
        yield _family(
            "gitmesh_policy_info", "One series a policy; left out above 2,000 policies.",
            ["kind", "namespace", "name", "state"],
            ((*policy.split("/"), state.value, 1) for policy, state in sorted(states.items())),
        )  # fmt: skip


def _family(name: str, text: str, labels: list[str], rows: Iterable[tuple[object, ...]]) -> Metric:
    """A gauge; the last element of each row is its value, the others its labels."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for *names, value in rows:
        # Rows end in numbers.
        family.add_metric([str(n) for n in names], float(value))  # type: ignore[arg-type]
    return family
