"""Commands against the example's directory clusters: render, diff, discover, check, with and without
facts.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from tests.gitrepo import Repo
from tests.unit.commandline import Run, runner

EXAMPLE = Path(__file__).resolve().parents[2] / "policies-example"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command line in a copy of the example: (exit code, stdout, stderr)."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shutil.copytree(EXAMPLE, tmp_path / "shop")
    return runner(tmp_path / "shop", capsys, monkeypatch)


def save_facts(run: Run, folder: Path) -> Path:
    """The facts of both clusters in a file."""
    code, out, _ = run("discover", "-o", "yaml")
    assert code == 0
    path = folder / "facts.yaml"
    path.write_text(out)
    return path


def test_diff_of_a_folder_shows_every_object_with_its_lines_and_ends_with_1(run: Run) -> None:
    code, out, _ = run("diff", ".")
    assert code == 1
    assert "+ VirtualService bookshop/reviews " in out
    assert "policies/access.yaml:19" in out
    assert out.endswith("28 to create, 0 to change, 0 to delete, 0 unchanged in 2 clusters\n")


@pytest.mark.parametrize("form", ["text", "json", "yaml", "markdown"])
def test_the_exit_code_of_diff_never_depends_on_the_format(run: Run, form: str) -> None:
    assert run("diff", ".", "-o", form)[0] == 1


def test_the_example_has_no_findings_in_both_clusters(run: Run) -> None:
    answer = json.loads(run("diff", ".", "-o", "json")[1])
    assert answer["findings"] == []
    assert [(one["name"], one["summary"]["create"]) for one in answer["clusters"]] == [
        ("east", 14),
        ("west", 14),
    ]


def test_filters_narrow_clusters_and_policies_and_say_what_they_hide(run: Run) -> None:
    code, out, err = run("diff", ".", "--cluster", "ea*", "--policy", "ratings")
    assert code == 1
    assert "west" not in out
    assert {line.split()[2] for line in out.splitlines() if line.startswith("  +")} == {"bookshop/ratings"}
    assert "hidden by --policy: " in err


def test_an_unknown_cluster_is_wrong_usage(run: Run) -> None:
    code, _, err = run("diff", ".", "--cluster", "north")
    assert code == 3
    assert "there are east, west" in err


def test_render_prints_a_stream_of_objects_with_their_origins(run: Run) -> None:
    code, out, err = run("render", ".", "--cluster", "east")
    documents = list(yaml.safe_load_all(out))
    assert code == 0
    assert len(documents) == 14
    assert "# east  VirtualService bookshop/ratings  <- policies/ratings.yaml:" in out
    assert "rendered 14 objects in 1 cluster: 0 errors, 0 warnings" in err
    assert run("render", ".", "--cluster", "east")[1] == out


def test_render_needs_no_configuration_with_facts(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = run("render", ".")[1]
    facts = save_facts(run, tmp_path)
    monkeypatch.chdir(tmp_path)
    code, out, err = run("render", "shop/policies", "--facts", str(facts), "-o", "yaml")
    assert code == 0
    assert "configuration" not in err
    ours = [document["spec"] for document in yaml.safe_load_all(out)]
    assert ours == [document["spec"] for document in yaml.safe_load_all(live)]
    answer = json.loads(run("render", "shop/policies", "--facts", str(facts), "-o", "json")[1])
    assert [one["name"] for one in answer["clusters"]] == ["east", "west"]


def test_diff_with_facts_needs_no_cluster_and_says_so(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = save_facts(run, tmp_path)
    monkeypatch.chdir(tmp_path)
    code, out, err = run("diff", "shop/policies", "--facts", str(facts))
    assert code == 1
    assert "28 to create" in out
    assert "every object counts as new" in err


def test_validate_with_facts_checks_references(run: Run, tmp_path: Path) -> None:
    facts = save_facts(run, tmp_path)
    assert run("validate", ".", "--facts", str(facts))[0] == 0
    policy = Path("policies/ratings.yaml")
    policy.write_text(policy.read_text().replace("- name: ratings", "- name: ratngs", 1))
    code, out, _ = run("validate", ".", "--facts", str(facts))
    assert code == 2
    assert "policies/ratings.yaml:9:11: error GM208 MissingReference" in out
    assert "ratings" in out.split("hint:")[1].splitlines()[0]
    assert run("validate", ".")[0] == 0, "without facts nothing is known of Services"


def test_discover_names_meshes_and_services(run: Run) -> None:
    code, out, _ = run("discover", "--cluster", "west")
    assert code == 0
    assert "mesh istio 1.30.3, trust domain west.example, 6 workloads" in out
    assert "bookshop/reviews" in out
    assert "east" not in out


def test_a_cluster_that_is_not_there_fails_alone_and_ends_with_3(run: Run) -> None:
    shutil.rmtree("clusters/west")
    code, out, err = run("discover")
    assert code == 3
    assert out.startswith("east: ")
    assert "west: " in err
    code, out, _ = run("diff", ".")
    assert code == 3
    assert "1 cluster did not answer: west" in out
    assert "14 to create" in out


def test_a_kubeconfig_that_is_not_there_fails_alone(run: Run) -> None:
    config = Path("gitmesh.yaml")
    config.write_text(config.read_text().replace("directory: clusters/west", "kubeconfig: {path: west.kc}"))
    code, out, _ = run("diff", ".")
    assert code == 3
    assert "west.kc" in out
    assert "14 to create" in out


def test_check_says_ok_and_down_and_what_to_do(run: Run) -> None:
    config = Path("gitmesh.yaml")
    config.write_text(
        config.read_text().replace(
            "https://git.example/bookshop/mesh.git", "file:///nowhere.git\n  allowInsecure: true"
        )
    )
    code, out, _ = run("check")
    assert code == 3
    assert "ok    cluster east mesh   istio 1.30.3, trust domain east.example" in out
    assert "down  source policies" in out
    assert "hint:" in out
    answer = json.loads(run("check", "-o", "json")[1])
    assert (answer["kind"], answer["summary"]["down"]) == ("Check", 1)


def test_check_warns_of_a_cluster_without_a_mesh(run: Run) -> None:
    Path("clusters/west/istio.yaml").unlink()
    answer = json.loads(run("check", "-o", "json")[1])
    assert {one["level"] for one in answer["checks"] if one["subject"] == "cluster west mesh"} == {"warn"}


def test_a_folder_stands_in_for_the_named_source(run: Run) -> None:
    code, _, err = run("diff", ".", "--source", "nobody")
    assert code == 3
    assert "there are policies" in err


def test_validate_looks_at_nothing_else_where_the_policies_are_not(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("clusters")
    code, out, err = run("validate")
    assert (code, out) == (3, "")
    assert "are not in this folder" in err


def test_check_names_each_path_without_a_policy(run: Run) -> None:
    repo = Repo(Path("origin.git").absolute())
    files = {path.as_posix(): path.read_bytes() for path in Path("policies").glob("*.yaml")}
    repo.commit({**files, "notes/README.md": "x", "other/a.yaml": "# nothing\n"})
    config = Path("gitmesh.yaml")
    text = config.read_text().replace(
        "https://git.example/bookshop/mesh.git", f"{repo.url}\n  allowInsecure: true"
    )
    config.write_text(text.replace("paths: [policies]", "paths: [policies, notes, other, gone]"))
    code, out, _ = run("check")
    assert (code, "fail  source policies" in out) == (2, True)
    assert "; no policy in notes, other, gone" in out
    config.write_text(text)
    assert "ok    source policies" in run("check")[1]
