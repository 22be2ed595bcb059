"""A tab of a real browser, and how much processor time its main thread has used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, sync_playwright

from e2e import browser


class Tab:
    """One page, in a browser of its own, that is visible and draws at its screen's pace."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self._devtools = page.context.new_cdp_session(page)
        self._devtools.send("Performance.enable")

    def main_thread_ms(self) -> float:
        """Return the processor time, in ms, that the main thread has used since the page was opened.

        It is the kernel's count of the one thread that runs scripts, styles, layout and paint; what it does between
        the browser's tasks is in it. No other thread keeps a page from answering its reader.
        """
        metrics = self._devtools.send("Performance.getMetrics")["metrics"]
        (seconds,) = (metric["value"] for metric in metrics if metric["name"] == "ThreadTime")
        return float(seconds) * 1000


@contextmanager
def open_tab(executable: str | None) -> Iterator[Tab]:
    """Launch the browser and open an empty page in it."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=browser.LAUNCH_FLAGS)
        try:
            yield Tab(
                chromium.new_page(viewport={"width": 1280, "height": 800}, service_workers="block")
            )
        finally:
            chromium.close()
