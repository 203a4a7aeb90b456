"""The story that the demo tells. Every chapter is a real run; what it claims is checked, and a claim that
fails ends it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import click
from msgspec import Struct
from msgspec.structs import replace

from gitmesh.cli import configuration
from gitmesh.cli.demo.world import DemoFolder, edit
from gitmesh.cli.exits import exit_code
from gitmesh.cli.session import execute, whole_job
from gitmesh.model.plan import Action
from gitmesh.model.report import Report, Stage, State
from gitmesh.render.changes import object_changes
from gitmesh.render.paint import Paint
from gitmesh.render.summary import summarise
from gitmesh.render.text import report_text

_REVIEWS = ("east", "bookshop", "virtualservice.networking.istio.io", "reviews")


class UnexpectedError(click.ClickException):
    """Something that the demo claims did not happen."""

    exit_code = 3


class Story(Struct):
    """The teller: `say` prints a line, `paint` colours it; `store` is where fetched repositories are kept."""

    world: DemoFolder
    store: Path
    say: Callable[[str], None]
    paint: Paint
    chapter: int = 0

    def tell(self) -> None:
        """All chapters. Raises UnexpectedError where one does not go as it says."""
        for chapter in (self.first_sync, self.shift_traffic, self.heal, self.refuse, self.status):
            chapter()

    # --- chapters

    def first_sync(self) -> None:
        """The policies reach both clusters."""
        self.heading("The policies reach two clusters")
        self.say(
            "A git repository with a bookshop's policies, and the clusters east and west, both on Istio."
        )
        report = self.sync()
        counts = summarise(report).objects
        self.expect(
            counts[Action.CREATE] > 0 and set(self.states(report).values()) == {State.SYNCED},
            "both clusters are synced",
        )
        self.expect(self.live.exists(), "the VirtualService of reviews is written")
        self.expect(not summarise(self.plan()).differs, "nothing is left to do")

    def shift_traffic(self) -> None:
        """A commit changes weights; the plan says which field of which object, and from which line."""
        self.heading("A commit shifts traffic: from 10 to 30 percent for reviews v2")
        for old, new in (("weight: 90", "weight: 70"), ("weight: 10", "weight: 30")):
            edit(self.world.policy("reviews.yaml"), old, new)
            self.say(f"  policies/reviews.yaml: {old} -> {new}")
        self.command('git commit -am "More traffic to reviews v2" && git push')
        self.world.commit("More traffic to reviews v2")
        plan = self.plan()
        self.show("gitmesh diff", plan)
        changed = [change for result in plan.clusters.values() for change in object_changes(result)]
        touched = {(change.action, change.key.kind, change.key.name) for change in changed}
        self.expect(
            touched == {(Action.UPDATE, "VirtualService", "reviews")}, "only the routes of reviews change"
        )
        self.expect(
            all(field.origin for change in changed for field in change.fields),
            "every field leads to its line",
        )
        self.sync()
        self.expect("weight: 90" not in self.live.read_text(encoding="utf-8"), "the new weights are live")

    def heal(self) -> None:
        """Somebody edits a live object; the next run names the field and puts it back."""
        self.heading("A hand edit is healed")
        before = self.live.read_bytes()
        edit(self.live, "timeout: 3s", "timeout: 30s")
        self.say(f"  somebody edits {self.live.relative_to(self.world.root)}: timeout: 3s -> 30s")
        report = self.sync()
        self.expect(
            all(change.drift for change in object_changes(report.clusters["east"])), "it is told as drift"
        )
        healed = [field for change in object_changes(report.clusters["east"]) for field in change.fields]
        self.expect(
            [field.path.rpartition(".")[2] for field in healed] == ["timeout"], "the edited field is named"
        )
        self.expect(self.live.read_bytes() == before, "the object is as it was")

    def refuse(self) -> None:
        """A bad commit is refused as a whole; the last good revision stays in force, even against drift."""
        self.heading("A bad commit is refused; the last good state stays")
        before = self.live.read_bytes()
        edit(self.world.policy("ratings.yaml"), "timeout: 1s", "timout: 1s")
        self.command('git commit -am "Shorter timeout" && git push')
        bad = self.world.commit("Shorter timeout")
        report = self.sync(code=2)
        source = report.sources["policies"]
        self.expect(
            source.refused and source.seen == bad and source.accepted not in ("", bad),
            "the commit is refused",
        )
        mistakes = {(one.name, one.at.path) for one in report.diagnostics if one.at}
        self.expect(("UnknownField", "policies/ratings.yaml") in mistakes, "its mistake is named")
        self.expect(
            self.live.read_bytes() == before and not summarise(report).differs,
            "the clusters stay as they were",
        )
        edit(self.world.policy("ratings.yaml"), "timout: 1s", "timeout: 1s")
        self.command('git commit -am "Mend the typing error" && git push')
        self.world.commit("Mend the typing error")
        self.sync()

    def status(self) -> None:
        """What happened is in the repository, too."""
        self.heading("Everything that happened is in Git")
        self.command("git log --reverse --format=%s gitmesh-status")
        log = self.world.status_log()
        for line in log:
            self.say(f"  {line}")
        self.expect(
            len(log) == 5 and all("2/2" in line for line in log),
            "each sync that changed something is one commit",
        )

    # --- how it is told

    @property
    def live(self) -> Path:
        """The live VirtualService of reviews in east."""
        return self.world.live(*_REVIEWS)

    def heading(self, text: str) -> None:
        """The title of a chapter."""
        self.chapter += 1
        self.say(f"\n{self.paint('strong', f'{self.chapter}. {text}')}")

    def command(self, text: str) -> None:
        """What a user would have typed."""
        self.say(self.paint("faint", f"$ {text}"))

    def sync(self, code: int = 0) -> Report:
        """Run `gitmesh sync` and show its answer."""
        report = self.run(Stage.APPLY)
        self.show("gitmesh sync", report)
        self.expect(exit_code(report) == code, f"`gitmesh sync` ends with exit code {code}")
        return report

    def plan(self) -> Report:
        """Run as `gitmesh diff` does."""
        return self.run(Stage.PLAN)

    def run(self, until: Stage) -> Report:
        """One run with fresh adapters, as a new process would make it."""
        job = whole_job(configuration.read(self.world.config, quiet=True), self.store)
        return execute(job if until is Stage.APPLY else replace(job, publishers=()), until)

    def show(self, command: str, report: Report) -> None:
        """A command and its answer."""
        self.command(command)
        self.say(report_text(report, paint=self.paint).rstrip("\n"))

    def states(self, report: Report) -> Mapping[str, State]:
        """Cluster -> state."""
        return {name: result.state for name, result in report.clusters.items()}

    def expect(self, happened: bool, claim: str) -> None:
        """Hold the demo to what it says."""
        if not happened:
            raise UnexpectedError(
                f"the demo did not go as it should: {claim!r} is not so (chapter {self.chapter})"
            )
