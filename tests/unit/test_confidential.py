"""What may hold a secret shows none, whoever prints it."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from rich.pretty import pprint

from gitmesh.adapters.git.auth import GitAccess
from gitmesh.adapters.kube.credentials import Endpoint
from gitmesh.adapters.kube.exchange import ApiAnswer, ApiRequest
from gitmesh.adapters.kube.tokens import Certificate, Exec, StaticToken
from gitmesh.model.snapshot import File

SECRET = "s3cr3t"
HOLDERS = [
    StaticToken(SECRET),
    Certificate(SECRET.encode(), Path("key")),
    Exec(spec={"args": [SECRET]}, cluster={}, folder=Path()),
    Endpoint(server="https://east", tokens=StaticToken(SECRET), ca=SECRET.encode()),
    ApiAnswer(request=ApiRequest(method="GET", path="/"), status=200, body=SECRET.encode()),
    GitAccess(secrets=(SECRET,), env={"TOKEN": SECRET}),
    File(path="a.yaml", blob="0", content=SECRET.encode()),
]


@pytest.mark.parametrize("holder", HOLDERS, ids=lambda holder: type(holder).__name__)
def test_no_text_of_it_holds_the_secret(holder: object) -> None:
    screen = StringIO()
    pprint(holder, console=Console(file=screen))
    shown = [repr(holder), str(holder), f"{[holder]}", screen.getvalue()]
    assert not [text for text in shown if SECRET in text]
    assert all(type(holder).__name__ in text for text in shown)
