"""Access that is held still narrows (design law 2): what policies in force withdraw goes, what they newly
deny comes, and only the part of those policies stays whose errors hold it.

What is live bounds it: nothing is granted meanwhile, and no Deny goes. Facts that are not known make no error
of a policy, and narrow nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, finding
from gitmesh.model.objects import canonical, decode, digest
from gitmesh.planning.adapted import Adapted
from gitmesh.planning.ownership import is_ours, policies_of, writers
from gitmesh.planning.retaining import as_manifest, items_of, parts_of_absent, with_owners, with_spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitmesh.model.ledger import Entry, Ledger
    from gitmesh.model.manifests import Build, Manifest, Narrowing
    from gitmesh.model.objects import ObjectKey
    from gitmesh.model.plan import Live, Observed
    from gitmesh.planning.revisions import Revisions
    from gitmesh.ports import Translator


def narrow(
    built: Build,
    observed: Observed,
    ledger: Ledger,
    revisions: Revisions,
    translators: Mapping[str, Translator],
) -> Adapted:
    """The build with what may become narrower of its held objects; the same build where nothing may."""
    work = _Narrowing(built, ledger, revisions, translators)
    manifests = {
        key: made
        for key, one in sorted(built.narrowing.items())
        if key in built.held and (made := work.narrowed(key, one, observed.live.get(key))) is not None
    }
    if not manifests:
        return Adapted(built=built, diagnostics=tuple(work.told))
    all_wanted = dict(sorted({**built.manifests, **manifests}.items()))
    narrower = replace(built, manifests=all_wanted, held=built.held - manifests.keys())
    return Adapted(built=narrower, diagnostics=tuple(work.told))


class _Narrowing:
    """One cluster's held objects, and what is said of those that cannot become narrower."""

    def __init__(
        self, built: Build, ledger: Ledger, revisions: Revisions, translators: Mapping[str, Translator]
    ) -> None:
        self.cluster, self.ledger, self.revisions = built.cluster, ledger, revisions
        self.by_kind = writers(translators)
        self.policies = {policy.id: policy for policy in revisions.policies}
        self.told: list[Diagnostic] = []

    def narrowed(self, key: ObjectKey, one: Narrowing, live: Live | None) -> Manifest | None:
        """The object as it is to be; None where it stays as it is, or away."""
        translator = self.by_kind[key[:2]]
        wanted = decode(one.wanted.body) if one.wanted else None
        if live is None:
            spec = translator.narrowed(None, wanted, frozenset())
            return with_spec(one.wanted, spec) if one.wanted and spec is not None else None
        if live.deleting or not is_ours(live, self.cluster, self.ledger, rebuilt=not self.ledger.entries):
            return None
        behind = frozenset(policies_of(live))
        withheld = one.withheld | self._unread(behind)
        if wanted is None and withheld.isdisjoint(behind):
            # Nobody decides who may call: all may as far as is wanted, so what is live is the narrower.
            return None
        owners = self._owners(live, behind, withheld)
        body = decode(live.body)
        spec = translator.narrowed(body, wanted, None if owners is None else frozenset(owners))
        if owners is None:
            self._tell(live, one, behind - withheld)
        if spec is None or spec == body.get("spec"):
            return None
        policies = (*(one.wanted.policies if one.wanted else ()), *(behind & withheld))
        made = with_spec(one.wanted or as_manifest(live, translator), spec, tuple(sorted({*policies})))
        return with_owners(made, owners or {}, self.policies)

    def _unread(self, behind: frozenset[str]) -> frozenset[str]:
        """The policies that no source in force has, while not every source is."""
        return behind - self.revisions.homes.keys() if self.revisions.absent else frozenset()

    def _owners(
        self, live: Live, behind: frozenset[str], withheld: frozenset[str]
    ) -> Mapping[str, tuple[str, ...]] | None:
        """The withheld policies' rules: digest -> whose they are; None where they cannot be told from those
        of others.
        """
        entry = self.ledger.entries.get(live.key)
        if entry is None or not entry.parts:
            mine, items = tuple(sorted(behind & withheld)), items_of(live)
            if behind <= withheld:
                return dict.fromkeys((digest(canonical(item)) for item in items), mine)
            return None if mine and items else {}
        return self._known(entry, withheld)

    def _known(self, entry: Entry, withheld: frozenset[str]) -> Mapping[str, tuple[str, ...]] | None:
        found: dict[str, tuple[str, ...]] = {}
        if self.revisions.absent:
            found = dict.fromkeys(parts_of_absent(entry, self.revisions), ())
        for source, policies in entry.parts.items():
            if source in self.revisions.in_force_sources and "" in policies:
                return None
            for policy in sorted(withheld & policies.keys()):
                for part in policies[policy]:
                    found[part] = (*found.get(part, ()), policy)
        return found

    def _tell(self, live: Live, one: Narrowing, others: frozenset[str]) -> None:
        """Grants that are withdrawn and stay, as nobody knows which they are."""
        withdrawn = sorted(others.difference(one.wanted.policies if one.wanted else ()))
        named = [self.policies[name] for name in sorted(one.withheld & self.policies.keys())]
        if not withdrawn or not named:
            return
        text = (
            f"{live.key} in {self.cluster} stays as it is, with what {', '.join(withdrawn)} said: it is not"
            f" known which of its rules are those of {named[0].id}, whose errors hold it"
        )
        at, policy = named[0].location, named[0].id
        self.told.append(finding("GM413", text, at=at, policy=policy, cluster=self.cluster))
