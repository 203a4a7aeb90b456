"""The state of each policy in each cluster, told from a report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set

from msgspec import Struct

from gitmesh.diagnostics import Diagnostic
from gitmesh.model.manifests import Build, Manifest
from gitmesh.model.objects import ObjectKey
from gitmesh.model.plan import Change
from gitmesh.model.report import ClusterResult, Report, State, Verdict, worst
from gitmesh.status.bearing import IDLE, idle_policies, state_of

_VERDICTS = (Verdict.ACCEPTED, Verdict.UNKNOWN, Verdict.WARNED, Verdict.REJECTED)
_AT_LARGE = ""
"""In place of a policy, where a finding is about none in particular."""


class PolicyStatus(Struct, frozen=True, kw_only=True):
    """How one policy stands in one cluster. `commit` wrote its objects last ("" where that is not one
    commit).
    """

    state: State
    objects: tuple[ObjectKey, ...] = ()
    verdict: Verdict | None = None
    commit: str = ""
    codes: tuple[str, ...] = ()


class ClusterView:
    """One cluster's result, indexed by policy. What did not move since the view of the run before is taken
    from it.

    `moved` are the objects that did: their content, what became of them, or who wrote them last.
    """

    def __init__(
        self, result: ClusterResult, said: Mapping[str, list[Diagnostic]], before: ClusterView | None = None
    ) -> None:
        """`said`: policy -> its findings that concern this cluster; "" -> those on the cluster as a whole."""
        self._result, self._said = result, said
        self.manifests = result.build.manifests if result.build else {}
        self._entries = result.ledger.entries if result.ledger else {}
        self._troubles = _troubles(result)
        self.waiting = _waiting(result.build) if result.build else {}
        self.moved = self._moved(before) if before else self.manifests.keys()
        stays = before is not None and all(self._behind(key) == before._behind(key) for key in self.moved)
        self.objects: Mapping[str, Sequence[ObjectKey]] = (
            before.objects if before and stays else _objects_by_policy(self.manifests)
        )
        self._standings: dict[str, PolicyStatus | None] = self._kept(before) if before else {}

    def _moved(self, before: ClusterView) -> Set[ObjectKey]:
        """Objects of which something is different now."""
        moved = self.manifests.keys() ^ before.manifests.keys()
        moved |= {key for key, _ in self._troubles.items() ^ before._troubles.items()}
        pairs = [
            (self.manifests, before.manifests),
            (self._entries, before._entries),
            (self._result.verdicts, before._result.verdicts),
        ]
        for now, then in pairs:
            # By identity first: of tens of thousands of objects nearly all are the ones of the run before.
            if now is not then:
                moved |= {
                    key
                    for key in self.manifests
                    if (a := now.get(key)) is not (b := then.get(key)) and a != b
                }
        return moved

    def _behind(self, key: ObjectKey) -> tuple[str, ...]:
        return self.manifests[key].policies if key in self.manifests else ()

    def _kept(self, before: ClusterView) -> dict[str, PolicyStatus | None]:
        """The standings of policies of which nothing moved."""
        if _of_all(self._result) or _of_all(before._result):
            return {}
        policies = before._standings.keys() | self._said.keys()
        touched = {policy for key in self.moved for policy in (*self._behind(key), *before._behind(key))}
        touched |= {policy for policy in policies if self._said.get(policy) != before._said.get(policy)}
        touched |= {policy for policy, _ in self.waiting.items() ^ before.waiting.items()}
        # Policies that wait show the codes of what is said of the cluster as a whole.
        if self._said.get(_AT_LARGE) != before._said.get(_AT_LARGE):
            touched |= self.waiting.keys()
        return {policy: standing for policy, standing in before._standings.items() if policy not in touched}

    def standing(self, policy: str) -> PolicyStatus | None:
        """None where the policy has nothing to do with this cluster."""
        if policy not in self._standings:
            self._standings[policy] = self._standing(policy)
        return self._standings[policy]

    def _standing(self, policy: str) -> PolicyStatus | None:
        objects, said = self.objects.get(policy, ()), self._said.get(policy, ())
        waits = policy in self.waiting
        if not objects and not waits and not any(d.cluster and d.code not in IDLE for d in said):
            return None
        return PolicyStatus(
            state=self._state(policy, objects, said),
            objects=tuple(objects),
            verdict=self._verdict(objects),
            commit=self._commit(objects),
            codes=tuple(sorted({d.code for d in said or (self._at_large() if waits else ())})),
        )

    def _state(self, policy: str, objects: Iterable[ObjectKey], said: Iterable[Diagnostic]) -> State:
        if state := _of_all(self._result):
            return state
        states = [self._troubles[key] for key in objects if key in self._troubles]
        states += [self.waiting[policy]] if policy in self.waiting else []
        return worst([*states, *(state for d in said if (state := state_of(d)))])

    def _at_large(self) -> list[Diagnostic]:
        """What is said of the cluster as a whole and keeps policies waiting there."""
        return [one for one in self._said.get(_AT_LARGE, ()) if state_of(one)]

    def _verdict(self, objects: Iterable[ObjectKey]) -> Verdict | None:
        return max(filter(None, map(self.verdict_of, objects)), key=_VERDICTS.index, default=None)

    def _commit(self, objects: Iterable[ObjectKey]) -> str:
        commits = {self.commit_of(key) for key in objects}
        return commits.pop() if len(commits) == 1 else ""

    def verdict_of(self, key: ObjectKey) -> Verdict | None:
        """What the mesh said of an object; None where there is nothing to say, as it does not exist yet."""
        return self._result.verdicts[key][0] if key in self._result.verdicts else None

    def commit_of(self, key: ObjectKey) -> str:
        """The commit that last wrote an object."""
        entry = self._entries.get(key)
        return entry.commit if entry else ""


def _of_all(result: ClusterResult) -> State | None:
    """The state of every policy in a cluster that was not compared with what is wanted: it did not answer, or
    is another one.
    """
    is_out = result.state is State.UNREACHABLE or (result.state is State.HELD and result.plan is None)
    return result.state if is_out else None


def by_policy(diagnostics: Iterable[Diagnostic]) -> Mapping[str, Mapping[str, list[Diagnostic]]]:
    """Cluster ("" = none in particular) -> policy -> findings, of a cluster also those on no policy."""
    found: dict[str, dict[str, list[Diagnostic]]] = {}
    for diagnostic in diagnostics:
        if diagnostic.policy or diagnostic.cluster:
            found.setdefault(diagnostic.cluster, {}).setdefault(diagnostic.policy, []).append(diagnostic)
    return found


def views(
    report: Report, before: Mapping[str, ClusterView] | None = None
) -> tuple[Mapping[str, list[Diagnostic]], Mapping[str, ClusterView]]:
    """The findings on policies that concern no cluster in particular, and one view for each cluster.

    `before` are the views of an earlier report, to save what did not move since.
    """
    said, known = by_policy(report.diagnostics), before or {}
    general = said.get("", {})
    return general, {
        name: ClusterView(result, _joined(general, said.get(name, {})), known.get(name))
        for name, result in sorted(report.clusters.items())
    }


def _joined(
    general: Mapping[str, list[Diagnostic]], own: Mapping[str, list[Diagnostic]]
) -> Mapping[str, list[Diagnostic]]:
    if not own or not general:
        return own or general
    return {policy: [*general.get(policy, ()), *own.get(policy, ())] for policy in {**general, **own}}


def overall(said: Iterable[Diagnostic], standings: Iterable[PolicyStatus], *, idle: bool) -> State:
    """The state of a policy: the worst of its clusters and of the findings that concern no cluster in
    particular. One that acts on nothing anywhere (`idle`: somewhere it does) is in force nowhere, so it is
    not Synced."""
    told, stands = tuple(said), tuple(standings)
    waiting = (State.PENDING,) if idle and not any(standing.objects for standing in stands) else ()
    return worst(
        [*waiting, *(state for d in told if (state := state_of(d))), *(standing.state for standing in stands)]
    )


def policy_states(report: Report) -> Mapping[str, State]:
    """The state of every policy in force."""
    (general, clusters), idle = views(report), idle_policies(report.diagnostics)
    return {
        policy.id: overall(
            general.get(policy.id, ()),
            filter(None, (view.standing(policy.id) for view in clusters.values())),
            idle=policy.id in idle,
        )
        for policy in report.policies
    }


def standing_changes(result: ClusterResult) -> list[Change]:
    """Changes that were planned and did not come about: what still differs, the first of each object."""
    done = {outcome.key for outcome in result.outcomes if outcome.ok or outcome.pending}
    found: dict[ObjectKey, Change] = {}
    for change in result.plan.writes if result.plan else ():
        if change.key not in done:
            found.setdefault(change.key, change)
    return [found[key] for key in sorted(found)]


def write_state(change: Change) -> State:
    """What a write says that did not come about: only where the cluster moved, and not Git, it is drift; else
    what is new waits to be written.
    """
    return State.DRIFTED if change.drift else State.PENDING


def _waiting(built: Build) -> Mapping[str, State]:
    """The policies that are not in force, none of them or not all, whatever their objects: held, or, in a
    cluster without a mesh, waiting for one."""
    meshless = () if built.meshes else (policy for unit in built.units for policy in unit.policies)
    return {**dict.fromkeys(meshless, State.PENDING), **dict.fromkeys(built.waiting, State.HELD)}


def _objects_by_policy(manifests: Mapping[ObjectKey, Manifest]) -> Mapping[str, list[ObjectKey]]:
    index: dict[str, list[ObjectKey]] = {}
    for key in sorted(manifests):
        for policy in manifests[key].policies:
            index.setdefault(policy, []).append(key)
    return index


def _troubles(result: ClusterResult) -> Mapping[ObjectKey, State]:
    """Objects that are not as they should be."""
    troubles: dict[ObjectKey, list[State]] = {}
    for change in standing_changes(result):
        troubles.setdefault(change.key, []).append(write_state(change))
    for change in result.plan.changes if result.plan else ():
        if change.is_left:
            troubles.setdefault(change.key, []).append(State.HELD)
        elif change.staged:
            troubles.setdefault(change.key, []).append(State.PENDING)
    for outcome in result.outcomes:
        if not outcome.ok:
            troubles.setdefault(outcome.key, []).append(State.PENDING if outcome.pending else State.FAILED)
    return {key: worst(states) for key, states in troubles.items()}
