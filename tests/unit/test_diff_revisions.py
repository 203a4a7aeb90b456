"""`gitmesh diff --base`: two commits of a checkout beside each other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.unit.commandline import Run, runner

EXAMPLE = Path(__file__).resolve().parents[2] / "policies-example"
OPENS = """\
apiVersion: gitmesh.io/v1alpha1
kind: AccessPolicy
metadata: {name: open, namespace: bookshop}
spec: {sources: [{all: true}], destinations: [{name: ratings}]}
"""


def git(*arguments: str) -> str:
    """Run git in the checkout, without the user's settings."""
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    who = ["-c", "user.name=T", "-c", "user.email=t@example.com"]
    return subprocess.run(
        ["git", *who, *arguments], env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()


def commit(message: str = "x") -> str:
    """Commit everything; the id."""
    git("add", "--all")
    git("commit", "--quiet", "--allow-empty", "-m", message)
    return git("rev-parse", "HEAD")


def edit(path: str, old: str, new: str) -> None:
    """Replace text in a file that has it."""
    content = Path(path).read_text()
    assert old in content
    Path(path).write_text(content.replace(old, new))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Command lines in a checkout of the example with the branch `main`, on a branch `feature`."""
    shutil.copytree(EXAMPLE, tmp_path / "mesh")
    call = runner(tmp_path / "mesh", capsys, monkeypatch)
    git("init", "--quiet", "--template=", "-b", "main", ".")
    commit("first")
    git("checkout", "--quiet", "-b", "feature")
    return call


def document(run: Run, *more: str) -> Any:
    """What `diff --base main -o json` says."""
    return json.loads(run("diff", "--base", "main", "-o", "json", *more)[1])


def test_nothing_changes_between_a_commit_and_itself(run: Run) -> None:
    code, out, _ = run("diff", "--base", "main")
    assert (code, "nothing changes in 2 clusters" in out) == (0, True)


def test_a_comment_in_a_policy_changes_nothing(run: Run) -> None:
    edit("policies/reviews.yaml", "apiVersion", "# moved\n\napiVersion")
    commit()
    code, out, _ = run("diff", "--base", "main")
    assert (code, "nothing changes in 2 clusters" in out) == (0, True)


def test_a_changed_field_is_told_by_what_it_means_and_leads_to_its_line(run: Run) -> None:
    edit("policies/reviews.yaml", "timeout: 3s", "timeout: 5s")
    commit()
    code, out, _ = run("diff", "--base", "main")
    assert code == 1
    assert "changed  bookshop/reviews timeout: 3s -> 5s   policies/reviews.yaml:15" in out
    assert "spec.http[1].timeout: 3s -> 5s   policies/reviews.yaml:15" in out
    assert "0 to create, 2 to change, 0 to delete in 2 clusters" in out


def test_protection_that_weakens_is_a_high_risk_with_its_line(run: Run) -> None:
    edit("policies/mesh.yaml", "Strict", "Permissive")
    commit()
    found = document(run)
    assert found["risk"]["level"] == "high"
    (reason,) = [one for one in found["risk"]["reasons"] if "mTLS" in one["text"]]
    assert reason["text"] == "mesh istio: mTLS: Strict -> Permissive"
    assert [one["line"] for one in reason["origins"]] == [12]


def test_what_live_clusters_differ_in_already_is_told_apart(run: Run) -> None:
    commit()
    found = document(run)
    assert all(not one["objects"] for one in found["clusters"])
    assert {one["cluster"] for one in found["drift"]} == {"east", "west"}
    assert "Not of this change" in run("diff", "--base", "main")[1]


def test_live_drift_does_not_touch_the_comparison(run: Run) -> None:
    """Deterministic: whatever the live clusters hold of ours."""
    edit("policies/reviews.yaml", "timeout: 3s", "timeout: 5s")
    commit()
    before = document(run)
    Path("clusters/east/bookshop/mine.yaml").write_text(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: mine, namespace:"
        " bookshop}\nspec: {hosts: [x.example]}\n"
    )
    after = document(run)
    assert {**before, "drift": []} == {**after, "drift": []}


def test_a_new_object_shows_its_body_where_all_is_asked_for(run: Run) -> None:
    Path("policies/defaults.yaml").unlink()
    Path("policies/reviews.yaml").unlink()
    base = commit("without")
    git("checkout", "--quiet", "main", "--", "policies")
    commit()
    assert "http:" not in run("diff", "--base", base)[1]
    assert "+ VirtualService bookshop/reviews" in run("diff", "--base", base)[1]
    assert "http:" in run("diff", "--base", base, "--full")[1]
    assert "+   http:" in run("diff", "--base", base, "-o", "markdown")[1]


def test_a_new_object_that_is_alike_in_two_clusters_is_shown_once(run: Run) -> None:
    Path("policies/deny.yaml").write_text(OPENS.replace("spec: {", "spec: {action: Deny, "))
    commit()
    out = run("diff", "--base", "main", "-o", "markdown")[1]
    (summary,) = [line for line in out.splitlines() if "(+)</summary>" in line]
    assert summary.startswith("<details><summary>east, west: AuthorizationPolicy bookshop/ratings-deny")


def test_what_is_not_committed_is_not_compared_and_that_is_said(run: Run) -> None:
    """Else an edit looks as if it changed nothing."""
    assert "not committed" not in run("diff", "--base", "main")[2]
    edit("policies/reviews.yaml", "timeout: 3s", "timeout: 5s")
    Path("policies/ratings.yaml").unlink()
    Path("policies/new.yaml").write_text(OPENS)
    Path("notes.yaml").write_text("no policy: at all\n")
    code, out, err = run("diff", "--base", "main")
    assert (code, "nothing changes in 2 clusters" in out) == (0, True)
    assert (
        "not committed, and not looked at: policies/new.yaml, policies/ratings.yaml, policies/reviews.yaml;"
        " `gitmesh diff`" in err
    )
    assert "not committed" not in run("diff", "--base", "main", "--head", "feature")[2]


def test_lines_that_end_otherwise_in_the_checkout_are_committed(run: Run) -> None:
    """Git for Windows writes them so."""
    file = Path("policies/reviews.yaml")
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert "not committed" not in run("diff", "--base", "main")[2]


def test_a_review_of_nothing_says_so(run: Run) -> None:
    out, err = run("review", "--base", "main", "--dry-run")[1:]
    assert out.startswith("### GitMesh: nothing changes in 2 clusters\n")
    assert "Reach" not in out
    assert "success, nothing changes in 2 clusters" in err


def test_a_rule_that_moved_did_not_change(run: Run) -> None:
    """Lists are compared by content."""
    Path("policies/a.yaml").write_text(
        OPENS.replace("all: true", "serviceAccounts: [{name: details}]").replace("open", "a")
    )
    commit()
    found = document(run)
    fields = [field for one in found["clusters"] for thing in one["objects"] for field in thing["fields"]]
    assert fields
    assert all(
        "live" not in field or field["live"] is None or "annotations" in field["path"] for field in fields
    ), fields


def test_a_tag_that_is_called_like_the_branch_of_the_remote_is_not_taken_for_it(run: Run) -> None:
    """Git would take the tag: the head would be compared with itself, and nothing would change."""
    git("update-ref", "refs/remotes/origin/main", "main")
    edit("policies/mesh.yaml", "Strict", "Permissive")
    git("tag", "origin/main", commit())
    code, _, err = run("diff", "--base", "origin/main")
    assert code == 3
    assert "origin/main may be refs/tags/origin/main or refs/remotes/origin/main" in err
    assert run("diff", "--base", "origin/main~0")[0] == 3
    assert (
        "mTLS: Strict -&gt; Permissive"
        in run("diff", "--base", "refs/remotes/origin/main", "-o", "markdown")[1]
    )


HOLDS = """\
apiVersion: gitmesh.io/v1alpha1
kind: TrafficPolicy
metadata: {name: broken, namespace: bookshop}
spec: {destinations: [{name: ratings}], split: [{destination: {name: nowhere}}]}
"""
BESIDE = """\
apiVersion: gitmesh.io/v1alpha1
kind: TrafficPolicy
metadata: {name: beside, namespace: bookshop}
spec: {destinations: [{name: ratings}], mirror: [{destination: {name: %s}, percent: 100}]}
"""


def test_what_changes_while_an_error_holds_it_is_a_high_risk(run: Run) -> None:
    """Else it would come into force, unseen, with the commit that mends the error."""
    Path("policies/broken.yaml").write_text(HOLDS)
    Path("policies/beside.yaml").write_text(BESIDE % "details")
    base = commit()
    assert "nothing changes" in run("diff", "--base", base)[1]
    Path("policies/beside.yaml").write_text(BESIDE % "productpage")
    commit()
    out = run("diff", "--base", base)[1]
    assert "nothing changes" not in out
    assert "because TrafficPolicy/bookshop/beside differs and is held" in out
    assert "high risk" in out
    Path("policies/beside.yaml").unlink()
    commit()
    assert "bookshop/beside differs and is held" in run("diff", "--base", base, "-o", "markdown")[1]
    git("checkout", "--quiet", base, "--", "policies/beside.yaml")
    Path("policies/broken.yaml").unlink()
    commit()
    assert "is held" not in run("diff", "--base", base)[1], "it is mended"


UNSAID = """\
apiVersion: gitmesh.io/v1alpha1
kind: TrafficPolicy
metadata: {name: unsaid, namespace: bookshop}
spec: {destinations: [{name: ratings}], sources: [{serviceAccounts: [bookshop-reviews]}], timeout: 9s}
"""


def test_routing_that_an_error_holds_stays_and_is_not_told_as_going(run: Run) -> None:
    """Its live objects stay as they are, and nobody's requests go otherwise."""
    Path("policies/beside.yaml").write_text(BESIDE % "details")
    base = commit()
    Path("policies/unsaid.yaml").write_text(UNSAID)
    commit()
    _, out, _ = run("diff", "--base", base, "-o", "json")
    for cluster in json.loads(out)["clusters"]:
        assert (cluster["routes"], cluster["held"]) == ([], ["bookshop/ratings"])


class TestConfiguration:
    def test_it_is_that_of_the_base(self, run: Run) -> None:
        """The change under review may not decide what is looked at."""
        edit("gitmesh.yaml", "paths: [policies]", "paths: [nowhere]")
        edit("policies/reviews.yaml", "timeout: 3s", "timeout: 5s")
        commit()
        assert "timeout: 3s -> 5s" in run("diff", "--base", "main")[1]

    def test_one_that_only_the_change_has_is_none(self, run: Run) -> None:
        git("rm", "--quiet", "gitmesh.yaml")
        base = commit()
        git("checkout", "--quiet", "main", "--", "gitmesh.yaml")
        commit()
        code, out, err = run("diff", "--base", base)
        assert (code, out) == (3, "")
        assert "that of the change is under review itself" in err
        assert "no configuration: give --config FILE" in err

    def test_one_that_is_named_counts(self, run: Run, tmp_path: Path) -> None:
        edit("policies/reviews.yaml", "timeout: 3s", "timeout: 5s")
        commit()
        shutil.copy("gitmesh.yaml", tmp_path / "other.yaml")
        edit(str(tmp_path / "other.yaml"), "directory: clusters", f"directory: {tmp_path}/mesh/clusters")
        assert (
            "timeout: 3s -> 5s" in run("diff", "--base", "main", "--config", str(tmp_path / "other.yaml"))[1]
        )


class TestRevisions:
    def test_the_comparison_begins_where_both_came_apart(self, run: Run) -> None:
        """What others merged meanwhile is not what this change takes back."""
        edit("policies/reviews.yaml", "timeout: 3s", "timeout: 5s")
        commit()
        git("checkout", "--quiet", "main")
        Path("policies/open.yaml").write_text(OPENS)
        commit()
        git("checkout", "--quiet", "feature")
        code, out, err = run("diff", "--base", "main")
        assert (code, "open.yaml" in out, "timeout: 3s -> 5s" in out) == (1, False, True)
        assert "main is 1 commits further on" in err

    def test_without_a_common_commit_both_are_compared_as_they_are(self, run: Run) -> None:
        git("checkout", "--quiet", "--orphan", "other")
        edit("policies/reviews.yaml", "timeout: 3s", "timeout: 5s")
        commit()
        code, out, err = run("diff", "--base", "main")
        assert (code, "timeout: 3s -> 5s" in out) == (1, True)
        assert "no commit in common" in err

    @pytest.mark.parametrize("revision", ["nowhere", "--help", "-x", "a" * 5000, "main:policies", "", "x\n"])
    def test_what_names_no_commit_is_a_usage_error(self, run: Run, revision: str) -> None:
        code, out, err = run("diff", f"--base={revision}")
        assert (code, out) == (3, "")
        assert "is no commit, branch or tag" in err

    def test_a_branch_that_only_the_remote_has_counts(self, run: Run) -> None:
        git("update-ref", "refs/remotes/origin/release", "main")
        edit("policies/reviews.yaml", "timeout: 3s", "timeout: 5s")
        commit()
        assert "timeout: 3s -> 5s" in run("diff", "--base", "release")[1]

    def test_outside_of_a_checkout_there_is_nothing_to_compare(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "plain").mkdir()
        assert "lies in no checkout" in run("diff", str(tmp_path / "plain"), "--base", "main")[2]

    def test_a_further_work_tree_is_a_checkout_too(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        edit("policies/reviews.yaml", "timeout: 3s", "timeout: 5s")
        commit()
        git("worktree", "add", "--quiet", str(tmp_path / "tree"), "--detach")
        monkeypatch.chdir(tmp_path / "tree")
        assert "timeout: 3s -> 5s" in run("diff", "--base", "main")[1]


class TestErrors:
    def test_a_head_that_is_refused_is_answered_by_its_findings(self, run: Run) -> None:
        edit("policies/reviews.yaml", "timeout: 3s", "timeout: 3 parsecs")
        commit()
        code, out, _ = run("diff", "--base", "main")
        assert code == 2
        assert "policies/reviews.yaml:15" in out
        assert "this revision is refused, and nothing changes" in out

    def test_what_refuses_a_head_is_told_whoever_brought_it(self, run: Run) -> None:
        edit("policies/reviews.yaml", "timeout: 3s", "timeout: 3 parsecs")
        base = commit()
        edit("policies/ratings.yaml", "apiVersion", "# x\napiVersion")
        commit()
        code, out, _ = run("diff", "--base", base)
        assert code == 2
        assert "policies/reviews.yaml:15" in out
        assert "policies/reviews.yaml:15" in run("diff", "--base", base, "-o", "markdown")[1]

    def test_a_base_that_is_refused_is_said_and_head_is_looked_at_alone(self, run: Run) -> None:
        edit("policies/reviews.yaml", "timeout: 3s", "timeout: 3 parsecs")
        base = commit()
        edit("policies/reviews.yaml", "3 parsecs", "3s")
        commit()
        code, out, _ = run("diff", "--base", base)
        assert code == 3
        assert "compared with nothing: source policies is refused for its errors" in out
        assert "+ VirtualService bookshop/reviews" in out

    def test_findings_are_new_mended_or_as_before(self, run: Run) -> None:
        Path("policies/a.yaml").write_text(OPENS.replace("ratings", "nobody").replace("open", "a"))
        base = commit()
        Path("policies/a.yaml").unlink()
        Path("policies/b.yaml").write_text(OPENS.replace("ratings", "nobody-either").replace("open", "b"))
        commit()
        found = json.loads(run("diff", "--base", base, "-o", "json")[1])["findings"]
        assert [{one["policy"] for one in found[part]} for part in ("new", "mended")] == [
            {"AccessPolicy/bookshop/b"},
            {"AccessPolicy/bookshop/a"},
        ]


class TestFacts:
    @pytest.fixture
    def published(self, run: Run) -> None:
        """Facts of both clusters on a status branch that the checkout knows from its remote; the clusters are
        gone.
        """
        (cluster_facts := Path("facts")).mkdir()
        for name in ("east", "west"):
            Path(f"facts/{name}.yaml").write_text(run("discover", "-o", "yaml", "--cluster", name)[1])
        tree = git("write-tree")
        git("add", "facts")
        tree = git("write-tree", "--prefix=facts/")
        whole = subprocess.run(
            ["git", "mktree"],
            input=f"040000 tree {tree}\tfacts\n",
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        git("update-ref", "refs/remotes/origin/gitmesh-status", git("commit-tree", whole, "-m", "status"))
        git("reset", "--quiet")
        shutil.rmtree(cluster_facts)
        edit("policies/reviews.yaml", "timeout: 3s", "timeout: 5s")
        commit()

    def test_no_cluster_is_asked(self, run: Run, published: None) -> None:
        shutil.rmtree("clusters")
        code, out, _ = run("diff", "--base", "main", "--facts-from", "status")
        assert (code, "timeout: 3s -> 5s" in out) == (1, True)
        tip = git("rev-parse", "refs/remotes/origin/gitmesh-status")
        assert f"facts: gitmesh-status {tip[:12]}, written " in out
        assert "Not of this change" not in out

    def test_they_say_the_same_as_the_live_clusters(self, run: Run, published: None) -> None:
        live, from_status = document(run), document(run, "--facts-from", "status")
        assert {**live, "drift": [], "facts": ""} == {**from_status, "facts": ""}

    def test_facts_that_are_a_day_old_are_called_so(
        self, run: Run, published: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gitmesh.cli.comparing.time.time", lambda: 4e9)
        assert "d ago" in run("diff", "--base", "main", "--facts-from", "status")[1]

    def test_a_cluster_without_facts_is_unknown_and_never_green(self, run: Run, published: None) -> None:
        tip = git("rev-parse", "refs/remotes/origin/gitmesh-status")
        listed = git("ls-tree", f"{tip}:facts").split("\n")[0]
        inner = subprocess.run(
            ["git", "mktree"], input=listed + "\n", capture_output=True, text=True, check=True
        ).stdout.strip()
        whole = subprocess.run(
            ["git", "mktree"],
            input=f"040000 tree {inner}\tfacts\n",
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        git("update-ref", "refs/remotes/origin/gitmesh-status", git("commit-tree", whole, "-m", "status"))
        code, out, _ = run("diff", "--base", "main", "--facts-from", "status")
        assert code == 3
        assert "Unknown  west: nothing is known of it" in out
        assert "high risk" in out

    def test_of_clusters_that_are_not_configured_nothing_is_read(self, run: Run, published: None) -> None:
        """Who may push the status branch does not say how much is read."""
        blob = subprocess.run(
            ["git", "hash-object", "-w", "--stdin"], input="[", capture_output=True, text=True, check=True
        ).stdout.strip()
        listed = git("ls-tree", "refs/remotes/origin/gitmesh-status:facts")
        more = "".join(f"100644 blob {blob}\t{name}.yaml\n" for name in ("other", "west.yaml"))
        inner = subprocess.run(
            ["git", "mktree"], input=f"{listed}\n{more}", capture_output=True, text=True, check=True
        ).stdout.strip()
        whole = subprocess.run(
            ["git", "mktree"],
            input=f"040000 tree {inner}\tfacts\n",
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        git("update-ref", "refs/remotes/origin/gitmesh-status", git("commit-tree", whole, "-m", "status"))
        code, _, err = run("diff", "--base", "main", "--facts-from", "status")
        assert code == 1
        assert "cannot be used" not in err

    def test_a_repository_without_a_status_branch(self, run: Run) -> None:
        code, out, err = run("diff", "--base", "main", "--facts-from", "status")
        assert (code, out) == (3, "")
        assert "the checkout has no branch gitmesh-status. An agent publishes them" in err
        assert "Fetch it first: git fetch origin gitmesh-status" in err


def test_the_comment_stays_within_its_limit_and_says_what_was_cut(run: Run) -> None:
    """3,000 objects: whole ones are cut, the largest last."""
    from gitmesh.model.comparison import ClusterComparison, Comparison, ObjectDelta
    from gitmesh.model.objects import ObjectKey, canonical
    from gitmesh.model.plan import Action
    from gitmesh.render.comment import comparison_markdown

    deltas = tuple(
        ObjectDelta(
            key=ObjectKey(group="x.io", kind="Thing", namespace="shop", name=f"n{number:04}"),
            action=Action.CREATE,
            after=canonical(
                {
                    "apiVersion": "x.io/v1",
                    "kind": "Thing",
                    "metadata": {"name": "x"},
                    "spec": {"text": "@everyone <b> ``` " * (number % 10)},
                }
            ),
        )
        for number in range(3000)
    )
    comparison = Comparison(
        base="a" * 40, head="b" * 40, clusters={"east": ClusterComparison(name="east", objects=deltas)}
    )
    for limit in (4_000, 65_536, 1_000_000):
        text = comparison_markdown(comparison, limit=limit, whole="the report")
        assert len(text) <= limit
        assert text.startswith("### GitMesh: access unchanged; 3000 to create")
        assert text.count("<details>") == text.count("</details>")
        assert ("Cut to fit a comment" in text) == (limit < 1_000_000)
    assert len(comparison_markdown(comparison, limit=65_536, whole="x")) > 60_000


@pytest.mark.parametrize("letter", ["x", "[", "&"])
def test_a_comment_stays_within_its_limit_whatever_is_long(letter: str) -> None:
    """Names, messages and paths come from repositories and clusters; a forge refuses the whole comment for
    one character too many.
    """
    from gitmesh.model.comparison import ClusterComparison, Comparison, ProtectionChange, Risk, RiskLevel
    from gitmesh.render.comment import comparison_markdown

    long = letter * 15_000
    guards = tuple(ProtectionChange(subject=f"{number}", text=long, weaker=True) for number in range(12))
    clusters = {
        name: ClusterComparison(name=name, protection=guards, unknown=long) for name in ("east", "west")
    }
    risk = Risk(level=RiskLevel.HIGH, reasons=tuple((f"{number} {long}", ()) for number in range(12)))
    comparison = Comparison(base="a" * 40, head="b" * 40, clusters=clusters, risk=risk, base_problem=long)
    for limit in (4_000, 65_536):
        text = comparison_markdown(comparison, limit=limit, whole="the report")
        assert len(text) <= limit
        assert "**Risk: high**" in text
        assert "more reasons" in text


def test_an_order_that_decides_is_told(run: Run) -> None:
    from gitmesh.planning.fields import changes

    one, two = {"match": [{"uri": {"prefix": "/a"}}]}, {"match": [{"uri": {"prefix": "/b"}}]}
    (row,) = changes({"spec": {"http": [one, two]}}, {"spec": {"http": [two, one]}}, {}, {})
    assert (row.path, row.live, row.want) == ("spec.http (order)", [0, 1], [1, 0])


class TestMeaning:
    def test_who_gains_and_who_loses_is_told_before_the_objects(self, run: Run) -> None:
        edit("policies/access.yaml", "methods: [GET, HEAD]", "methods: [GET, POST]")
        commit()
        out = run("diff", "--base", "main")[1]
        assert "Gained  bookshop/productpage -> bookshop/details:80 POST   policies/access.yaml:19,25" in out
        assert "Lost  bookshop/productpage -> bookshop/details:80 HEAD   policies/access.yaml:19,25" in out
        assert out.index("Lost") < out.index("~ AuthorizationPolicy")
        assert "bookshop/details closes to bookshop/productpage (HEAD)" in out

    def test_a_comment_says_who_may_call_whom_before_all_else(self, run: Run) -> None:
        """A row that is so in two clusters counts once, as it is told."""
        edit("policies/access.yaml", "methods: [GET, HEAD]", "methods: [GET, POST]")
        commit()
        out, err = run("review", "--base", "main", "--dry-run")[1:]
        assert out.startswith(
            "### GitMesh: access 2 gained, 2 lost; 0 to create, 4 to change, 0 to delete in 2 clusters;"
            " **high risk**"
        )
        assert "success, high risk; access 2 gained, 2 lost; 0 to create" in err
        assert out.index("**Who may call whom**") < out.index("**Risk: high**") < out.index("<details>")

    def test_strangers_are_named_first_and_are_a_high_risk(self, run: Run) -> None:
        Path("policies/open.yaml").write_text(OPENS)
        commit()
        out = run("diff", "--base", "main")[1]
        assert (
            "Gained  anybody else, bookshop/details, bookshop/productpage, bookshop/ratings ->"
            " bookshop/ratings:80" in out
        )
        assert "high risk" in out

    def test_a_caller_that_is_named_is_a_low_risk(self, run: Run) -> None:
        Path("policies/a.yaml").write_text(OPENS.replace("all: true", "serviceAccounts: [{name: details}]"))
        commit()
        found = document(run)
        assert found["risk"]["level"] == "low"
        # Those of the other cluster are of a trust domain that no pod takes.
        assert {tuple(change["callers"]) for one in found["clusters"] for change in one["access"]} == {
            ("bookshop/details",)
        }

    def test_a_policy_that_is_renamed_or_split_means_the_same(self, run: Run) -> None:
        edit("policies/access.yaml", "name: page-reads", "name: page-may-read")
        commit()
        found = document(run)
        assert all(not (one["access"] or one["routes"] or one["protection"]) for one in found["clusters"])

    def test_one_destination_can_be_asked_for(self, run: Run) -> None:
        edit("policies/access.yaml", "methods: [GET, HEAD]", "methods: [GET, POST]")
        commit()
        code, out, _ = run("who-can", "bookshop/details", "--base", "main")
        assert (code, "bookshop/details:80 POST" in out, "bookshop/reviews" in out) == (1, True, False)
        assert out.splitlines()[-1] == "access 1 gained, 1 lost; high risk", "objects were not asked about"
        code, out, _ = run("who-can", "ratings:80", "--base", "main")
        assert (code, "decided as before in 2 clusters" in out) == (0, True)
        assert "there is no Service nope" in run("who-can", "nope", "--base", "main")[2]
        assert run("who-can", "details", "--base", "main", "--expect", "denied")[0] == 3
        assert run("who-can", "details", "--head", "main")[0] == 3

    def test_one_caller_can_be_asked_for(self, run: Run) -> None:
        edit("policies/access.yaml", "methods: [GET, HEAD]", "methods: [GET, POST]")
        commit()
        code, out, _ = run("can", "productpage", "*", "--base", "main")
        assert (code, "bookshop/details:80 POST" in out, "bookshop/reviews:80 POST" in out) == (1, True, True)
        code, out, _ = run("can", "productpage", "reviews", "--base", "main")
        assert (code, "bookshop/details" in out, "bookshop/reviews:80 POST" in out) == (1, False, True)
        assert run("can", "ratings", "*", "--base", "main")[0] == 0
        assert run("can", "anonymous", "*", "--base", "main")[0] == 0
        assert "nobody" in run("can", "nobody", "*", "--base", "main")[2]
        assert run("can", "*", "*", "--base", "main")[0] == 1

    def test_a_deny_that_goes_is_protection_that_weakens(self, run: Run) -> None:
        Path("policies/deny.yaml").write_text(
            OPENS.replace("spec: {", "spec: {action: Deny, ").replace("open", "deny")
        )
        base = commit()
        Path("policies/deny.yaml").unlink()
        commit()
        out = run("diff", "--base", base)[1]
        assert "weaker  bookshop/ratings: 1 Deny taken back   policies/deny.yaml" in out

    def test_requests_that_go_elsewhere_are_a_high_risk(self, run: Run) -> None:
        edit(
            "policies/reviews.yaml",
            "destination: {name: reviews, subset: {version: v2}}",
            "destination: {name: ratings}",
        )
        commit()
        found = document(run)
        (reason,) = [one["text"] for one in found["risk"]["reasons"] if "split" in one["text"]]
        assert reason.startswith(
            "bookshop/reviews: split sends requests to 10 to bookshop/ratings:80, 90 to bookshop/reviews"
        )
        assert found["risk"]["level"] == "high"

    def test_a_secret_is_shown_as_changed(self, run: Run) -> None:
        edit(
            "policies/reviews.yaml",
            "  timeout: 3s",
            "  timeout: 3s\n  headers: {request: {set: {x-api-key: hunter2}}}",
        )
        base = commit()
        edit("policies/reviews.yaml", "hunter2", "swordfish")
        commit()
        for form in ("text", "markdown", "json"):
            out = run("diff", "--base", base, "-o", form)[1]
            assert "hunter2" not in out
            assert "swordfish" not in out
            assert "(changed)" in out

    def test_a_request_is_told_without_its_credentials_and_what_it_says_is_quoted(self, run: Run) -> None:
        """A value cannot be read as the words around it."""
        matches = (
            "[{headers: [{name: x-api-key, exact: hunter2}]}, {headers: [{name: x-note, exact: 'a] timeout:"
            " 1s -> 2s [b'}]}]"
        )
        spec = f"{{destinations: [{{name: ratings}}], matches: {matches}, priority: 5, timeout: 7s}}"
        metadata = "metadata: {name: a, namespace: bookshop}"
        Path("policies/a.yaml").write_text(
            f"apiVersion: gitmesh.io/v1alpha1\nkind: TrafficPolicy\n{metadata}\nspec: {spec}\n"
        )
        base = commit()
        edit("policies/a.yaml", "7s", "8s")
        commit()
        told = {row["requests"] for one in document(run, "--base", base)["clusters"] for row in one["routes"]}
        assert {"header x-api-key is ***", 'header x-note is "a] timeout: 1s -> 2s [b"'} <= told
        assert "hunter2" not in str(told)

    def test_clusters_of_another_mode_are_never_folded(self, run: Run) -> None:
        edit("gitmesh.yaml", "  directory: clusters/west", "  directory: clusters/west\n  mode: Observe")
        base = commit()
        edit("policies/reviews.yaml", "timeout: 3s", "timeout: 5s")
        commit()
        out = run("diff", "--base", base)[1]
        assert "timeout: 3s -> 5s in east, west (only observed)" in out
        assert "\neast:\n" in out
        assert "\nwest (only observed):\n" in out
