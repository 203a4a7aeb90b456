"""Which repository URLs and branch names are safe to hand to git (reference/reliability.md G01 to G05)."""

from __future__ import annotations

import re

_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<authority>[^/]*)(?P<path>/.*)\Z")
_SCP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*@[A-Za-z0-9][A-Za-z0-9.-]*:[A-Za-z0-9_./][A-Za-z0-9._/+-]*\Z")
_HOST = r"(?:[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
_AUTHORITY = {
    "https": re.compile(_HOST + r"\Z"),
    "http": re.compile(_HOST + r"\Z"),
    "ssh": re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9._-]*@)?" + _HOST + r"\Z"),
    "file": re.compile(r"(?:localhost)?\Z"),
}
_INSECURE = frozenset({"http", "file"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_EXPANDED = re.compile(r"[$%~\\\s]")
_REF_FORBIDDEN = re.compile(r"\.\.|@\{|//|/\.|\.lock(?:/|\Z)|[./]\Z")
_REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,250}\Z")


def url_scheme(url: str) -> str:
    """The transport of a URL: https, ssh (also for `user@host:path`), http, file or whatever stands before `://`; "" for none."""
    if _SCP.match(url):
        return "ssh"
    found = _URL.match(url)
    return found["scheme"] if found else ""


def url_problem(url: str, *, allow_insecure: bool) -> str:
    """What is wrong with a repository URL, for people; "" if nothing is. The answer never holds the URL: it may hold a secret."""
    scheme = url_scheme(url)
    if scheme not in _AUTHORITY:
        return "the URL must start with https:// or ssh://"
    if scheme in _INSECURE and not allow_insecure:
        return f"{scheme}:// is allowed with allowInsecure: true only; use https:// or ssh://"
    if _SCP.match(url):
        return ""
    return _parts_problem(url, scheme)


def _parts_problem(url: str, scheme: str) -> str:
    """The rest of the check, for a URL proper."""
    found = _URL.match(url)
    if found is None or _CONTROL.search(url):
        return "the URL holds a control character"
    if not _AUTHORITY[scheme].match(found["authority"]):
        if "@" in found["authority"] and scheme != "ssh":
            return "the URL holds credentials; put them into files and name these under auth"
        return "the host in the URL is not valid"
    # Paths of the own machine hold what the user's folders are called; the others are typed by people.
    if scheme != "file" and _EXPANDED.search(url):
        return "the URL holds a space or one of $ % ~ \\"
    return ""


def branch_problem(branch: str) -> str:
    """What is wrong with a branch name (git-check-ref-format, and no leading dash); "" if nothing is."""
    if not _REF.match(branch) or _REF_FORBIDDEN.search(branch):
        return f"{branch[:64]!r} is not a valid branch name"
    return ""
