"""POST /webhook: who proves that he knows the secret wakes, and what he says brings about nothing."""

from __future__ import annotations

import hashlib
import hmac
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from gitmesh.agent.logs import logger
from gitmesh.agent.webhook import ForgeHook

SECRET = "s3cret of the tests"
PUSH = {"ref": "refs/heads/main", "repository": {"full_name": "shop/policies"}}
KINDS = ("gitea", "github", "gitlab")


class Hook:
    """A webhook with a secret, and what it told."""

    def __init__(self, folder: Path, kind: str = "gitea") -> None:
        self.kind, self.file, self.pushed, self.output = kind, folder / "secret", list[str](), io.StringIO()
        self.file.write_text(f"{SECRET}\n", encoding="utf-8")
        self.webhook = ForgeHook(
            kind,
            "shop/policies",
            self.file,
            pushed=self.pushed.append,
            log=logger("json", stream=self.output),
        )

    def send(
        self, body: bytes | Mapping[str, Any] = PUSH, headers: Mapping[str, str] | None = None, kind: str = ""
    ) -> int:
        """The status that a message of a content type gets; with the right proof unless headers are given."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.webhook.answer(
            {"content-type": kind, **(proof(self.kind, content) if headers is None else headers)}, content
        )[0]

    def logged(self, event: str) -> list[dict[str, str]]:
        """What the log says."""
        return [
            line for line in map(json.loads, self.output.getvalue().splitlines()) if line["event"] == event
        ]


def signed(body: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def proof(kind: str, body: bytes) -> dict[str, str]:
    return {
        "github": {"x-hub-signature-256": f"sha256={signed(body)}"},
        "gitea": {"x-gitea-signature": signed(body)},
        "gitlab": {"x-gitlab-token": SECRET},
    }[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_the_proof_of_each_forge(tmp_path: Path, kind: str) -> None:
    hook = Hook(tmp_path, kind)
    assert hook.send() == 200
    assert hook.pushed == ["main"]


@pytest.mark.parametrize("header", ["x-gitea-signature", "x-forgejo-signature", "x-hub-signature-256"])
def test_a_gitea_signs_in_several_headers(tmp_path: Path, header: str) -> None:
    body = json.dumps(PUSH).encode()
    prefix = "sha256=" if header.startswith("x-hub") else ""
    assert Hook(tmp_path).send(body, {header: prefix + signed(body)}) == 200


BODY = json.dumps(PUSH).encode()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-gitlab-token": "", "x-hub-signature-256": "", "x-gitea-signature": ""},
        {
            "x-gitlab-token": SECRET[:-1],
            "x-hub-signature-256": f"sha1={signed(BODY)}",
            "x-gitea-signature": signed(BODY, "another"),
        },
        {
            "x-hub-signature-256": f"sha256={signed(b'another body')}",
            "x-gitea-signature": signed(b"another body"),
        },
        {
            "x-gitlab-token": "\xff\u20ac",
            "x-hub-signature-256": "sha256=\xff\u20ac",
            "x-gitea-signature": "\xff\u20ac",
        },
        {"authorization": SECRET, "x-hub-signature": f"sha1={signed(BODY)}"},
    ],
)
def test_without_proof_nobody_is_woken(tmp_path: Path, kind: str, headers: dict[str, str]) -> None:
    hook = Hook(tmp_path, kind)
    assert hook.send(BODY, headers) == 401
    assert hook.pushed == []


def test_the_proof_of_one_forge_is_none_for_another(tmp_path: Path) -> None:
    """The secret itself in a header proves nothing where a signature is asked for: a proxy's log would give
    it away.
    """
    for kind in KINDS:
        for other in KINDS:
            taken = kind == other or (kind, other) == ("gitea", "github")  # Gitea signs as GitHub does, too
            assert (Hook(tmp_path, kind).send(BODY, proof(other, BODY)) == 200) == taken


@pytest.mark.parametrize(
    ("body", "pushed"),
    [
        (PUSH, ["main"]),
        ({**PUSH, "ref": "refs/heads/env/prod"}, ["env/prod"]),
        ({**PUSH, "ref": "refs/tags/v1"}, []),
        ({"action": "opened", "repository": {"full_name": "Shop/Policies"}}, [""]),
        ({"project": {"path_with_namespace": "shop/policies"}, "object_kind": "merge_request"}, [""]),
        ({"ref": "refs/heads/main", "repository": {"full_name": "shop/other"}}, []),
        ({"project": {"path_with_namespace": "group/shop/policies"}}, []),
        ({}, [""]),
        (b"", [""]),
        (b"\xff", [""]),
        (b'{"repository": null}', [""]),
        (b"[" * 100_000, [""]),
        ({"ref": 7}, [""]),
    ],
)
def test_what_it_is_about(tmp_path: Path, body: bytes | dict[str, Any], pushed: list[str]) -> None:
    """Whoever has the secret may wake; what cannot be understood may be about anything."""
    hook = Hook(tmp_path)
    assert hook.send(body) == 200
    assert hook.pushed == pushed


def test_a_form_holds_the_message_in_one_field(tmp_path: Path) -> None:
    hook = Hook(tmp_path, "github")
    for repository in ("shop/policies", "shop/other"):
        body = urlencode({"payload": json.dumps({**PUSH, "repository": {"full_name": repository}})}).encode()
        assert hook.send(body, kind="application/x-www-form-urlencoded; charset=utf-8") == 200
    assert hook.pushed == ["main"]


def test_the_secret_is_read_at_each_use_and_an_empty_one_opens_nothing(tmp_path: Path) -> None:
    hook = Hook(tmp_path)
    hook.file.write_text("a new one", encoding="utf-8")
    assert hook.send() == 401
    assert hook.send(BODY, {"x-gitea-signature": signed(BODY, "a new one")}) == 200
    for useless in ("", " \n", "x" * 5000):
        hook.file.write_text(useless, encoding="utf-8")
        assert hook.send(BODY, {"x-gitea-signature": signed(BODY, useless.strip())}) == 503
    hook.file.unlink()
    assert hook.send() == 503
    assert [line["error"].split(" ")[0] for line in hook.logged("webhook")] == [
        "somebody",
        *["forge.webhook.secretFile"] * 2,
    ]
    assert SECRET not in hook.output.getvalue()


def test_whoever_has_no_proof_fills_no_log(tmp_path: Path) -> None:
    hook = Hook(tmp_path)
    for _ in range(5):
        hook.send(BODY, {})
    assert [line["level"] for line in hook.logged("webhook")] == ["warning"]
    hook.send()
    assert [line["branch"] for line in hook.logged("woken by the forge")] == ["main"]
    hook.send(BODY, {})
    assert len(hook.logged("webhook")) == 2
