"""`gitmesh.yaml`: where policies come from and which clusters they go to (api.md, Configuration)."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from gitmesh.model.base import DnsLabel, LabelKey, LabelValue, Millis, Model, Seq, SomeOf, exactly_one
from gitmesh.model.naming import camel

RelativePath = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\x00\r\n]+$")]


def _inside(path: str) -> str:
    """A path inside the repository, without a slash at its end."""
    if path.startswith("/") or ".." in path.split("/"):
        raise ValueError("a path inside the repository neither starts with / nor contains ..")
    return (
        path.strip("/").removeprefix("./").strip(".")
        if path in (".", "./")
        else path.removeprefix("./").rstrip("/")
    )


SourcePath = Annotated[str, Field(max_length=4096, pattern=r"^[^\x00\r\n\\]*$"), AfterValidator(_inside)]


def _ref(branch: str) -> str:
    """What `git check-ref-format` refuses of the characters that remain (reliability.md G03)."""
    parts = branch.split("/")
    if (
        ".." in branch
        or branch.endswith(".")
        or any(not part or part.startswith(".") or part.endswith(".lock") for part in parts)
    ):
        raise ValueError("not a branch name: .., //, a dot at the end, or .lock at the end of a part")
    return branch


Branch = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./-]{0,250}$"), AfterValidator(_ref)]


class SourceAuth(Model):
    """Credentials of a source, as references to files; re-read at each use."""

    username_file: RelativePath | None = Field(None, description="File with the user name.")
    password_file: RelativePath | None = Field(None, description="File with the password or token.")
    ssh_key_file: RelativePath | None = Field(None, description="File with the private SSH key.")
    known_hosts_file: RelativePath | None = Field(
        None, description="File with the host keys to trust; required with sshKeyFile."
    )
    ca_file: RelativePath | None = Field(
        None, description="File with the certificates to verify the server with."
    )
    proxy: Annotated[str, Field(pattern=r"^(https?|socks5h?)://[^\s@]+$")] | None = Field(
        None, description="Proxy, without credentials in the URL."
    )

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if (self.ssh_key_file is None) != (self.known_hosts_file is None):
            raise ValueError("sshKeyFile and knownHostsFile go together")
        return self


_OF_REPOSITORIES = frozenset({"branch", "auth", "allow_insecure", "allow_rewind"})
"""Fields of a source that say nothing of a plain folder."""


class SourceConfig(Model):
    """What holds policies: exactly one of url, a branch of a repository, and path, a plain folder."""

    name: DnsLabel = Field(description="Name of the source.")
    url: Annotated[str, Field(min_length=1, max_length=2048)] | None = Field(
        None, description="A repository: https or ssh; file and http only with allowInsecure."
    )
    path: RelativePath | None = Field(
        None,
        description=(
            "A plain folder in place of a repository, from the folder of gitmesh.yaml. It has no history:"
            " what is in it is in force, and while it is refused, live objects stay as they are."
        ),
    )
    branch: Branch = Field("main", description="Branch to follow.")
    paths: SomeOf[SourcePath] = Field(
        ("",), description="Folders of the repository, or below the plain folder, that hold policies."
    )
    interval: Millis = Field(
        30_000, description="Time between two polls, plus up to 10% jitter.", validate_default=False
    )
    auth: SourceAuth = Field(default_factory=SourceAuth, description="Credentials.")
    allow_insecure: bool = Field(False, description="Allow file:// and http://.")
    allow_rewind: bool = Field(False, description="Accept a tip that does not descend from the accepted one.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        exactly_one(self, "url", "path")
        alien = (
            sorted(camel(name) for name in self.model_fields_set & _OF_REPOSITORIES)
            if self.path is not None
            else []
        )
        if alien:
            raise ValueError(
                f"{' and '.join(alien)} {'goes' if len(alien) == 1 else 'go'} with url; a folder (path) has"
                " no such thing"
            )
        return self


class Kubeconfig(Model):
    """A kubeconfig file and the context to use of it."""

    path: RelativePath = Field(description="Path of the file, from the folder of gitmesh.yaml.")
    context: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        None, description="Context; default the file's current one."
    )
    allow_exec: bool = Field(
        False, description="Allow credentials that are made by running a program that the file names."
    )


def _settle(millis: int) -> int:
    if not 1_000 <= millis <= 15_000:
        raise ValueError(
            "settle is from 1s to 15s: no proxy learns of a write at once, and a cycle has to wait for it"
        )
    return millis


class ClusterConfig(Model):
    """One cluster: exactly one of directory, kubeconfig and inCluster."""

    name: DnsLabel = Field(description="Name of the cluster in policies, plans and status.")
    labels: dict[LabelKey, LabelValue] = Field(default_factory=dict, description="Labels for selectors.")
    directory: RelativePath | None = Field(
        None, description="A tree of YAML files that is read and written as if it were live."
    )
    kubeconfig: Kubeconfig | None = Field(
        None,
        description=(
            "A cluster reached by a kubeconfig, which is read again when it changed. Of a cluster in it count"
            " `server`, the CA and `tls-server-name`; of a user a token, a certificate, or `exec` with"
            " `allowExec`. Anything else that is set, such as `proxy-url` or `insecure-skip-tls-verify`, is"
            " refused. Connections are direct: KUBECONFIG, HTTPS_PROXY and NO_PROXY are not read."
        ),
    )
    in_cluster: Literal[True] | None = Field(
        None,
        description=(
            "The cluster that the agent runs in: its address is that of KUBERNETES_SERVICE_HOST and"
            " KUBERNETES_SERVICE_PORT, its token and CA are those of the pod's ServiceAccount, read again as"
            " they are rotated."
        ),
    )
    mode: Literal["Enforce", "Observe"] = Field("Enforce", description="Observe never writes.")
    timeout: Millis = Field(
        30_000,
        description="Deadline of one request; a list of many pages has four times as long.",
        validate_default=False,
    )
    settle: Annotated[Millis, AfterValidator(_settle)] = Field(
        5_000,
        description=(
            "Time in which every proxy learns of a write, 1s to 15s: what relies on the write (a route on its"
            " subset) waits so long."
        ),
        validate_default=False,
    )

    control_planes: dict[DnsLabel, Seq[DnsLabel]] = Field(
        default_factory=dict,
        description=(
            "Namespaces where the control planes of a mesh count, by translator (`istio: [istio-system,"
            " istio-prod]`); a mesh that is not named keeps its usual one. `gatewayapi: [NAMESPACE]` is for a"
            " mesh that reads routes of the Gateway API and has no translator of its own, nor a usual place."
            " What looks like a control plane elsewhere is told and counts for nothing."
        ),
    )

    @property
    def enforce(self) -> bool:
        """Whether it is written to."""
        return self.mode == "Enforce"

    @property
    def settle_seconds(self) -> float:
        """`settle` as clusters count it."""
        return self.settle / 1000

    @model_validator(mode="after")
    def _one(self) -> Self:
        exactly_one(self, "directory", "kubeconfig", "in_cluster")
        return self


class PruneConfig(Model):
    """The guard on deletions."""

    max_percent: Annotated[int, Field(ge=0, le=100)] = Field(
        30,
        description=(
            "Greatest share of a cluster's objects that one revision may delete unasked; up to 10 objects"
            " always may be."
        ),
    )
    protect: Seq[str] = Field(
        (), description="Object ids (cluster/group/Kind/namespace/name, with * and ?) that are never deleted."
    )
    approved: Seq[Annotated[str, Field(pattern=r"^[0-9a-f]{7,64}$")]] = Field(
        (), description="Commits whose deletions are approved."
    )


class Author(Model):
    """Author of status commits."""

    name: Annotated[str, Field(pattern=r"^[^<>\x00-\x1f]{1,100}$")] = Field("gitmesh", description="Name.")
    email: Annotated[str, Field(pattern=r"^[^<>\s\x00-\x1f]{1,200}$")] = Field(
        "gitmesh@localhost", description="Address."
    )


class WriteBackConfig(Model):
    """Where status is written."""

    status_branch: Branch = Field(
        "gitmesh-status",
        description=(
            "Branch of the first source that is a repository, made by GitMesh; one that it did not make is"
            " left alone."
        ),
    )
    author: Author = Field(default_factory=Author, description="Author of the commits.")
    enabled: bool = Field(True, description="Whether status is written at all.")


_ADDRESS = re.compile(
    r"(https?)://(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:/[A-Za-z0-9_.-]+)*/?"
)
_PUBLIC = {"github": "https://github.com", "gitlab": "https://gitlab.com"}


def _address(url: str) -> str:
    """The address of a forge, in the form that its API's is made of; a wrong one is never repeated, since it
    may hold a secret.
    """
    if "@" in url:
        raise ValueError("a URL holds no credentials; use tokenFile")
    if (
        not _ADDRESS.fullmatch(url)
        or any(part in (".", "..") for part in url.split("/"))
        or not _has_port(url)
    ):
        raise ValueError(
            "not the address of a forge; write https://host, with a path only where the whole forge is"
            " below one"
        )
    return url.rstrip("/")


def _has_port(url: str) -> bool:
    """Whether the port of an address, if it names one, is one that there can be."""
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def _repository(path: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)+", path) or any(
        part in (".", "..") for part in path.split("/")
    ):
        raise ValueError(
            "a repository is owner/name, at GitLab group/subgroup/name, of letters, digits, dots, - and _"
        )
    return path


def _http_proxy(url: str) -> str:
    if not re.fullmatch(r"http://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}/?", url) or not _has_port(
        url
    ):
        raise ValueError("a proxy is http://host:port, without credentials")
    return url


class WebhookConfig(Model):
    """What the forge calls when something happens, so that nobody waits for the next poll."""

    secret_file: RelativePath = Field(
        description="File with the secret that the forge was given for it, in one line; read at each use."
    )


class ForgeConfig(Model):
    """The forge where the policies' repository is: its pull requests are reviewed, its commits get a
    status.
    """

    kind: Literal["gitea", "github", "gitlab"] = Field(description="What it is; a Forgejo is a `gitea`.")
    url: Annotated[str, Field(max_length=2048), AfterValidator(_address)] | None = Field(
        None,
        description=(
            "Address of its web pages; default https://github.com or https://gitlab.com. http only with"
            " allowInsecure."
        ),
    )
    repository: Annotated[str, Field(max_length=1024), AfterValidator(_repository)] = Field(
        description="The repository there: owner/name, at GitLab group/subgroup/name."
    )
    token_file: RelativePath = Field(
        description="File with the token of the account that comments, in one line; read at each use."
    )
    ca_file: RelativePath | None = Field(
        None, description="File with the certificates to verify the forge with, in place of the system's."
    )
    proxy: Annotated[str, Field(max_length=256), AfterValidator(_http_proxy)] | None = Field(
        None,
        description=(
            "HTTP proxy, http://host:port, without credentials. HTTPS_PROXY and NO_PROXY are not read."
        ),
    )
    allow_insecure: bool = Field(
        False, description="Allow http://, which shows the token to everybody on the way."
    )
    reviews: bool = Field(
        True,
        description=(
            "Whether the agent reviews open pull requests; without, it only sets the statuses of commits."
        ),
    )
    webhook: WebhookConfig | None = Field(
        None,
        description=(
            "Let the forge wake the agent by POST /webhook on the address `listen`; polling stays as the net."
        ),
    )

    @property
    def address(self) -> str:
        """`url`, or the public forge of this kind."""
        return self.url or _PUBLIC[self.kind]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.url is None and self.kind not in _PUBLIC:
            raise ValueError(f"url is missing: a {self.kind} has no public address")
        if self.address.startswith("http://") and not self.allow_insecure:
            raise ValueError("url: http is allowed only with `allowInsecure: true`")
        if self.kind != "gitlab" and self.repository.count("/") != 1:
            raise ValueError("repository: owner/name; only GitLab has groups in groups")
        return self


class Config(Model):
    """The configuration of one instance."""

    api_version: Literal["gitmesh.io/v1alpha1"] = Field(description="Version of this format.")
    kind: Literal["Config"] = Field(description="Always Config.")
    instance: DnsLabel = Field(
        "default", description="Name of this instance; two instances never touch each other's objects."
    )
    sources: SomeOf[SourceConfig] = Field(description="Repositories or folders that hold policies.")
    clusters: SomeOf[ClusterConfig] = Field(description="Clusters to keep.")
    prune: PruneConfig = Field(default_factory=PruneConfig, description="The guard on deletions.")
    write_back: WriteBackConfig = Field(
        default_factory=WriteBackConfig, description="Where status is written."
    )
    forge: ForgeConfig | None = Field(
        None, description="The forge of the first source's repository, for reviews and statuses of commits."
    )
    listen: Annotated[str, Field(pattern=r"^[0-9A-Za-z.\[\]:-]*:[0-9]{1,5}$")] = Field(
        ":8080", description="Address of health and metrics."
    )
    ignore: Seq[Annotated[str, Field(pattern=r"^[a-z0-9.-]*/[A-Z][A-Za-z0-9]*$")]] = Field(
        (), description="group/Kind of other documents that may lie in the policy paths; core kinds as /Kind."
    )
    translators: dict[DnsLabel, dict[str, Any]] = Field(
        default_factory=dict, description="Settings of translators, by name."
    )

    @model_validator(mode="after")
    def _unique(self) -> Self:
        for what, names in (
            ("source", [s.name for s in self.sources]),
            ("cluster", [c.name for c in self.clusters]),
        ):
            doubled = sorted({name for name in names if names.count(name) > 1})
            if doubled:
                raise ValueError(f"two {what}s are named {doubled[0]}")
        if self.write_back.enabled and self.write_back.status_branch in {
            s.branch for s in self.sources if s.url is not None
        }:
            raise ValueError("writeBack.statusBranch must not be the branch of a source")
        return self
