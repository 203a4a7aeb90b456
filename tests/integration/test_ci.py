"""`deploy/ci/`: every step of every workflow, run as its own text says, against a forge and a repository of
our own.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.forges import GiteaServer, GitHubServer, GitLabServer
from tests.forges.server import ForgeServer
from tests.gitrepo import Repo
from tests.pipelines import CI, EXPRESSION, PYTHONPATH, ROOT, Runner, Workflow, filled, workflow
from tests.shop import EXAMPLE, example_policies

HOSTILE = (
    "$(touch pwned)",
    '"; touch pwned; "',
    "`touch pwned`",
    "x\ntouch pwned",
    "--upload-pack=touch pwned",
)
WORKFLOWS = sorted(
    str(path.relative_to(CI)) for folder in ("github", "gitea") for path in (CI / folder).glob("*.yaml")
)
FORKED = "$(touch${IFS}pwned)"
TITLE = "### GitMesh: access unchanged; 0 to create, 2 to change, 0 to delete in 2 clusters"


def configuration(server: ForgeServer) -> str:
    config = yaml.safe_load((EXAMPLE / "gitmesh.yaml").read_text(encoding="utf-8"))
    for cluster in config["clusters"]:
        del cluster["directory"]
        cluster["kubeconfig"] = {"path": "not-there", "context": "nobody"}
    forge = {
        "kind": server.kind,
        "url": server.url,
        "repository": server.repository,
        "tokenFile": "elsewhere",
        "allowInsecure": True,
    }
    return yaml.safe_dump({**config, "forge": forge}, sort_keys=False)


class Hosting:
    """A repository at a forge: the example on `main`, published facts, and the merge request 1 from a fork
    that means no good.
    """

    def __init__(self, server: ForgeServer, home: Path) -> None:
        self.server, self.home = server, home
        self.repo = Repo(home / "forge" / server.repository)
        main = {
            "gitmesh.yaml": configuration(server),
            **example_policies(),
            ".pre-commit-config.yaml": "repos: []\n",
        }
        main |= {
            f".github/workflows/{Path(path).name}": (CI / path).read_text(encoding="utf-8")
            for path in WORKFLOWS
        }
        self.repo.commit(main)
        facts = {f"facts/{name}.yaml": discovered(name) for name in ("east", "west")}
        self.repo.commit(facts, branch="gitmesh-status")
        reviews = main["policies/reviews.yaml"].replace("timeout: 3s", "timeout: 5s")
        evil = 'import pathlib; pathlib.Path("pwned").touch()\n'
        self.head = self.branch(
            FORKED,
            {
                "policies/reviews.yaml": reviews,
                "gitmesh.yaml": main["gitmesh.yaml"].replace(server.url, "http://127.0.0.1:1"),
                **dict.fromkeys(("venv.py", "pip.py", "yaml.py", "gitmesh.py", "sitecustomize.py"), evil),
            },
        )
        self.number = server.open_pull(self.head, title=HOSTILE[0], fork=True)
        self.repo.git("update-ref", f"refs/pull/{self.number}/head", self.head)
        self.repo.git("update-ref", f"refs/merge-requests/{self.number}/head", self.head)

    def branch(self, name: str, files: Mapping[str, str]) -> str:
        """A branch that is main with changes; its commit."""
        self.repo.move(name, self.repo.tip())
        return self.repo.update(files, branch=name)

    def variables(self) -> Mapping[str, str]:
        return {
            "GITHUB_SERVER_URL": f"file://{self.home}/forge",
            "GITHUB_REPOSITORY": self.server.repository,
            "GITHUB_SHA": self.head,
        }

    def context(self) -> Mapping[str, Any]:
        """What the forge says of the event; whatever the author may choose is hostile."""
        pull = {
            "number": self.number,
            "title": HOSTILE[1],
            "body": HOSTILE[2],
            "head": {"sha": self.head, "ref": HOSTILE[0]},
            "base": {"ref": "main"},
        }
        run = {
            "event": "pull_request",
            "head_sha": self.head,
            "head_branch": HOSTILE[0],
            "display_title": HOSTILE[1],
        }
        event = {"repository": {"default_branch": "main"}, "workflow_run": run, "pull_request": pull}
        return {
            "github": {"event": event, "token": self.server.token},
            "secrets": {"GITMESH_FORGE_TOKEN": self.server.token},
        }

    def nothing_ran(self) -> None:
        assert not list(self.home.rglob("pwned"))


@cache
def discovered(cluster: str) -> str:
    """The facts of a cluster, as the agent publishes them."""
    command = [
        sys.executable,
        "-m",
        "gitmesh",
        "discover",
        "--config",
        f"{EXAMPLE}/gitmesh.yaml",
        "--cluster",
        cluster,
        "-o",
        "yaml",
    ]
    return subprocess.run(
        command, env={**os.environ, "PYTHONPATH": PYTHONPATH}, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture
def github(tmp_path: Path) -> Iterator[Hosting]:
    with GitHubServer() as server:
        server.become_actions()
        yield Hosting(server, tmp_path)


@pytest.fixture
def gitea(tmp_path: Path) -> Iterator[Hosting]:
    with GiteaServer() as server:
        yield Hosting(server, tmp_path)


@pytest.fixture
def gitlab(tmp_path: Path) -> Iterator[Hosting]:
    with GitLabServer(repository="platform/mesh/policies") as server:
        yield Hosting(server, tmp_path)


def said(done: list[subprocess.CompletedProcess[str]]) -> str:
    return "".join(f"{one.args}: {one.returncode}\n{one.stdout}{one.stderr}\n" for one in done)


# --- what they look like


@pytest.mark.parametrize("path", WORKFLOWS)
class TestText:
    def test_no_script_holds_an_expression(self, path: str) -> None:
        """What comes from the event reaches a script by its environment."""
        assert not [step.run for step in workflow(path).steps if EXPRESSION.search(step.run)]

    def test_only_values_that_no_author_chooses_are_used(self, path: str) -> None:
        used = {
            one
            for step in workflow(path).steps
            for value in step.env.values()
            for one in EXPRESSION.findall(str(value))
        }
        assert used <= {
            "github.token",
            "secrets.GITMESH_FORGE_TOKEN",
            "github.event.repository.default_branch",
            "github.event.workflow_run.head_sha",
            "github.event.pull_request.base.ref",
            "github.event.pull_request.number",
        }

    def test_no_action_of_anybody_is_used(self, path: str) -> None:
        assert not workflow(path).uses

    def test_a_secret_is_nowhere_near_what_a_pull_request_says(self, path: str) -> None:
        work = workflow(path)
        if "pull_request" in work.on:
            assert not [
                value for step in work.steps for value in step.env.values() if "secrets." in str(value)
            ]
            assert work.permissions in ({"contents": "read"}, {})
        else:
            assert set(work.on) <= {"workflow_run", "pull_request_target"}
            checked_out = re.findall(r"git checkout [^\n]*", "\n".join(step.run for step in work.steps))
            assert checked_out == ['git checkout --quiet --detach "refs/remotes/origin/$TARGET"']

    def test_the_package_is_one_version(self, path: str) -> None:
        assert all(
            re.fullmatch(r"gitmesh-reconciler==\d+\.\d+\.\d+", step.env["GITMESH"])
            for step in workflow(path).steps
        )


def test_github_lets_the_second_one_write_comments_and_statuses_alone() -> None:
    work = workflow("github/gitmesh-review.yaml")
    assert work.permissions == {"contents": "read", "pull-requests": "write", "statuses": "write"}
    assert work.condition == "github.event.workflow_run.event == 'pull_request'"
    assert work.on["workflow_run"]["workflows"] == ["gitmesh-validate"]


# --- what they do


def ran(
    hosting: Hosting, path: str, name: str = "runner"
) -> tuple[list[subprocess.CompletedProcess[str]], Runner, Workflow]:
    runner, work = Runner(hosting.home / name, hosting.variables()), workflow(path)
    return runner.steps(work, hosting.context()), runner, work


@pytest.mark.parametrize("forge", ["github", "gitea"])
class TestTwoJobs:
    @pytest.fixture
    def hosting(self, forge: str, request: pytest.FixtureRequest) -> Hosting:
        made: Hosting = request.getfixturevalue(forge)
        return made

    def test_the_review_is_there_afterwards(self, hosting: Hosting, forge: str) -> None:
        done, runner, work = ran(hosting, f"{forge}/gitmesh-review.yaml")
        assert [one.returncode for one in done] == [0] * len(work.steps), said(done)
        (comment,) = hosting.server.own_comments(hosting.number)
        assert TITLE in comment
        assert "Facts: gitmesh-status" in comment
        assert hosting.server.newest_statuses(hosting.head)["gitmesh/shop/review"][0] == "success"
        assert runner.installed == ["install --quiet gitmesh-reconciler==0.1.0"]

    def test_nothing_of_the_head_is_run_or_obeyed(self, hosting: Hosting, forge: str) -> None:
        _, runner, _ = ran(hosting, f"{forge}/gitmesh-review.yaml")
        hosting.nothing_ran()
        assert not (runner.workspace / "venv.py").exists()
        assert "127.0.0.1:1\n" not in (runner.workspace / "gitmesh.yaml").read_text()

    def test_again_after_a_push_it_is_the_same_comment(self, hosting: Hosting, forge: str) -> None:
        ran(hosting, f"{forge}/gitmesh-review.yaml")
        hosting.head = hosting.branch(FORKED, {"README.md": "x"})
        hosting.repo.git("update-ref", f"refs/pull/{hosting.number}/head", hosting.head)
        hosting.server.push(hosting.number, hosting.head)
        done, _, _ = ran(hosting, f"{forge}/gitmesh-review.yaml", "second")
        assert done[-1].returncode == 0, said(done)
        (comment,) = hosting.server.own_comments(hosting.number)
        assert "nothing changes in 2 clusters" in comment

    def test_the_first_one_checks_and_writes_nothing(self, hosting: Hosting, forge: str) -> None:
        done, _, work = ran(hosting, f"{forge}/gitmesh-validate.yaml")
        assert [one.returncode for one in done] == [0] * len(work.steps), said(done)
        assert not hosting.server.asked
        hosting.nothing_ran()

    def test_the_first_one_fails_at_the_line_of_a_mistake(self, hosting: Hosting, forge: str) -> None:
        hosting.head = hosting.branch("bad", {"policies/bad.yaml": "kind: [\n"})
        done, runner, _ = ran(hosting, f"{forge}/gitmesh-validate.yaml")
        assert done[-1].returncode == 2, said(done)
        if forge == "github":
            assert "::error file=policies/bad.yaml,line=" in done[-1].stdout
            assert "policies/bad.yaml" in (runner.temp / "summary").read_text()
        else:
            assert "policies/bad.yaml:" in done[-1].stdout


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("forge", ["github", "gitea"])
def test_even_what_the_forge_itself_says_is_no_script(
    forge: str, value: str, request: pytest.FixtureRequest
) -> None:
    hosting: Hosting = request.getfixturevalue(forge)
    work, context = workflow(f"{forge}/gitmesh-review.yaml"), hosting.context()
    event = context["github"]["event"]
    event["workflow_run"]["head_sha"] = event["pull_request"]["number"] = value
    event["repository"]["default_branch"] = event["pull_request"]["base"]["ref"] = value
    done = Runner(hosting.home / "runner", hosting.variables()).steps(work, context)
    assert done[-1].returncode != 0
    hosting.nothing_ran()
    assert not hosting.server.own_comments(hosting.number)


# --- GitLab


class TestGitLab:
    def job(
        self, hosting: Hosting, name: str, commit: str
    ) -> tuple[subprocess.CompletedProcess[str], Runner]:
        """Run a job in a checkout of a commit, as the runner makes it."""
        head, body = yaml.safe_load_all((CI / "gitlab" / "gitmesh.yml").read_text(encoding="utf-8"))
        text = re.sub(
            r"\$\[\[ inputs\.(\w+) \]\]",
            lambda found: head["spec"]["inputs"][found[1]]["default"],
            yaml.safe_dump(body),
        )
        document = yaml.safe_load(text)
        job = {**document[document[name]["extends"]], **document[name]}
        token = hosting.home / "token-file"
        token.write_text(f"{hosting.server.token}\n")
        branch = (
            {"CI_COMMIT_BRANCH": "main", "GITMESH_FORGE_TOKEN": str(token)}
            if name == "gitmesh-review"
            else {}
        )
        runner = Runner(hosting.home / name, {**document["variables"], **branch})
        self.checked_out(hosting, runner, commit)
        return runner.script("\n".join([*job["before_script"], *job["script"]])), runner

    def checked_out(self, hosting: Hosting, runner: Runner, commit: str) -> None:
        lines = (
            f"git init --quiet .\ngit remote add origin {hosting.repo.url}\ngit fetch --quiet origin"
            f" {commit}\n"
        )
        assert runner.script(f"{lines}git checkout --quiet FETCH_HEAD").returncode == 0

    def test_the_review_of_every_open_merge_request_is_there_afterwards(self, gitlab: Hosting) -> None:
        second = gitlab.branch("other", {"README.md": "x"})
        number = gitlab.server.open_pull(second)
        gitlab.repo.git("update-ref", f"refs/merge-requests/{number}/head", second)
        gitlab.server.close(gitlab.server.open_pull("c" * 40))
        done, runner = self.job(gitlab, "gitmesh-review", "main")
        assert done.returncode == 0, said([done])
        (comment,) = gitlab.server.own_comments(gitlab.number)
        assert TITLE in comment
        assert "nothing changes in 2 clusters" in gitlab.server.own_comments(number)[0]
        assert runner.installed == ["install --quiet gitmesh-reconciler==0.1.0"]
        gitlab.nothing_ran()

    def test_one_that_cannot_be_fetched_does_not_keep_back_the_others(self, gitlab: Hosting) -> None:
        gone = gitlab.server.open_pull("d" * 40)
        gitlab.server.pulls = dict(sorted(gitlab.server.pulls.items(), reverse=True))
        done, _ = self.job(gitlab, "gitmesh-review", "main")
        assert done.returncode == 3, said([done])
        assert len(gitlab.server.own_comments(gitlab.number)) == 1
        assert not gitlab.server.own_comments(gone)

    def test_errors_of_a_change_do_not_fail_the_schedule(self, gitlab: Hosting) -> None:
        bad = gitlab.branch("bad", {"policies/bad.yaml": "kind: [\n"})
        number = gitlab.server.open_pull(bad)
        gitlab.repo.git("update-ref", f"refs/merge-requests/{number}/head", bad)
        done, _ = self.job(gitlab, "gitmesh-review", "main")
        assert done.returncode == 0, said([done])
        assert "this revision is refused" in gitlab.server.own_comments(number)[0]

    def test_the_first_one_annotates_and_writes_nothing(self, gitlab: Hosting) -> None:
        bad = gitlab.branch("bad", {"policies/bad.yaml": "kind: [\n"})
        done, runner = self.job(gitlab, "gitmesh-validate", bad)
        assert done.returncode == 2, said([done])
        report = json.loads((runner.workspace / "gl-code-quality-report.json").read_text())
        assert {one["location"]["path"] for one in report} == {"policies/bad.yaml"}
        assert not gitlab.server.asked

    def test_the_token_is_only_where_the_branch_is_protected(self) -> None:
        _, body = yaml.safe_load_all((CI / "gitlab" / "gitmesh.yml").read_text(encoding="utf-8"))
        assert body["gitmesh-review"]["rules"] == [
            {"if": '$CI_PIPELINE_SOURCE == "schedule" && $CI_COMMIT_REF_PROTECTED == "true"'}
        ]
        users = [name for name, job in body.items() if "GITMESH_FORGE_TOKEN" in yaml.safe_dump(job)]
        assert users == ["gitmesh-review"]
        assert not [name for name, job in body.items() if "$[[" in yaml.safe_dump(job.get("script", ""))]


# --- pre-commit


class TestPreCommit:
    @pytest.fixture
    def hooks(self) -> Mapping[str, Any]:
        found = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
        return {hook["id"]: hook for hook in found}

    @pytest.mark.parametrize("name", ["gitmesh-validate", "gitmesh-validate-files"])
    def test_a_hook_says_whether_the_commit_is_good(
        self, hooks: Mapping[str, Any], name: str, tmp_path: Path
    ) -> None:
        runner = Runner(tmp_path / "runner", {"CI": ""})
        runner.variables["PATH"] += f":{runner.tools}"
        for path, text in {**example_policies(), ".pre-commit-config.yaml": "repos: []\n"}.items():
            (runner.workspace / path).parent.mkdir(exist_ok=True)
            (runner.workspace / path).write_text(text)
        runner.script("git init --quiet .; git add --all")
        files = runner.script("git ls-files").stdout.split()
        hook = hooks[name]
        meant = [path for path in files if re.search(hook["files"], path)]
        assert meant
        line = " ".join(
            [hook["entry"], *hook.get("args", []), *(meant if hook.get("pass_filenames", True) else [])]
        )
        good = runner.script(line)
        assert good.returncode == 0, said([good])
        (runner.workspace / "policies/reviews.yaml").write_text("kind: [\n")
        assert runner.script(line).returncode == 2


def test_an_expression_is_a_path() -> None:
    assert filled("a ${{ github.x }}", {"github": {"x": 1}}) == "a 1"
