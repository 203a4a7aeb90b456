"""Credentials of a repository: read from their files at each use, and given to git without appearing in an
argument list or a URL.
"""

from __future__ import annotations

import base64
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from gitmesh.adapters.git.errors import GitError, Reason
from gitmesh.adapters.git.names import url_scheme
from gitmesh.confidential import Confidential
from gitmesh.model.config_sources import SourceAuth

# Forges that take a token as the password accept any user name with it.
_DEFAULT_USER = "git"
_SECRET_LIMIT = 16_384


class GitAccess(Confidential, frozen=True, kw_only=True):
    """What one run of git gets: settings and variables, and the texts that must never be shown."""

    config: tuple[tuple[str, str], ...] = ()
    env: Mapping[str, str] = {}
    secrets: tuple[str, ...] = ()


def access(url: str, auth: SourceAuth, base: Path, connect_seconds: float) -> GitAccess:
    """Read the credentials that the URL's transport uses. Raises GitError where a named file cannot be used.

    Relative file names are below `base`. Never falls back to an anonymous try.
    """
    scheme = url_scheme(url)
    env = {"GIT_ALLOW_PROTOCOL": scheme}
    if scheme == "ssh":
        return GitAccess(
            env={
                **env,
                "GIT_SSH_VARIANT": "ssh",
                "GIT_SSH_COMMAND": _ssh_command(auth, base, connect_seconds),
            }
        )
    if scheme not in ("https", "http"):
        return GitAccess(env=env)
    config, secrets = _login(url, auth, base)
    if auth.ca_file:
        # The variable, since an inherited one would win over the setting.
        env["GIT_SSL_CAINFO"] = str(_existing(base / auth.ca_file, "auth.caFile").absolute())
    if auth.proxy:
        config.append(("http.proxy", auth.proxy))
    return GitAccess(config=tuple(config), env=env, secrets=secrets)


def _login(url: str, auth: SourceAuth, base: Path) -> tuple[list[tuple[str, str]], tuple[str, ...]]:
    """The header of HTTP basic authentication, bound to the URL's host."""
    if not auth.username_file and not auth.password_file:
        return [], ()
    if not auth.password_file:
        raise GitError("auth.usernameFile needs auth.passwordFile", Reason.CREDENTIALS)
    user = _secret(base / auth.username_file, "auth.usernameFile") if auth.username_file else _DEFAULT_USER
    password = _secret(base / auth.password_file, "auth.passwordFile")
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    parts = urlsplit(url)
    # For this host alone: a setting without it would send the token to every other one, too.
    return [(f"http.{parts.scheme}://{parts.netloc}/.extraHeader", f"Authorization: Basic {token}")], (
        password,
        token,
    )


def _ssh_command(auth: SourceAuth, base: Path, connect_seconds: float) -> str:
    """A shell command, as git wants it; ssh splits values at spaces and expands %, so paths are quoted for it
    as well.
    """
    options = [
        "BatchMode=yes",
        "StrictHostKeyChecking=yes",
        f"ConnectTimeout={max(1, int(connect_seconds))}",
        # A connection that somebody else opened would be used with that one's rights.
        "ControlPath=none",
    ]
    if not auth.ssh_key_file or not auth.known_hosts_file:
        return shlex.join(["ssh", *(f"-o{option}" for option in options)])
    options += [
        "IdentitiesOnly=yes",
        # The key that is configured, and no other that an agent of this machine happens to hold.
        "IdentityAgent=none",
        f"IdentityFile={_ssh_path(base / auth.ssh_key_file, 'auth.sshKeyFile')}",
        f"UserKnownHostsFile={_ssh_path(base / auth.known_hosts_file, 'auth.knownHostsFile')}",
        f"GlobalKnownHostsFile={os.devnull}",
    ]
    return shlex.join(["ssh", "-F", os.devnull, *(f"-o{option}" for option in options)])


def _ssh_path(path: Path, what: str) -> str:
    """A path as the value of an ssh option."""
    text = str(_existing(path, what).absolute())
    if '"' in text or "\\" in text or not text.isprintable():
        raise GitError(
            f"{what}: ssh cannot use a path with quotes, backslashes or control characters",
            Reason.CREDENTIALS,
        )
    return '"' + text.replace("%", "%%") + '"'


def _existing(path: Path, what: str) -> Path:
    """The path, if it is a file that can be read and is not empty."""
    try:
        with path.open("rb") as file:
            if file.read(1):
                return path
    except OSError as error:
        raise GitError(f"{what}: {path} cannot be read: {error.strerror}", Reason.CREDENTIALS) from None
    raise GitError(f"{what}: {path} is empty", Reason.CREDENTIALS)


def _secret(path: Path, what: str) -> str:
    """The one line in a file, without the line's end."""
    try:
        with path.open("rb") as file:
            text = file.read(_SECRET_LIMIT).decode().rstrip("\r\n")
    except OSError as error:
        raise GitError(f"{what}: {path} cannot be read: {error.strerror}", Reason.CREDENTIALS) from None
    except UnicodeDecodeError:
        raise GitError(f"{what}: {path} is not text", Reason.CREDENTIALS) from None
    if not text or not text.isprintable():
        raise GitError(
            f"{what}: {path} {'holds more than one line of text' if text else 'is empty'}", Reason.CREDENTIALS
        )
    return text
