"""What is honoured of a kubeconfig, and what is refused."""

from __future__ import annotations

import base64
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gitmesh.adapters.kube.cluster import connect
from gitmesh.adapters.kube.credentials import in_cluster
from gitmesh.adapters.kube.deadline import Closing, Deadline
from gitmesh.adapters.kube.kubeconfig import read_kubeconfig
from gitmesh.adapters.kube.tokens import FileToken, StaticToken
from gitmesh.errors import ClusterError
from gitmesh.model.config_clusters import ClusterConfig

ROOT = Path(__file__).resolve().parents[2]
SECRET = "s3cret-token-of-mine"


def config(cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None) -> dict[str, Any]:
    """A kubeconfig of one context."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "main",
        "contexts": [{"name": "main", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://api.example.com:6443", **(cluster or {})}}],
        "users": [{"name": "u", "user": {"token": SECRET} if user is None else user}],
    }


def written(folder: Path, content: Any) -> Path:
    """The file of a kubeconfig."""
    path = folder / "config"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def refusal(path: Path, **options: Any) -> str:
    """Why a kubeconfig is refused."""
    with pytest.raises(ClusterError) as found:
        read_kubeconfig(path, **options)
    assert (found.value.code, found.value.retryable) == ("GM502", False)
    assert SECRET not in str(found.value)
    return str(found.value)


def test_a_token_and_a_ca_are_read(tmp_path: Path) -> None:
    found = read_kubeconfig(
        written(tmp_path, config({"certificate-authority-data": base64.b64encode(b"PEM").decode()}))
    )
    assert (found.server, found.ca, found.tokens) == (
        "https://api.example.com:6443",
        b"PEM",
        StaticToken(SECRET),
    )
    assert SECRET not in repr(found)


def test_files_are_relative_to_the_kubeconfig_and_a_token_file_wins(tmp_path: Path) -> None:
    user = {"token": SECRET, "tokenFile": "t", "client-certificate": "c.pem", "client-key": "/k.pem"}
    found = read_kubeconfig(written(tmp_path, config({"certificate-authority": "ca.pem"}, user)))
    assert (found.ca, found.tokens) == (tmp_path / "ca.pem", FileToken(tmp_path / "t"))
    assert found.certificate is not None
    assert (found.certificate.chain, found.certificate.key) == (tmp_path / "c.pem", Path("/k.pem"))


@pytest.mark.parametrize(
    ("cluster", "user", "sign"),
    [
        ({"insecure-skip-tls-verify": True}, None, "insecure-skip-tls-verify"),
        ({"proxy-url": "http://proxy"}, None, "proxy-url"),
        ({"server": "http://api.example.com"}, None, "https"),
        ({"server": "https://me:x@api.example.com"}, None, "https"),
        ({"server": f"https://:{SECRET}@api.example.com"}, None, "https"),
        ({"server": "https://api.example.com/a b"}, None, "https"),
        ({"server": "https://api.example.com/ä"}, None, "https"),
        ({"server": "ftp://api"}, None, "https"),
        ({"server": "https://[::1"}, None, "https"),
        ({"server": "https://a:port"}, None, "https"),
        ({"server": f"https://me:{SECRET}@host\uff1a6443"}, None, "https"),
        ({"server": f"https://{'ä' * 70}.example"}, None, "https"),
        ({"tls-server-name": ".example"}, None, "tls-server-name"),
        ({"tls-server-name": "a\0b"}, None, "tls-server-name"),
        ({"certificate-authority-data": "%%%"}, None, "base64"),
        (None, {"auth-provider": {"name": "gcp"}}, "auth-provider"),
        (None, {"username": "a", "password": SECRET}, "password"),
        (None, {"as": "admin", "token": SECRET}, "`as`"),
        (None, {"exec": {"command": "sh", "apiVersion": "v1"}}, "allowExec"),
        (None, {"client-certificate": "c.pem"}, "client-key"),
        (None, {"token": [SECRET]}, "one line of text"),
        (None, {"token": SECRET + "\nX"}, "one line of text"),
    ],
)
def test_K24_what_is_not_honoured_is_refused(
    tmp_path: Path, cluster: dict[str, Any] | None, user: dict[str, Any] | None, sign: str
) -> None:
    assert sign in refusal(written(tmp_path, config(cluster, user)))


def test_settings_that_are_off_are_no_reason_to_refuse(tmp_path: Path) -> None:
    cluster = {"insecure-skip-tls-verify": False, "proxy-url": ""}
    assert read_kubeconfig(written(tmp_path, config(cluster))).server


def test_plain_http_is_for_loopback_without_credentials_only(tmp_path: Path) -> None:
    assert read_kubeconfig(written(tmp_path, config({"server": "http://127.0.0.1:8001"}, {}))).tokens is None
    assert "https" in refusal(written(tmp_path, config({"server": "http://127.0.0.1:8001"})))


def test_an_unknown_context_is_told_with_the_known_ones(tmp_path: Path) -> None:
    assert "known: main" in refusal(written(tmp_path, config()), context="other")


def test_K24_a_mistake_in_its_yaml_is_told_with_its_line_and_never_what_stands_there(tmp_path: Path) -> None:
    assert "line 2: a key stands twice" in refusal(written(tmp_path, f"token: a\ntoken: {SECRET}\n"))
    assert "2 documents" in refusal(written(tmp_path, f"token: {SECRET}\n---\na: 1\n"))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    """As PowerShell writes it."""
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(config()), encoding=encoding)
    assert read_kubeconfig(path).server == "https://api.example.com:6443"


DEEP = (
    "a0: &a0 [x]\n"
    + "".join(f"a{i}: &a{i} {'[' * 95}*a{i - 1}{']' * 95}\n" for i in range(1, 60))
    + "current-context: *a59\n"
)
"""Each line is shallow by itself, and stands for those before it."""


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "a: [",
        f"token: {SECRET}\n\tx: 1",
        "[" * 100_000,
        "!!python/object:os.system {}",
        "a: &a [*a]",
        "\x00",
        "a: 0b_",
        DEEP,
    ],
)
def test_K24_files_that_are_no_kubeconfig_are_refused(tmp_path: Path, content: str) -> None:
    refusal(written(tmp_path, content))


def test_a_missing_or_huge_file_is_refused(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "none")
    assert "1 MiB" in refusal(written(tmp_path, "#" * 1_100_000))


@given(
    st.recursive(
        st.one_of(
            st.none(), st.booleans(), st.text(max_size=8), st.sampled_from(["main", "c", "u", "https://a"])
        ),
        lambda below: st.one_of(
            st.lists(below, max_size=3),
            st.dictionaries(
                st.sampled_from(
                    [
                        "contexts",
                        "context",
                        "clusters",
                        "cluster",
                        "users",
                        "user",
                        "name",
                        "server",
                        "current-context",
                        "exec",
                    ]
                ),
                below,
                max_size=5,
            ),
        ),
        max_leaves=25,
    )
)
def test_K24_any_document_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed"
    path.write_text(yaml.safe_dump(content))
    try:
        read_kubeconfig(path)
    except ClusterError as error:
        assert str(error).isprintable()  # noqa: PT017 - an endpoint is as good an answer


def test_K32_a_token_file_that_is_empty_for_an_instant_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("")

    class Rotation(Deadline):
        def pause(self, seconds: float) -> None:
            super().pause(seconds)
            path.write_text("fresh\n")

    assert FileToken(path, wait=0.05).token(False, Rotation(5.0, Closing())) == "fresh"


def test_K32_a_token_file_whose_name_is_none_is_missing() -> None:
    with pytest.raises(ClusterError, match="missing"):
        FileToken(Path("a\0b"), wait=0.0).token(False, Deadline(5.0, Closing()))


@pytest.mark.parametrize("content", [None, "", "  \n", "two words", "a\nb", "ümlaut"])
def test_K32_a_token_that_cannot_be_one_is_never_sent(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ClusterError) as found:
        FileToken(path, wait=0.0).token(False, Deadline(5.0, Closing()))
    assert found.value.code == "GM502"


def test_an_encrypted_or_broken_certificate_is_an_error_without_a_question(tmp_path: Path) -> None:
    data = base64.b64encode(b"no PEM").decode()
    found = read_kubeconfig(
        written(tmp_path, config(None, {"client-certificate-data": data, "client-key-data": data}))
    )
    with pytest.raises(ClusterError, match="cannot be used"):
        found.context()


def test_outside_of_a_pod_in_cluster_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="inCluster"):
        in_cluster({}, tmp_path)
    (tmp_path / "ca.crt").write_text("x")
    address = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    assert in_cluster(address, tmp_path).server == "https://[fd00::1]:443"


def test_reading_a_kubeconfig_loads_no_kubernetes_client() -> None:
    program = "import sys, gitmesh.adapters.kube.cluster; sys.exit('kubernetes' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_configured_cluster_is_wired_without_a_request(tmp_path: Path) -> None:
    written(tmp_path, config())
    chosen = {
        "name": "west",
        "labels": {"env": "prod"},
        "kubeconfig": {"path": "config"},
        "mode": "Observe",
        "settle": "7s",
    }
    cluster = connect(ClusterConfig.model_validate(chosen), [], folder=tmp_path, environment={})
    assert (cluster.name, cluster.labels, cluster.enforce, cluster.settle) == (
        "west",
        {"env": "prod"},
        False,
        7.0,
    )


def test_a_cluster_that_cannot_be_reached_yet_is_wired_and_fails_when_it_is_asked(tmp_path: Path) -> None:
    for chosen in ({"inCluster": True}, {"kubeconfig": {"path": "later"}}):
        cluster = connect(
            ClusterConfig.model_validate({"name": "here", **chosen}), [], folder=tmp_path, environment={}
        )
        for ask in (cluster.facts, lambda cluster=cluster: cluster.load("default")):
            with pytest.raises(ClusterError, match=r"inCluster|does not exist") as found:
                ask()
            assert (found.value.code, found.value.hint != "") == ("GM502", True)


def test_the_documentation_says_what_is_honoured_what_is_refused_and_that_no_environment_is_read() -> None:
    said = (ROOT / "docs" / "configuration.md").read_text()
    row = next(line for line in said.splitlines() if line.startswith("| `clusters.kubeconfig` "))
    for word in (
        "tls-server-name",
        "token",
        "certificate",
        "exec",
        "proxy-url",
        "insecure-skip-tls-verify",
        "HTTPS_PROXY",
        "read again",
    ):
        assert word in row


def test_a_process_that_ends_without_closing_its_cluster_ends_quietly() -> None:
    program = (
        "from gitmesh.adapters.kube.client import KubeClient, ApiRequest\n"
        "from gitmesh.adapters.kube.credentials import Endpoint\n"
        "client = KubeClient(Endpoint(server='http://127.0.0.1:1'), timeout=1.0, user_agent='t',"
        " jitter=lambda: 0.0)\n"
        "try:\n    client.send(ApiRequest(method='GET', path='/'))\n"
        "except Exception as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "does not answer" in done.stdout
