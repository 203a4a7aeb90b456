"""gitmesh.yaml: findings at their lines, URL rules, overrides (docs/configuration.md;
docs/reliability.md#git)."""

from __future__ import annotations

import pytest

from gitmesh.parsing.settings import load_config, resolve, url_problem

GOOD = """apiVersion: gitmesh.io/v1alpha1
kind: Config
instance: shop
sources:
- name: policies
  url: https://git.example/mesh.git
  branch: main
  paths: [policies]
  interval: 30s
  auth: {usernameFile: u, passwordFile: p}
clusters:
- {name: east, labels: {region: eu}, directory: clusters/east}
- {name: west, kubeconfig: {path: west.kc, context: west}, mode: Enforce, timeout: 30s, settle: 10s}
- {name: here, inCluster: true, mode: Observe}
prune: {maxPercent: 30, protect: [], approved: []}
writeBack: {statusBranch: gitmesh-status, author: {name: gitmesh, email: gitmesh@localhost}}
listen: ":8080"
ignore: []
translators: {istio: {}}
"""


def problems(text: str, env: dict[str, str] | None = None) -> list[tuple[str, str, str]]:
    config, findings = load_config(text.encode(), "gitmesh.yaml", env or {})
    assert (config is None) == bool(findings)
    return [(d.code, f"{d.at.line}:{d.at.column}" if d.at else "", d.field) for d in findings]


def test_the_sample_of_the_api_page() -> None:
    config, findings = load_config(GOOD.encode(), "gitmesh.yaml", {})
    assert findings == ()
    assert config is not None
    assert (config.instance, config.listen, config.sources[0].interval) == ("shop", ":8080", 30_000)
    assert [(cluster.name, cluster.settle) for cluster in config.clusters] == [
        ("east", 5_000),
        ("west", 10_000),
        ("here", 5_000),
    ]
    assert config.sources[0].auth.username_file == "u"


def test_defaults() -> None:
    text = (
        "apiVersion: gitmesh.io/v1alpha1\nkind: Config\nsources: [{name: a, url: git@host:x.git}]\nclusters:"
        " [{name: c, directory: d}]\n"
    )
    config, _ = load_config(text.encode(), "gitmesh.yaml", {})
    assert config is not None
    assert (config.sources[0].branch, config.sources[0].paths, config.write_back.status_branch) == (
        "main",
        ("",),
        "gitmesh-status",
    )
    assert config.prune.max_percent == 30


def test_environment_overrides_the_file() -> None:
    config, _ = load_config(
        GOOD.encode(),
        "gitmesh.yaml",
        {"GITMESH_INSTANCE": "other", "GITMESH_LISTEN": "127.0.0.1:9", "HOME": "/"},
    )
    assert config is not None
    assert (config.instance, config.listen) == ("other", "127.0.0.1:9")
    assert problems(GOOD, {"GITMESH_INSTANCE": "Not A Label"}) == [("GM607", "", "instance")]
    _, findings = load_config(GOOD.encode(), "gitmesh.yaml", {"GITMESH_LISTEN": "x"})
    assert findings[0].message.startswith("GITMESH_LISTEN: ")
    config, _ = load_config(GOOD.encode(), "gitmesh.yaml", {"GITMESH_LISTEN": ""})
    assert config is not None
    assert config.listen == ":8080"


def test_all_findings_at_their_lines() -> None:
    text = (
        GOOD.replace("30s\n", "30\n")
        .replace("listen:", "lissen:")
        .replace("inCluster: true", "inCluster: true, directory: x")
    )
    text = text.replace("https://", "ext::")
    assert problems(text) == [
        ("GM607", "6:8", "sources[0].url"),
        ("GM607", "9:13", "sources[0].interval"),
        ("GM607", "14:3", "clusters[2]"),
        ("GM607", "17:1", "lissen"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("kind: Config", "kind: config", "kind"),
        ("v1alpha1", "v1", "apiVersion"),
        ("shop", "Shop", "instance"),
        ("name: west", "name: east", "clusters[1].name"),
        ("statusBranch: gitmesh-status", "statusBranch: main", ""),
        ("paths: [policies]", "paths: [../x]", "sources[0].paths[0]"),
        ("paths: [policies]", "paths: [/etc]", "sources[0].paths[0]"),
        ("{usernameFile: u, passwordFile: p}", "{sshKeyFile: k}", "sources[0].auth"),
        ("maxPercent: 30", "maxPercent: 101", "prune.maxPercent"),
        ("ignore: []", "ignore: [Secret]", "ignore[0]"),
        ("settle: 10s", "settle: 900ms", "clusters[1].settle"),
        ("settle: 10s", "settle: 16s", "clusters[1].settle"),
    ],
)
def test_mistakes(old: str, new: str, field: str) -> None:
    assert [(code, where) for code, _, where in problems(GOOD.replace(old, new))] == [("GM607", field)]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "GM607"),
        ("a: 1\n---\nb: 2\n", "GM607"),
        ("- x\n", "GM607"),
        ("a: [", "GM101"),
        ("a: &x 1", "GM102"),
    ],
)
def test_files_that_are_no_configuration(text: str, code: str) -> None:
    assert code in [found for found, _, _ in problems(text)]


