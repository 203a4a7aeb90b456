"""What every forge must satisfy, on a server of each kind: the same clauses for Gitea, GitHub and GitLab."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from gitmesh.adapters.forge.site import Token
from gitmesh.errors import ForgeError
from gitmesh.model.forge import CommitState, CommitStatus, PullState
from gitmesh.ports import Forge
from tests.forges import SERVERS, Faults, ForgeAnswer, ForgeServer, Trouble

A, B, C, D = ("a" * 40, "b1" * 20, "c" * 40, "d" * 64)


@pytest.fixture(params=SERVERS, ids=lambda kind: kind.kind)
def server(request: pytest.FixtureRequest) -> Iterator[ForgeServer]:
    with request.param() as started:
        yield started


@pytest.fixture
def forge(server: ForgeServer, tmp_path: Path) -> Forge:
    return server.forge(tmp_path)


def test_open_pull_requests_against_the_branch(server: ForgeServer, forge: Forge) -> None:
    first = server.open_pull(A, title="More <callers>", author="alice")
    server.open_pull(B, base="release/1.0 & more")
    third = server.open_pull(C, author="bob", fork=True)
    server.close(server.open_pull(D))
    server.push(first, D)
    found = forge.pulls("main")
    assert [(pull.number, pull.title, pull.author, pull.head, pull.fork) for pull in found] == [
        (first, "More <callers>", "alice", D, False),
        (third, "A change of policies", "bob", C, True),
    ]
    assert {(pull.base, pull.state, pull.merged) for pull in found} == {("main", PullState.OPEN, "")}
    assert [pull.head for pull in forge.pulls("release/1.0 & more")] == [B]


def test_the_head_is_fetched_from_the_target_repository(server: ForgeServer, forge: Forge) -> None:
    server.open_pull(A, fork=True)
    (pull,) = forge.pulls("main")
    assert pull.head_ref == {"gitlab": "refs/merge-requests/1/head"}.get(server.kind, "refs/pull/1/head")
    assert pull.url.startswith(server.url)


def test_one_pull_request_in_each_state(server: ForgeServer, forge: Forge) -> None:
    for head in (A, B, C):
        server.open_pull(head)
    server.merge(2, D)
    server.close(3)
    states = [(forge.pull(number).state, forge.pull(number).merged) for number in (1, 2, 3)]
    assert states == [(PullState.OPEN, ""), (PullState.MERGED, D), (PullState.CLOSED, "")]
    with pytest.raises(ForgeError) as caught:
        forge.pull(4)
    assert caught.value.refused
    assert not caught.value.retryable


def test_the_pull_request_that_a_commit_came_by(server: ForgeServer, forge: Forge) -> None:
    server.open_pull(A)
    server.open_pull(B)
    server.merge(2, C)
    server.commits.add("1" * 40)
    assert [pull.number for pull in forge.pulls_of(C)] == [2]
    assert forge.pulls_of("1" * 40) == ()
    assert forge.pulls_of("2" * 40) == ()
    assert forge.pulls_of(A) == (), "an open one has not gone in"


def test_no_pull_request_is_not_no_repository(server: ForgeServer, tmp_path: Path) -> None:
    server.open_pull(A)
    elsewhere = server.forge(tmp_path, repository="shop/other")
    with pytest.raises(ForgeError) as caught:
        elsewhere.pulls_of(A)
    assert caught.value.refused
    assert "forge.repository" in caught.value.hint


def test_a_commit_that_is_none_never_gets_further(server: ForgeServer, forge: Forge) -> None:
    server.open_pull("--upload-pack=x")
    server.open_pull(A)
    assert [pull.number for pull in forge.pulls("main")] == [2]
    with pytest.raises(ForgeError, match="no commit of pull request 1"):
        forge.pull(1)


def test_comments_are_written_changed_and_deleted(server: ForgeServer, forge: Forge) -> None:
    number = server.open_pull(A)
    server.comment(number, "<!-- gitmesh --> looks like a marker", author="mallory")
    made = forge.add_comment(number, "first `ü` @everyone")
    later = forge.add_comment(number, "second")
    assert made.own
    assert made.id < later.id
    assert [(one.body, one.own) for one in forge.comments(number)] == [
        ("<!-- gitmesh --> looks like a marker", False),
        ("first `ü` @everyone", True),
        ("second", True),
    ]
    forge.edit_comment(number, made.id, "changed")
    forge.delete_comment(number, later.id)
    assert server.own_comments(number) == ["changed"]


def test_a_comment_that_is_gone(server: ForgeServer, forge: Forge) -> None:
    number = server.open_pull(A)
    made = forge.add_comment(number, "soon gone")
    server.delete(made.id)
    forge.delete_comment(number, made.id)
    with pytest.raises(ForgeError) as caught:
        forge.edit_comment(number, made.id, "changed")
    assert caught.value.refused


def test_all_pages_are_read(server: ForgeServer, forge: Forge) -> None:
    server.most = 3
    numbers = [server.open_pull(f"{index:040x}") for index in range(1, 9)]
    bodies = [f"comment {index}" for index in range(10)]
    for body in bodies:
        server.comment(numbers[0], body)
    for index in range(7):
        forge.set_status(
            f"{1:040x}", CommitStatus(context=f"gitmesh/{index}", state=CommitState.SUCCESS, text="applied")
        )
    assert [pull.number for pull in forge.pulls("main")] == numbers
    assert [one.body for one in forge.comments(numbers[0])] == bodies
    assert [one.context for one in forge.statuses(f"{1:040x}")] == [f"gitmesh/{index}" for index in range(7)]


@pytest.mark.parametrize("keeps_alive", [True, False])
def test_the_pages_of_a_call_share_a_connection_where_the_server_does(
    server: ForgeServer, forge: Forge, keeps_alive: bool
) -> None:
    server.most, server.keeps_alive = 1, keeps_alive
    for index in range(1, 6):
        server.open_pull(f"{index:040x}")
    assert len(forge.pulls("main")) == 5
    if keeps_alive:
        assert server.connections == 1
    assert len(server.asked) <= 10, "one that was closed meanwhile costs at most one more attempt"


def test_more_pages_than_anybody_needs_are_an_error(server: ForgeServer, forge: Forge) -> None:
    server.most = 1
    for index in range(1, 103):
        server.open_pull(f"{index:040x}")
    with pytest.raises(ForgeError, match="more than 100 pages"):
        forge.pulls("main")


def test_a_next_page_at_another_host_is_asked_for_here(server: ForgeServer, forge: Forge) -> None:
    server.most, server.link_root = 1, "http://other.example"
    server.open_pull(A)
    server.open_pull(B)
    assert [pull.head for pull in forge.pulls("main")] == [A, B]


@pytest.mark.parametrize("state", list(CommitState))
def test_statuses_come_back_as_they_were_set(server: ForgeServer, forge: Forge, state: CommitState) -> None:
    server.open_pull(A)
    status = CommitStatus(
        context="gitmesh/east",
        state=state,
        text="7 objects, 1 held",
        url="https://git.example/report?a=1&b=2",
    )
    forge.set_status(A, status)
    assert forge.statuses(A) == (status,)
    forge.set_status(A, status)
    assert forge.statuses(A) == (status,)


def test_the_newest_status_of_each_context(server: ForgeServer, forge: Forge) -> None:
    server.open_pull(A)
    for context, state in (
        ("west", CommitState.PENDING),
        ("east", CommitState.PENDING),
        ("west", CommitState.FAILURE),
    ):
        forge.set_status(A, CommitStatus(context=context, state=state, text=f"{context} is {state}"))
    assert [(one.context, one.state, one.text) for one in forge.statuses(A)] == [
        ("east", CommitState.PENDING, "east is pending"),
        ("west", CommitState.FAILURE, "west is failure"),
    ]
    assert forge.statuses(B) == ()


def test_the_head_of_a_fork_has_a_status(server: ForgeServer, forge: Forge) -> None:
    """It lies on no branch of the repository."""
    server.open_pull(A, fork=True)
    for state in (CommitState.PENDING, CommitState.SUCCESS):
        forge.set_status(A, CommitStatus(context="gitmesh/review", state=state, text="x"))
        assert [one.state for one in forge.statuses(A)] == [state]


def test_long_texts_are_cut_to_what_is_taken(server: ForgeServer, forge: Forge) -> None:
    server.open_pull(A)
    forge.set_status(A, CommitStatus(context="gitmesh/review", state=CommitState.SUCCESS, text="ü" * 500))
    (status,) = forge.statuses(A)
    assert status.text == "ü" * (139 if server.kind == "github" else 254) + "…"


def test_a_comment_of_the_greatest_length(server: ForgeServer, forge: Forge) -> None:
    number = server.open_pull(A)
    forge.add_comment(number, "ü" * forge.comment_limit)
    assert [len(body) for body in server.own_comments(number)] == [forge.comment_limit]


@pytest.mark.parametrize(
    ("right", "words"), [("comment", "write comments"), ("status", "set commit statuses")]
)
def test_a_token_without_a_right(server: ForgeServer, forge: Forge, right: str, words: str) -> None:
    number = server.open_pull(A)
    server.rights.remove(right)
    status = CommitStatus(context="x", state=CommitState.SUCCESS, text="")
    act = (
        partial(forge.add_comment, number, "text")
        if right == "comment"
        else partial(forge.set_status, A, status)
    )
    with pytest.raises(ForgeError, match=rf"does not allow the token to {words} \(HTTP 403\)") as caught:
        act()
    needed = {
        ("gitea", "comment"): "write:issue",
        ("gitea", "status"): "write:repository",
        ("github", "comment"): "Pull requests: read and write",
        ("github", "status"): "Commit statuses: read and write",
        ("gitlab", "comment"): "the role Reporter",
        ("gitlab", "status"): "the role Developer",
    }
    assert caught.value.refused
    assert needed[server.kind, right] in caught.value.hint
    assert caught.value.detail, "the forge's own words are there for people to read"


def test_a_token_that_is_not_accepted(server: ForgeServer, forge: Forge) -> None:
    server.token = "another"
    with pytest.raises(
        ForgeError, match=r"127\.0\.0\.1:\d+ does not accept the token \(HTTP 401\)"
    ) as caught:
        forge.pulls("main")
    assert caught.value.refused
    assert "read" in caught.value.hint.lower() or "api" in caught.value.hint


def test_a_token_that_is_renewed_counts_at_once(server: ForgeServer, forge: Forge, tmp_path: Path) -> None:
    server.open_pull(A)
    assert forge.pulls("main")
    server.token = "renewed"
    (tmp_path / "token").write_text("renewed")
    assert forge.pulls("main")


def test_who_we_are_is_asked_once(server: ForgeServer, forge: Forge) -> None:
    number = server.open_pull(A)
    for _ in range(3):
        forge.comments(number)
    assert len(server.requests("GET", "/user")) == 1


def test_the_budget_of_requests_is_waited_for_where_there_is_time(
    server: ForgeServer, tmp_path: Path
) -> None:
    number = server.open_pull(A)
    pauses: list[float] = []

    def wait(seconds: float) -> None:
        pauses.append(seconds)
        server.budget = None

    server.budget = 0
    server.forge(tmp_path, timeout=60, sleep=wait).add_comment(number, "after the wait")
    assert server.own_comments(number) == ["after the wait"], (
        "nothing was done before, so it may be done again"
    )
    assert len(pauses) == 1
    assert 7 <= pauses[0] < 13


def test_the_budget_of_requests_is_not_waited_for_beyond_the_deadline(
    server: ForgeServer, tmp_path: Path
) -> None:
    server.budget = 0
    pauses: list[float] = []
    with pytest.raises(ForgeError, match=r"takes no more requests for now \(HTTP (403|429)\)") as caught:
        server.forge(tmp_path, timeout=5, sleep=pauses.append).pulls("main")
    assert caught.value.retryable
    assert not caught.value.refused
    assert "wait" in caught.value.detail
    assert pauses == []
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "trouble", [Trouble.RESET, Trouble.FAILURE, Trouble.GATEWAY, Trouble.LOST, Trouble.GARBAGE]
)
def test_a_comment_is_not_written_twice(server: ForgeServer, forge: Forge, trouble: Trouble) -> None:
    number = server.open_pull(A)
    server.faults = Faults(1, 1.0, (trouble,))
    with pytest.raises(ForgeError) as caught:
        forge.add_comment(number, "text")
    assert caught.value.retryable
    assert len(server.troubles) == 1
    assert len(server.own_comments(number)) == (1 if trouble is Trouble.LOST else 0)


def test_a_comment_is_written_after_a_limit(server: ForgeServer, forge: Forge) -> None:
    number = server.open_pull(A)
    server.faults = Faults(1, 0.5, (Trouble.LIMIT,))
    for index in range(20):
        forge.add_comment(number, f"comment {index}")
    assert server.own_comments(number) == [f"comment {index}" for index in range(20)]
    assert server.troubles


@pytest.mark.parametrize("seed", range(10))
def test_what_may_be_repeated_gets_through(server: ForgeServer, forge: Forge, seed: int) -> None:
    """Three of ten calls end badly, and each call has five attempts."""
    number = server.open_pull(A)
    mine = forge.add_comment(number, "old")
    server.faults = Faults(seed, 0.3, [trouble for trouble in Trouble if trouble is not Trouble.SILENCE])
    order, failed = random.Random(seed), list[ForgeError]()
    for round_ in range(20):
        state = order.choice(list(CommitState))
        try:
            forge.edit_comment(number, mine.id, f"body {round_}")
            forge.set_status(A, CommitStatus(context="gitmesh/review", state=state, text=f"round {round_}"))
            assert server.own_comments(number) == [f"body {round_}"]
            assert [(one.state, one.text) for one in forge.statuses(A)] == [(state, f"round {round_}")]
        except ForgeError as error:
            failed.append(error)
    assert len(failed) <= 2, "0.3 to the fifth is one of four hundred calls"
    assert all(error.retryable for error in failed)
    assert len(server.troubles) > 5


def test_nobody_learns_the_token(
    server: ForgeServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(0)
    server.token = "c4n4ry-secret"
    forge, hasty = server.forge(tmp_path), server.forge(tmp_path, timeout=0.5)
    number = server.open_pull(A)
    told = [
        repr(Token(server.token)),
        repr(forge),
        repr(vars(forge)),
        repr(forge.add_comment(number, "x")),
        repr(forge.comments(number)),
    ]
    server.script = [_repeating(status, server.token) for status in (400, 401, 403, 404, 422, 500, 302)]
    for _ in range(len(server.script)):
        with pytest.raises(ForgeError) as caught:
            forge.add_comment(number, "x")
        told += [repr(caught.value), caught.value.in_full, caught.value.hint, repr(vars(caught.value))]
    for trouble in Trouble:
        server.faults = Faults(1, 1.0, (trouble,))
        with pytest.raises(ForgeError) as caught:
            hasty.add_comment(number, "x")
        told += [repr(caught.value), caught.value.in_full, caught.value.hint]
    said = capfd.readouterr()
    assert "c4n4ry" not in "\n".join([*told, caplog.text, said.out, said.err])


def _repeating(status: int, token: str) -> ForgeAnswer:
    text = f"what was that: Authorization {token}?"
    return ForgeAnswer(
        status=status,
        data={"message": text, "errors": [{"message": token}]},
        headers={"Location": f"http://x.example/{token}"},
    )
