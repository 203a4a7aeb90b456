"""Access that is held still narrows (design law 2): what policies in force withdraw goes, what they newly
deny comes, and only the part of those policies stays whose errors hold it.

What is live bounds it: nothing is granted meanwhile, and no Deny goes. Facts that are not known make no error
of a policy, and narrow nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from gitmesh.diagnostics import Diagnostic, Severity, finding
from gitmesh.model.admission import Effect
from gitmesh.model.objects import decode
from gitmesh.planning.adapted import Adapted
from gitmesh.planning.electing import Writers
from gitmesh.planning.ownership import fields_in, is_ours, policies_behind
from gitmesh.planning.parts import parts_in, parts_of_absent, spec_of
from gitmesh.planning.retaining import as_manifest, with_owners, with_spec, without_items

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
        self.writers = Writers(translators, built.meshes, ledger.entries, built.manifests)
        self.policies = {policy.id: policy for policy in revisions.policies}
        self._exempting = frozenset(
            policy.id for policy in revisions.policies if policy.kind == "VirtualMesh"
        )
        self.told: list[Diagnostic] = []

    def narrowed(self, key: ObjectKey, one: Narrowing, live: Live | None) -> Manifest | None:
        """The object as it is to be; None where it stays as it is, or away."""
        translator = self.writers[key]
        if live is not None and fields_in(live, self.ledger):
            return None  # what a field holds is all of it or nothing: there is no part to take away
        wanted = decode(one.wanted.body) if one.wanted else None
        # Nothing of ours is there that could be narrowed. What narrows by being made, as a Deny does, is
        # made.
        if live is None or live.deleting or not self._is_ours(live):
            return one.wanted if translator.narrowed(None, wanted, frozenset()) is not None else None
        behind = policies_behind(live, self.ledger.entries.get(key))
        # What a source that cannot be read granted is not withdrawn: it may well still say so.
        withheld = one.withheld | self._unread(behind)
        if wanted is None and withheld.isdisjoint(behind):
            # Nobody decides who may call: all may as far as is wanted, so what is live is the narrower.
            return None
        # Which rules are whose is needed before the comparison: those of faulty policies stay, those of
        # others follow.
        owners = self._owners(live, behind, withheld)
        # An Allow ends what a default exempts, a withheld one too: that is no wish where it is not live.
        wanted = decode(without_items(one.wanted, self._exempting - behind).body) if one.wanted else None
        body = decode(live.body)
        spec = translator.narrowed(body, wanted, None if owners is None else frozenset(owners))
        denies = translator.effect(None, body) is Effect.NARROWS
        if spec is None:
            self._tell_grants(live, one, behind - withheld)
        elif denies and owners is not None:
            self._tell_denies(live, one, parts_in(spec) - parts_in(spec_of(wanted)) - owners.keys())
        # A Deny is all that is wanted of it, and more; an Allow is not, so it is held where it stays.
        if spec is None or (spec == spec_of(body) and not (denies and wanted)):
            return None
        policies = (*(one.wanted.policies if one.wanted else ()), *(behind & withheld))
        made = with_spec(
            one.wanted or as_manifest(live, translator, self.ledger.entries.get(key)),
            spec,
            tuple(sorted({*policies})),
        )
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
            mine = tuple(sorted(behind & withheld))
            items = parts_in(spec_of(decode(live.body)))
            if behind <= withheld:
                return dict.fromkeys(items, mine)
            return None if mine and items else {}
        return self._known(entry, withheld)

    def _known(self, entry: Entry, withheld: frozenset[str]) -> Mapping[str, tuple[str, ...]] | None:
        found: dict[str, tuple[str, ...]] = {}
        if self.revisions.absent:
            found = dict.fromkeys(parts_of_absent(entry, self.revisions), ())
        for source, policies in entry.parts.items():
            # Rules of a source without policy: written by a version that did not tell policies of one
            # source apart.
            if source in self.revisions.in_force_sources and "" in policies:
                return None
            for policy in sorted(withheld & policies.keys()):
                for part in policies[policy]:
                    found[part] = (*found.get(part, ()), policy)
        return found

    def _is_ours(self, live: Live) -> bool:
        return is_ours(live, self.cluster, self.ledger, rebuilt=not self.ledger.entries)

    def _tell_grants(self, live: Live, one: Narrowing, others: frozenset[str]) -> None:
        """Grants that are withdrawn and stay, as nobody knows which they are."""
        withdrawn = sorted(others.difference(one.wanted.policies if one.wanted else ()))
        text = (
            f"{live.key} in {self.cluster} stays as it is, with what {', '.join(withdrawn)} granted: it is"
            " not known which of its rules are whose"
        )
        if withdrawn:
            self._tell(text, one, Severity.ERROR)

    def _tell_denies(self, live: Live, one: Narrowing, staying: frozenset[str]) -> None:
        """Denies that are withdrawn and stay, as without them more would be admitted."""
        if staying:
            text = f"{live.key} in {self.cluster} goes on to deny what policies in force no longer deny"
            self._tell(text, one, Severity.WARNING)

    def _tell(self, text: str, one: Narrowing, severity: Severity) -> None:
        # One policy is named: the finding is about the object, and mending any error changes what is said.
        for policy in (self.policies[name] for name in sorted(one.withheld & self.policies.keys())[:1]):
            text = f"{text}, until the errors of {policy.id} are mended"
            given: dict[str, Any] = {"policy": policy.id, "cluster": self.cluster, "severity": severity}
            self.told.append(finding("GM413", text, at=policy.location, **given))
