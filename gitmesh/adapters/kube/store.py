"""The ledger in a ConfigMap, written by compare-and-set on its resourceVersion."""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING

import orjson

from gitmesh.adapters.kube.client import KubeClient
from gitmesh.adapters.kube.errors import ApiError
from gitmesh.adapters.kube.exchange import ApiAnswer, ApiRequest
from gitmesh.adapters.kube.message import GZIP
from gitmesh.adapters.kube.paths import collection, item
from gitmesh.adapters.writing import lost_race
from gitmesh.errors import ClusterError
from gitmesh.model.ledger import NAMESPACE, Ledger, Stored
from gitmesh.model.objects import ApiKind, ObjectKey, mapping, text
from gitmesh.model.ownership import FIELD_MANAGER
from gitmesh.planning.leaving import LEAVING
from gitmesh.planning.ledger_codec import FutureLedgerError, encode_ledger, read_ledger
from gitmesh.planning.ownership import INSTANCE, MANAGED_BY

if TYPE_CHECKING:
    from collections.abc import Mapping

_KIND = ApiKind(group="", kind="ConfigMap", plural="configmaps", versions=("v1",))
_PLAIN, _PACKED = "ledger.json", "ledger.json.gz"
_LONGEST_PLAIN = 700 * 1024
_LONGEST_UNPACKED = 64 * 1024 * 1024


def ledger_key(instance: str) -> ObjectKey:
    """The ConfigMap of an instance's ledger."""
    return ObjectKey(group="", kind="ConfigMap", namespace=NAMESPACE, name=f"gitmesh-{instance}")


class LedgerStore:
    """The ledger of one cluster; reading it again gives the same value while it did not change."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._last: Stored | None = None

    def load(self, instance: str) -> Stored:
        """The ledger, an empty one if there is none, `corrupt` if it cannot be read. Raises ClusterError."""
        answer = self._get(instance)
        if answer.is_absent:
            return Stored(ledger=Ledger(instance=instance))
        raw = answer.json()
        version = answer.identity(ledger_key(instance)).version
        if self._last is None or self._last.version != version or self._last.ledger.instance != instance:
            self._last = _stored(raw, instance, version)
        return self._last

    def save(self, ledger: Ledger, version: str) -> str:
        """Write it if `version` is still the one that was read. Raises ClusterError, on a lost race too."""
        content = _content(ledger)
        answer = self._client.send(_request(ledger.instance, content, version))
        refused = answer.status == 409
        if refused:  # perhaps by our own write, whose answer was lost on its way
            answer = self._get(ledger.instance)
        try:
            saved = _saved(answer, ledger.instance, content)
            if refused and saved == version:  # an answer from before: the server has just said that it moved
                raise lost_race(f"{NAMESPACE}/gitmesh-{ledger.instance}")
        except ApiError as error:
            raise _explained(error) from None
        self._last = Stored(ledger=ledger, version=saved)
        return saved

    def _get(self, instance: str) -> ApiAnswer:
        return self._client.send(ApiRequest(method="GET", path=item(_KIND, "v1", ledger_key(instance))))


def _saved(answer: ApiAnswer, instance: str, content: Mapping[str, object]) -> str:
    """The version, if what is there is what we wrote."""
    raw, version = answer.json(), answer.identity(ledger_key(instance)).version
    # After a conflict this tells our own write, whose answer was lost, from somebody else's.
    if any((raw.get(part) or {}) != content.get(part, {}) for part in ("data", "binaryData")):
        raise lost_race(f"{NAMESPACE}/gitmesh-{instance}")
    return version


def _request(instance: str, content: Mapping[str, object], version: str) -> ApiRequest:
    key = ledger_key(instance)
    metadata = {
        "name": key.name,
        "namespace": key.namespace,
        "labels": {MANAGED_BY: FIELD_MANAGER, INSTANCE: instance},
    }
    if version:
        metadata["resourceVersion"] = version
    body = orjson.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **content})
    # A creation is a POST: a PUT without a version would overwrite what another agent made meanwhile.
    path = item(_KIND, "v1", key) if version else collection(_KIND, "v1", key.namespace)
    return ApiRequest(
        method="PUT" if version else "POST", path=path, query={"fieldManager": FIELD_MANAGER}, body=body
    )


def _content(ledger: Ledger) -> dict[str, object]:
    text = encode_ledger(ledger)
    if len(text) <= _LONGEST_PLAIN:
        return {"data": {_PLAIN: text.decode()}}
    return {"binaryData": {_PACKED: base64.b64encode(zlib.compress(text, 9, wbits=GZIP)).decode()}}


def _stored(raw: Mapping[str, object], instance: str, version: str) -> Stored:
    try:
        return read_ledger(_text(raw), instance, version)
    except FutureLedgerError as error:
        raise ClusterError(
            str(error),
            retryable=False,
            code="GM508",
            hint="Let the newer GitMesh keep it, or upgrade this one.",
        ) from None


def _text(raw: Mapping[str, object]) -> bytes:
    """The ledger's text; empty, which is no ledger, where what holds it is damaged."""
    plain = mapping(raw.get("data")).get(_PLAIN)
    if plain is not None:
        return str(plain).encode()
    unpacker = zlib.decompressobj(wbits=GZIP)
    try:
        packed = base64.b64decode(text(mapping(raw.get("binaryData")).get(_PACKED)), validate=True)
        content = unpacker.decompress(packed, _LONGEST_UNPACKED)
    except (ValueError, zlib.error):  # binascii.Error is a ValueError
        return b""
    # Without its end it was cut, or would unpack to more than a ledger can be: a bomb.
    return content if unpacker.eof else b""


def _explained(error: ApiError) -> ClusterError:
    if error.code == LEAVING:
        hint = "Let it go, create it again, and the ledger is made again from the marks."
        return ClusterError(
            f"the namespace {NAMESPACE} of the ledger is being deleted", code="GM505", hint=hint
        )
    if error.status == 404 and NAMESPACE in error.text:
        text = (
            f"the namespace {NAMESPACE} for the ledger does not exist; create it: kubectl create namespace"
            f" {NAMESPACE}"
        )
        return ClusterError(text, code="GM505")
    return error
