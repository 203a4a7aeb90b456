"""What a web server answered to git, where git itself tells too little: a login page reads as a repository without branches."""

from __future__ import annotations

import re

from gitmesh.adapters.git.errors import GitError, Reason

TRACE = {"GIT_TRACE_CURL": "1", "GIT_TRACE_CURL_NO_DATA": "1", "GIT_TRACE_REDACT": "1"}
"""Makes git print the headers of its requests, without those that hold credentials."""

_HINT = "A login page or a proxy may stand before the repository, or the URL is wrong."
_ASKED = re.compile(r"=> Send header: GET \S*/info/refs\b")
_STATUS = re.compile(r"<= Recv header: HTTP/[\d.]+ (\d{3})")
_TYPE = re.compile(r"<= Recv header: content-type:[ \t]*([\w.+-]{1,60}/[\w.+-]{1,60})", re.IGNORECASE)
_PAGES = ("text/html", "application/xhtml+xml")
_SMART = "application/x-git-"


def page_in_place_of_git(trace: str, host: str, *, failed: bool) -> GitError | None:
    """The error if the traced answer is not a Git server's; None where it may be one.

    Of a plain file server, which git can read as well, only a web page is told apart unless git `failed` on the answer.
    """
    answer = _ASKED.split(trace)[-1]
    status, kind = _STATUS.findall(answer)[:1], _TYPE.findall(answer)[:1]
    if not status or not kind or kind[0].lower().startswith(_SMART):
        return None
    page = kind[0].lower() in _PAGES
    if not page and not failed:
        return None
    text = f"the host answered with {'a web page' if page else 'something else'} ({kind[0].lower()}), not as a Git server does"
    return GitError(f"{text} ({host}, HTTP {status[0]})", Reason.NO_GIT_SERVER, hint=_HINT)