def test_yaml_findings_of_values_keep_their_code_and_come_once() -> None:
    assert problems(GOOD.replace("instance: shop", "instance: no")) == [("GM105", "3:11", "")]


@pytest.mark.parametrize(
    "url",
    [
        "https://git.example/mesh.git",
        "https://git.example:8443/a/b_c-d.git",
        "https://[::1]:80/x",
        "ssh://git@git.example:22/x.git",
        "ssh://git.example/x",
        "git@git.example:team/mesh.git",
        "git.example:mesh.git",
    ],
)
def test_urls_that_are_allowed(url: str) -> None:
    assert url_problem(url, allow_insecure=False) is None


@pytest.mark.parametrize("url", ["http://git.example/x.git", "file:///srv/mesh.git"])
def test_G01_insecure_urls_only_where_allowed(url: str) -> None:
    assert "allowInsecure" in (url_problem(url, allow_insecure=False) or "")
    assert url_problem(url, allow_insecure=True) is None


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c id",
        "ext::x",
        "fd::3",
        "fd::17/foo",
        "git://host/x",
        "ftp://h/x",
        "/srv/x",
        "./x",
        "../x",
        "x",
        "rsync://h/x",
    ],
)
def test_G01_other_transports_and_plain_paths(url: str) -> None:
    assert url_problem(url, allow_insecure=True)


@pytest.mark.parametrize("branch", ["--upload-pack=x", "-u", "a b", "$(x)", ".hidden"])
def test_G02_branches_that_git_could_take_for_options(branch: str) -> None:
    assert problems(GOOD.replace("branch: main", f'branch: "{branch}"')) == [
        ("GM607", "7:11", "sources[0].branch")
    ]


@pytest.mark.parametrize(
    "branch", ["a..b", "HEAD@{1}", "../../x", "x" * 4096, ":/x", "a.lock", "a//b", "a/", "a.", "a/.b"]
)
def test_G03_branches_that_are_no_names(branch: str) -> None:
    assert problems(GOOD.replace("branch: main", f'branch: "{branch}"')) == [
        ("GM607", "7:11", "sources[0].branch")
    ]


@pytest.mark.parametrize(
    "url",
    [
        "ssh://-oProxyCommand=x/r",
        "ssh://git@-oProxyCommand=x/r",
        "-oProxyCommand=x:r",
        "git@host:-x",
        "git@host:x/-y",
        "https://h/%0ahost",
        "https://h/a\r\nb",
        "https://h/a b",
        "https://h\\x/y",
        "https:///x",
        "file:///a/../b",
        "ssh://h:port/x",
    ],
)
def test_G04_options_and_line_breaks_in_urls(url: str) -> None:
    assert url_problem(url, allow_insecure=True)


@pytest.mark.parametrize(
    "url",
    [
        "https://host/$TOKEN",
        "https://host/%24X",
        "https://host/~user/x",
        "~/x",
        "https://h/`id`",
        "https://h/;id",
    ],
)
def test_G05_nothing_that_expands(url: str) -> None:
    assert url_problem(url, allow_insecure=True)


@pytest.mark.parametrize(
    "url",
    [
        "https://user:secretpw@host/x",
        "https://secretpw@host/x",
        "ssh://git:secretpw@host/x",
        "http://a:secretpw@h/",
    ],
)
def test_G22_credentials_in_urls_are_refused_and_not_repeated(url: str) -> None:
    _, findings = load_config(GOOD.replace("https://git.example/mesh.git", url).encode(), "gitmesh.yaml", {})
    assert [d.code for d in findings] == ["GM607"]
    assert "secretpw" not in repr(findings)
    _, broken = load_config(
        GOOD.replace("https://git.example/mesh.git", f"{url}: x").encode(), "gitmesh.yaml", {}
    )
    assert [d.code for d in broken] == ["GM101"]
    assert "secretpw" not in repr(broken)


