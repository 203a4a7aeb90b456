"""What is each forge's own: addresses, accounts, states, limits, and how a merge is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gitmesh.adapters.forge.github import api_of
from gitmesh.errors import ForgeError
from gitmesh.model.forge import CommitState, CommitStatus, PullState
from tests.forges import ForgeAnswer, GiteaServer, GitHubServer, GitLabServer
from tests.forges.server import NOW
from tests.forges.state import HostedStatus, Person

A, B, C = "a" * 40, "b" * 40, "c" * 40


@pytest.fixture
def github() -> Iterator[GitHubServer]:
    with GitHubServer() as server:
        yield server


@pytest.fixture
def gitlab() -> Iterator[GitLabServer]:
    with GitLabServer() as server:
        yield server


@pytest.fixture
def gitea() -> Iterator[GiteaServer]:
    with GiteaServer() as server:
        yield server


def status(state: CommitState, text: str = "text") -> CommitStatus:
    """One in the context gitmesh/east."""
    return CommitStatus(context="gitmesh/east", state=state, text=text)


# -- GitHub ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "api"),
    [
        ("https://github.com", ("https://api.github.com", "")),
        ("https://shop.ghe.com", ("https://api.shop.ghe.com", "")),
        ("https://git.example:8443", ("https://git.example:8443/api", "v3/")),
        ("https://notghe.com", ("https://notghe.com/api", "v3/")),
    ],
)
def test_github_has_its_api_at_a_host_or_a_path(url: str, api: tuple[str, str]) -> None:
    assert api_of(url) == api


def test_github_is_asked_as_it_wants(github: GitHubServer, tmp_path: Path) -> None:
    github.open_pull(A)
    github.forge(tmp_path).pulls("main")
    (asked,) = github.asked
    assert asked.headers["user-agent"].startswith("gitmesh/")
    assert asked.headers["x-github-api-version"] == "2022-11-28"
    assert asked.headers["accept"] == "application/vnd.github+json"


@pytest.mark.parametrize("login", ["github-actions[bot]", "gitmesh"])
def test_github_says_who_actions_and_apps_are_only_by_graphql(
    github: GitHubServer, tmp_path: Path, login: str
) -> None:
    """A person may have the name that a bot has without its ending, and is somebody else."""
    number = github.open_pull(A)
    github.become_actions()
    forge = github.forge(tmp_path)
    forge.add_comment(number, "ours")
    for other in ("github-actions", "gitmesh", "mallory"):
        github.comment(number, "not ours", author=other)
    if login == "gitmesh":
        github.me = Person(github.me.id, "gitmesh")
        github.comments[0].author = Person(github.me.id, "gitmesh[bot]", bot=True)
    assert [one.body for one in forge.comments(number) if one.own] == ["ours"]
    assert [one.path for one in github.requests("POST", "graphql")] == ["/api/graphql"]


def test_a_token_of_nobody(github: GitHubServer, tmp_path: Path) -> None:
    number = github.open_pull(A)
    github.script = [github.refused(403), ForgeAnswer(data={"data": None, "errors": [{"type": "FORBIDDEN"}]})]
    with pytest.raises(ForgeError, match="of no account") as caught:
        github.forge(tmp_path).comments(number)
    assert caught.value.refused


def test_a_limit_is_not_taken_for_a_bot(github: GitHubServer, tmp_path: Path) -> None:
    number = github.open_pull(A)
    github.budget = 0
    with pytest.raises(ForgeError, match="takes no more requests"):
        github.forge(tmp_path, timeout=5).comments(number)
    assert github.requests("POST") == []


def test_a_status_that_somebody_else_sets_just_now_is_waited_for(
    gitlab: GitLabServer, tmp_path: Path
) -> None:
    """GitLab locks the statuses of a commit: an agent and a job may want to set theirs at once."""
    gitlab.open_pull(A)
    busy = ForgeAnswer(status=409, data={"message": "Another update to this commit status is in progress"})
    gitlab.script = [busy, busy]
    forge = gitlab.forge(tmp_path)
    forge.set_status(A, CommitStatus(context="gitmesh/review", state=CommitState.SUCCESS, text="x"))
    assert [one.context for one in forge.statuses(A)] == ["gitmesh/review"]
    gitlab.script = [busy] * 5
    with pytest.raises(ForgeError, match="somebody else at work") as caught:
        forge.set_status(A, CommitStatus(context="gitmesh/review", state=CommitState.FAILURE, text="x"))
    assert caught.value.retryable


def test_github_tells_a_commit_of_a_trial_merge_which_is_none(github: GitHubServer, tmp_path: Path) -> None:
    number = github.open_pull(A)
    forge = github.forge(tmp_path)
    assert forge.pull(number).merged == ""
    github.merge(number, squash=B)
    assert (forge.pull(number).state, forge.pull(number).merged) == (PullState.MERGED, B)


def test_github_forgets_accounts_and_forks(github: GitHubServer, tmp_path: Path) -> None:
    number = github.open_pull(A)
    pull = github._pull(github.pulls[number])
    gone = {**pull, "user": None, "head": {**pull["head"], "repo": None}}
    github.script = [ForgeAnswer(data=gone)]
    found = github.forge(tmp_path).pull(number)
    assert (found.author, found.fork) == ("", True)


def test_a_comment_of_nobody_is_not_ours(github: GitHubServer, tmp_path: Path) -> None:
    number = github.open_pull(A)
    forge = github.forge(tmp_path)
    forge.comments(number)
    github.script = [ForgeAnswer(data=[{"id": 5, "body": None, "user": None}])]
    (comment,) = forge.comments(number)
    assert (comment.body, comment.own) == ("", False)


def test_github_takes_a_thousand_statuses_of_a_commit_and_context(
    github: GitHubServer, tmp_path: Path
) -> None:
    github.open_pull(A)
    github.statuses = [HostedStatus(index, A, "gitmesh/east", "pending", "", "") for index in range(1000)]
    with pytest.raises(
        ForgeError, match="no more than 1,000 statuses of one commit in the context gitmesh/east"
    ) as caught:
        github.forge(tmp_path).set_status(A, status(CommitState.SUCCESS))
    assert not caught.value.retryable
    assert "maximum number of statuses" in caught.value.detail


def test_github_refuses_a_comment_that_is_too_long(github: GitHubServer, tmp_path: Path) -> None:
    number = github.open_pull(A)
    forge = github.forge(tmp_path)
    with pytest.raises(ForgeError, match=r"refused a request to write comments \(HTTP 422\)") as caught:
        forge.add_comment(number, "x" * (forge.comment_limit + 1))
    assert not caught.value.retryable
    assert not caught.value.refused
    assert "Body is too long (maximum is 65536 characters)" in caught.value.detail


def test_a_403_that_says_when_to_come_again_is_a_limit(github: GitHubServer, tmp_path: Path) -> None:
    number = github.open_pull(A)
    github.script = [ForgeAnswer(status=403, data={"message": "Slow down."}, headers={"Retry-After": "3"})]
    github.forge(tmp_path).add_comment(number, "text")
    assert github.own_comments(number) == ["text"]


@pytest.mark.parametrize(("after", "seconds"), [(3, 3), (None, 60)])
def test_github_limits_what_is_done_at_once(
    github: GitHubServer, tmp_path: Path, after: int | None, seconds: int
) -> None:
    number = github.open_pull(A)
    pauses: list[float] = []
    github.script = [github.secondary(after)]
    github.forge(tmp_path, timeout=600, sleep=pauses.append).add_comment(number, "text")
    assert seconds <= pauses[0] < seconds + 6
    assert github.own_comments(number) == ["text"]


def test_github_counts_its_limit_by_its_own_clock(github: GitHubServer, tmp_path: Path) -> None:
    github.open_pull(A)
    pauses: list[float] = []
    spent = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(NOW + 33)}
    github.script = [ForgeAnswer(status=403, data={"message": "API rate limit exceeded"}, headers=spent)]
    github.forge(tmp_path, timeout=600, sleep=pauses.append).pulls("main")
    assert 33 <= pauses[0] < 40


# -- GitLab ---------------------------------------------------------------------------------------------


def test_gitlab_has_the_path_in_one_segment(gitlab: GitLabServer, tmp_path: Path) -> None:
    gitlab.open_pull(A)
    assert gitlab.forge(tmp_path).pulls("main")
    assert gitlab.asked[0].path == "/api/v4/projects/shop%2Fplatform%2Fpolicies/merge_requests"
    assert "authorization" not in gitlab.asked[0].headers


def test_gitlab_names_states_its_own_way(gitlab: GitLabServer, tmp_path: Path) -> None:
    gitlab.open_pull(A)
    forge = gitlab.forge(tmp_path)
    said = []
    for state in CommitState:
        forge.set_status(A, status(state))
        said.append(gitlab.newest_statuses(A)["gitmesh/east"][0])
    assert said == ["pending", "success", "failed", "canceled"]


def test_gitlab_refuses_the_state_that_it_has_after_it_took_the_text(
    gitlab: GitLabServer, tmp_path: Path
) -> None:
    gitlab.open_pull(A)
    forge = gitlab.forge(tmp_path)
    forge.set_status(A, status(CommitState.PENDING, "waits"))
    forge.set_status(A, status(CommitState.PENDING, "still waits"))
    assert gitlab.newest_statuses(A) == {"gitmesh/east": ("pending", "still waits")}


def test_gitlab_refuses_other_transitions_for_good(gitlab: GitLabServer, tmp_path: Path) -> None:
    gitlab.open_pull(A)
    gitlab.script = [
        ForgeAnswer(
            status=400,
            data={"message": 'Cannot transition status via :enqueue from :running (Reason(s): "x")'},
        )
    ]
    with pytest.raises(ForgeError, match=r"refused a request to set commit statuses \(HTTP 400\)"):
        gitlab.forge(tmp_path).set_status(A, status(CommitState.PENDING))


@pytest.mark.parametrize(
    ("theirs", "state"), [("running", "pending"), ("created", "pending"), ("skipped", "success")]
)
def test_gitlab_states_that_only_others_set(
    gitlab: GitLabServer, tmp_path: Path, theirs: str, state: str
) -> None:
    gitlab.statuses = [HostedStatus(1, A, "build", theirs, "", "")]
    assert [one.state for one in gitlab.forge(tmp_path).statuses(A)] == [state]


@pytest.mark.parametrize("rows", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_gitlab_has_a_status_of_each_ref(gitlab: GitLabServer, tmp_path: Path, rows: tuple[int, ...]) -> None:
    gitlab.script = [
        ForgeAnswer(
            data=[{"id": row, "name": "build", "status": "success", "description": str(row)} for row in rows]
        )
    ]
    assert [one.text for one in gitlab.forge(tmp_path).statuses(A)] == ["2"]


@pytest.mark.parametrize(("commit", "squash", "merged"), [(B, "", B), ("", C, C), (B, C, B), ("", "", A)])
def test_gitlab_merges_in_four_ways(
    gitlab: GitLabServer, tmp_path: Path, commit: str, squash: str, merged: str
) -> None:
    number = gitlab.open_pull(A)
    gitlab.merge(number, commit, squash)
    assert gitlab.forge(tmp_path).pull(number).merged == merged
    assert [pull.number for pull in gitlab.forge(tmp_path).pulls_of(merged)] == [number]


def test_gitlab_notes_events_which_nobody_wrote(gitlab: GitLabServer, tmp_path: Path) -> None:
    number = gitlab.open_pull(A)
    gitlab.comment(number, "added 1 commit", author=gitlab.me.login, system=True)
    assert gitlab.forge(tmp_path).comments(number) == ()


def test_gitlab_leads_on_by_a_header_of_its_own(gitlab: GitLabServer, tmp_path: Path) -> None:
    gitlab.links, gitlab.most = False, 2
    for index in range(1, 6):
        gitlab.open_pull(f"{index:040x}")
    assert len(gitlab.forge(tmp_path).pulls("main")) == 5


def test_a_merge_that_is_under_way_is_open(gitlab: GitLabServer, tmp_path: Path) -> None:
    number = gitlab.open_pull(A)
    gitlab.pulls[number].state = "locked"
    assert gitlab.forge(tmp_path).pull(number).state is PullState.OPEN


def test_a_merge_request_without_commits_is_not_reviewed(gitlab: GitLabServer, tmp_path: Path) -> None:
    number = gitlab.open_pull(A)
    gitlab.script = [ForgeAnswer(data=[{**gitlab._pull(gitlab.pulls[number]), "sha": None}])]
    assert gitlab.forge(tmp_path).pulls("main") == ()


# -- Gitea ----------------------------------------------------------------------------------------------


def test_gitea_hides_the_account_from_a_token_without_the_scope(gitea: GiteaServer, tmp_path: Path) -> None:
    number = gitea.open_pull(A)
    gitea.account = False
    with pytest.raises(
        ForgeError, match=r"does not allow the token to ask whose it is \(HTTP 403\)"
    ) as caught:
        gitea.forge(tmp_path).comments(number)
    assert "read:user" in caught.value.hint


@pytest.mark.parametrize(
    ("theirs", "state"), [("warning", "failure"), ("skipped", "success"), ("later", "error")]
)
def test_gitea_states_that_only_others_set(
    gitea: GiteaServer, tmp_path: Path, theirs: str, state: str
) -> None:
    gitea.statuses = [HostedStatus(1, A, "build", theirs, "", "")]
    assert [one.state for one in gitea.forge(tmp_path).statuses(A)] == [state]


def test_gitea_knows_a_pull_request_by_the_commit_that_merged_it(gitea: GiteaServer, tmp_path: Path) -> None:
    for head in (A, B):
        gitea.open_pull(head)
    gitea.merge(1, C)
    gitea.merge(2)
    forge = gitea.forge(tmp_path)
    assert [[pull.number for pull in forge.pulls_of(commit)] for commit in (A, B, C)] == [[], [2], [1]]
    assert forge.pull(2).merged == B


def test_gitea_forgets_forks(gitea: GiteaServer, tmp_path: Path) -> None:
    number = gitea.open_pull(A)
    pull = gitea._pull(gitea.pulls[number])
    gitea.script = [ForgeAnswer(data={**pull, "head": {**pull["head"], "repo_id": -1}})]
    assert gitea.forge(tmp_path).pull(number).fork


def test_gitea_of_an_older_kind_lists_every_branch(gitea: GiteaServer, tmp_path: Path) -> None:
    gitea.open_pull(A)
    gitea.open_pull(B, base="other")
    gitea.script = [ForgeAnswer(data=[gitea._pull(pull) for pull in gitea.pulls.values()])]
    assert [pull.head for pull in gitea.forge(tmp_path).pulls("main")] == [A]
