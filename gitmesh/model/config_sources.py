"""`sources` of `gitmesh.yaml`: repositories and folders that hold policies, and their credentials."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from gitmesh.model.base import DnsLabel, Millis, Model, RelativePath, SomeOf, exactly_one
from gitmesh.model.naming import camel


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
    """What `git check-ref-format` refuses of the characters that remain (docs/reliability.md G03)."""
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
        # Without known hosts whoever answers at the address would be trusted, with the first key that they
        # show.
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
