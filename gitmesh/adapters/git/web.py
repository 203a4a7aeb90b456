"""What a web server answered to git, where git itself tells too little: a login page reads as a repository
without branches.
"""

from __future__ import annotations

import re

from gitmesh.adapters.git.errors import GitError, Reason

TRACE = {"GIT_TRACE_CURL": "1", "GIT_TRACE_CURL_NO_DATA": "1", "GIT_TRACE_REDACT": "1"}
"""Makes git print the headers of its requests, without those that hold credentials."""

_HINT = "A login page or a proxy may stand before the repository, or the URL is wrong."
_ASKED = re.compile(r"=> Send header: GET \S*/info/refs\b")
_STATUS = re.compile(r"<= Recv header: HTTP/[\d.]+ (\d{3})")
_TYPE = re.compile(r"<= Recv header: content-type:[ \t]*([\w.+-]{1,60}/[\w.+-]{1,60})", re.IGNORECASE)
_EMPTY = re.compile(r"<= Recv header: content-length:[ \t]*0\s", re.IGNORECASE)
_PAGES = ("text/html", "application/xhtml+xml")
_SMART = "application/x-git-"


def page_in_place_of_git(trace: str, host: str, *, failed: bool) -> GitError | None:
    """The error if the traced answer is not a Git server's; None where it may be one.

    Git reads the files of a plain web server as well. Where it did not `fail` on the answer, an empty one
    that is no web page may be the list of such a repository without branches.
    """
    # The last request: before it there may be one without credentials, or a proxy's.
    answer = _ASKED.split(trace)[-1].partition("=> Send header, ")[0]
    status, kinds = _STATUS.search(answer), _TYPE.search(answer)
    kind = kinds[1].lower() if kinds else ""
    page = kind in _PAGES
    if (
        status is None
        or not status[1].startswith("2")
        or kind.startswith(_SMART)
        or not (page or failed or not _EMPTY.search(answer))
    ):
        return None
    text = (
        f"the host answered with {'a web page' if page else 'something else'} ({kind or 'of no type'}), not"
        " as a Git server does"
    )
    return GitError(f"{text} ({host}, HTTP {status[1]})", Reason.NO_GIT_SERVER, hint=_HINT)
