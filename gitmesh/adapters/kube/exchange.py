"""One request to an API server, and what its answer says of the object that was asked about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode

import orjson
from msgspec import Struct

from gitmesh.adapters.kube.errors import api_error, clean, no_object, status_details, unrelated
from gitmesh.confidential import Confidential
from gitmesh.model.objects import mapping, text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitmesh.model.objects import ObjectKey


class ApiRequest(Struct, frozen=True, kw_only=True):
    """One request. `path` was made by `paths`; `body` is JSON text; `safe` says that sending it twice does no
    harm.
    """

    method: str
    path: str
    query: Mapping[str, str] = {}
    body: bytes | None = None
    content_type: str = "application/json"
    accept: str = "application/json"
    safe: bool = True

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def target(self) -> str:
        """Path and query."""
        # The path stays as the guard saw it: nothing is normalised after it.
        return f"{self.path}?{urlencode(self.query, safe='/', quote_via=quote)}" if self.query else self.path


class Identity(NamedTuple):
    """Which object, in which version."""

    uid: str
    version: str


class ApiAnswer(Confidential, frozen=True, kw_only=True):
    """Any answer but one that was retried; `warnings` are the texts of its Warning headers."""

    request: ApiRequest
    status: int
    body: bytes
    warnings: tuple[str, ...] = ()
    retry_after: str | None = None

    @property
    def is_absent(self) -> bool:
        """Whether the API server says that there is no such object."""
        # An object that is taken for gone is written anew, or its deletion counted as done, so the word of
        # anything else than the API server is not enough.
        # Nor is the 404 of a proxy, of a wrong address, or of a path that is not served: the object may be
        # there in another version.
        return self.status == 404 and status_details(self.body).get("name") == self._asked_name

    @property
    def _asked_name(self) -> str:
        """The name of the object that a request for one object asks about."""
        return self.request.path.rpartition("/")[2]

    def json(self) -> dict[str, Any]:
        """The object of a 2xx. Raises ApiError for other statuses and ClusterError for what is no JSON
        object.
        """
        if not 200 <= self.status < 300:
            raise api_error(str(self.request), self.status, self.body)
        try:
            content = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            content = None
        if not isinstance(content, dict):
            raise no_object(str(self.request), self.body)
        return content

    def identity(self, key: ObjectKey) -> Identity:
        """uid and resourceVersion of the object that was asked about. Raises ApiError as `json`, ClusterError
        for an answer that is not this object: it says nothing of it.
        """
        content = self.json()
        metadata = mapping(content.get("metadata"))
        found = (text(content.get("kind")), text(metadata.get("namespace")), text(metadata.get("name")))
        group = text(content.get("apiVersion")).rpartition("/")[0]
        uid, version = text(metadata.get("uid")), text(metadata.get("resourceVersion"))
        # A proxy may answer 200 with something else, and what follows writes by this uid and version.
        if (group, *found) != key or not uid or not version:
            raise unrelated(str(self.request), self.body)
        return Identity(uid, version)

    def is_deleted(self, uid: str) -> bool:
        """Whether the API server says that the object of this uid, whose deletion was asked for, is gone."""
        details = status_details(self.body)
        return (
            self.json().get("status") == "Success"
            and details.get("name") == self._asked_name
            # Another uid: somebody made it anew meanwhile, and that one was not to be deleted. Servers that
            # tell none are believed.
            and details.get("uid") in (None, uid)
        )


def warning_of(header: str) -> str:
    """The text of a Warning header: 299 - "text"."""
    _, quote, rest = header.partition('"')
    return clean(rest.rpartition('"')[0] if quote else header)