def test_paths_are_relative_to_the_configuration() -> None:
    assert resolve("/etc/gitmesh", "clusters/east") == "/etc/gitmesh/clusters/east"
    assert resolve("/etc/gitmesh", "/abs") == "/abs"


FORGE = "forge: {kind: gitlab, repository: shop/platform/policies, tokenFile: token}\n"


def test_a_forge_has_the_public_address_of_its_kind() -> None:
    config, findings = load_config((GOOD + FORGE).encode(), "gitmesh.yaml", {})
    assert findings == ()
    assert config is not None
    assert config.forge is not None
    assert (config.forge.address, config.forge.token_file, config.forge.reviews) == (
        "https://gitlab.com",
        "token",
        True,
    )
    own, _ = load_config(
        (GOOD + FORGE.replace("kind: gitlab", "kind: gitlab, url: https://git.example:8443/lab/")).encode(),
        "x",
        {},
    )
    assert own is not None
    assert own.forge is not None
    assert own.forge.address == "https://git.example:8443/lab"


@pytest.mark.parametrize(
    ("old", "new", "field", "words"),
    [
        ("kind: gitlab", "kind: bitbucket", "forge.kind", "gitea"),
        ("kind: gitlab", "kind: gitea", "forge", "url is missing"),
        ("kind: gitlab", "kind: github", "forge", "owner/name"),
        ("kind: gitlab", "kind: gitlab, url: http://git.example", "forge", "allowInsecure: true"),
        ("kind: gitlab", "kind: gitlab, url: ftp://git.example", "forge.url", "https://host"),
        ("kind: gitlab", "kind: gitlab, url: 'https://git.example/x?y=1'", "forge.url", "https://host"),
        ("kind: gitlab", "kind: gitlab, url: 'https://git.example/../x'", "forge.url", "https://host"),
        ("kind: gitlab", "kind: gitlab, url: 'https://git.example:65536'", "forge.url", "https://host"),
        ("kind: gitlab", "kind: gitlab, url: 'https://[:::]/'", "forge.url", "https://host"),
        ("kind: gitlab", "kind: gitlab, proxy: 'http://p:0'", "forge.proxy", "http://host:port"),
        ("kind: gitlab", "kind: gitlab, proxy: 'https://p:1'", "forge.proxy", "http://host:port"),
        ("kind: gitlab", "kind: gitlab, proxy: 'http://me:pw@p:1'", "forge.proxy", "without credentials"),
        ("tokenFile: token", "token: abc", "forge.token", ""),
        ("shop/platform/policies", "policies", "forge.repository", "owner/name"),
        ("shop/platform/policies", "../policies", "forge.repository", "owner/name"),
        ("shop/platform/policies", "'shop/policies?x'", "forge.repository", "owner/name"),
        ("shop/platform/policies", "'shop/policies#x'", "forge.repository", "owner/name"),
        ("shop/platform/policies", "shop%2Fpolicies/x", "forge.repository", "owner/name"),
        ("shop/platform/policies", "shop/policies/", "forge.repository", "owner/name"),
    ],
)
def test_mistakes_in_a_forge(old: str, new: str, field: str, words: str) -> None:
    _, findings = load_config((GOOD + FORGE.replace(old, new)).encode(), "gitmesh.yaml", {})
    told = next(d for d in findings if d.field == field)
    assert told.code == "GM607"
    assert words in told.message + told.hint
    assert told.at is not None
    assert told.at.line == 20


@pytest.mark.parametrize("url", ["https://user:secretpw@git.example", "https://secretpw@git.example"])
def test_credentials_in_the_address_of_a_forge_are_not_repeated(url: str) -> None:
    _, findings = load_config(
        (GOOD + FORGE.replace("kind: gitlab", f"kind: gitlab, url: '{url}'")).encode(), "gitmesh.yaml", {}
    )
    assert [(d.code, "tokenFile" in d.message) for d in findings] == [("GM607", True)]
    assert "secretpw" not in repr(findings)


@pytest.mark.parametrize(
    ("text", "at", "field"),
    [
        (GOOD.replace("name: west", "name: east"), "13:10", "clusters[1].name"),
        (
            GOOD.replace("clusters:\n", "- {name: policies, url: https://git.example/b.git}\nclusters:\n"),
            "11:10",
            "sources[1].name",
        ),
    ],
)
def test_a_name_that_is_given_twice_stands_where_it_is_repeated(text: str, at: str, field: str) -> None:
    assert problems(text) == [("GM607", at, field)]
