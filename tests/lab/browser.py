"""Debian's Chromium without a screen: what people see of a page."""

from __future__ import annotations

import base64
import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.lab.devtools import DevTools
from tests.lab.process import LabError, Process, wait_until

PAGE_SECONDS = 180.0
_QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)
_UNFOLD = "document.querySelectorAll('details').forEach(one => { one.open = true })"


class Browser:
    """One browser, for as long as a ``with`` block lasts. Every page is seen by somebody new, with the given
    cookies alone.

    A page counts as there once it has loaded all that it names. `unfold` opens what is folded (`<details>`)
    first.
    """

    def __init__(self, program: Path) -> None:
        self._program = program
        self._stack = contextlib.ExitStack()
        self._tools: DevTools | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tools = None
        self._stack.close()

    def _start(self) -> None:
        made = tempfile.TemporaryDirectory(prefix="gitmesh-lab-browser-", ignore_cleanup_errors=True)
        folder = Path(self._stack.enter_context(made))
        told = folder / "profile" / "DevToolsActivePort"
        command: list[str | Path] = [
            self._program,
            *_QUIET,
            f"--user-data-dir={folder / 'profile'}",
            "about:blank",
        ]
        process = Process(command, folder / "browser.log", name="chromium", env={"LANG": "C.UTF-8"})
        self._stack.callback(process.kill)

        def ready() -> bool:
            process.check()
            return told.is_file() and len(told.read_text().splitlines()) == 2

        wait_until(ready, "browser", PAGE_SECONDS)
        port, path = told.read_text().splitlines()
        self._tools = self._stack.enter_context(DevTools(int(port), path, PAGE_SECONDS))

    def text_of(self, url: str, *, cookies: Mapping[str, str] | None = None, unfold: bool = False) -> str:
        """The words that are seen on a page; white space is one space."""
        with self._page(url, cookies or {}, unfold) as session:
            return " ".join(str(self._evaluate(session, "document.body.innerText")).split())

    def picture(
        self,
        url: str,
        path: Path,
        *,
        width: int = 1280,
        cookies: Mapping[str, str] | None = None,
        unfold: bool = False,
    ) -> Path:
        """Write a PNG of the whole page, `width` pixels wide; returns its path."""
        with self._page(url, cookies or {}, unfold, width) as session:
            taken = self.tools.call("Page.captureScreenshot", session, captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(taken["data"]))
        return path

    @property
    def tools(self) -> DevTools:
        """The connection to it."""
        if self._tools is None:
            raise LabError("the browser is not started")
        return self._tools

    @contextlib.contextmanager
    def _page(self, url: str, cookies: Mapping[str, str], unfold: bool, width: int = 1280) -> Iterator[str]:
        """The session of a loaded page, in a profile of its own."""
        somebody = self.tools.call("Target.createBrowserContext")["browserContextId"]
        try:
            target = self.tools.call("Target.createTarget", url="about:blank", browserContextId=somebody)[
                "targetId"
            ]
            session = str(
                self.tools.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            )
            self._size(session, width, 800)
            self._load(session, url, cookies)
            if unfold:
                self._evaluate(session, _UNFOLD)
            self._size(session, width, int(self._evaluate(session, "document.documentElement.scrollHeight")))
            yield session
        finally:
            self.tools.call("Target.disposeBrowserContext", browserContextId=somebody)
            self.tools.forget()

    def _size(self, session: str, width: int, height: int) -> None:
        self.tools.call(
            "Emulation.setDeviceMetricsOverride",
            session,
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def _load(self, session: str, url: str, cookies: Mapping[str, str]) -> None:
        for name, value in cookies.items():
            self.tools.call("Network.setCookie", session, name=name, value=value, url=url)
        self.tools.call("Page.enable", session)
        failure = self.tools.call("Page.navigate", session, url=url).get("errorText")
        if failure:
            raise LabError(f"the browser cannot show {url}: {failure}")
        self.tools.wait_for("Page.loadEventFired", session)

    def _evaluate(self, session: str, script: str) -> Any:
        return self.tools.call("Runtime.evaluate", session, expression=script)["result"].get("value")


def find_browser() -> Path | None:
    """Chromium on PATH; None where it is not installed."""
    program = shutil.which("chromium")
    return Path(program) if program else None
