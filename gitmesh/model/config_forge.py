"""`forge` of `gitmesh.yaml`: the site of the policies' repository, for reviews and statuses of commits."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from gitmesh.model.base import Model, RelativePath

_ADDRESS = re.compile(
    r"(https?)://(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])"
    r"(?::[0-9]{1,5})?(?:/[A-Za-z0-9_.-]+)*/?"
)
_PUBLIC = {"github": "https://github.com", "gitlab": "https://gitlab.com"}


def _address(url: str) -> str:
    """The address of a forge, in the form that its API's is made of."""
    # The errors do not repeat what was written: it may hold a secret, and they end up in logs and on pages.
    if "@" in url:
        raise ValueError("a URL holds no credentials; use tokenFile")
    if (
        not _ADDRESS.fullmatch(url)
        # The addresses of API calls begin with this one; a part like these would lead them elsewhere on the
        # host.
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
    # `urlsplit` takes any digits and finds out only here, when asked for the port, that it is over 65535.
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
