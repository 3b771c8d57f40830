"""Pages of the explorer in headless Chromium, and servers of it, over a store with every phase built."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pages import Shown, exported_pages
from small_store import Finished
from workspace import PROFILE

from bench.chromium import FLAGS, chromium
from circuitstore.storage.layout import Store
from circuitstore.viewer.server import Explorer
from tasks.exploring.records import Records


@pytest.fixture(scope="session")
def chrome():
    """A running Chromium. Without Playwright or Chromium, the tests that need it are skipped."""
    reason = "the extra `browser` is not installed"
    api = pytest.importorskip("playwright.sync_api", reason=reason)
    path = chromium()
    if path is None:
        pytest.skip("Chromium is not installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def show(chrome) -> Iterator[Callable[..., Shown]]:
    """`show(address)`: a page in a window of its own. At the end no script of any has failed."""
    opened: list[Shown] = []

    def open_page(address: str, **window: object) -> Shown:
        opened.append(Shown(chrome, address, **window))
        return opened[-1]

    yield open_page
    for shown in opened:
        shown.close()
        assert shown.problems == []


@pytest.fixture(scope="session")
def exported(built: Finished, tmp_path_factory) -> Path:
    """The folder of the exported behaviour."""
    return exported_pages(built, tmp_path_factory.mktemp("pages"))


@pytest.fixture
def serve(built: Finished, tmp_path) -> Iterator[Callable[..., Explorer]]:
    """`serve(author="…")`: a server of a copy of the store; all of one test share the copy."""
    copy = built.copy(tmp_path / "copy")
    servers: list[Explorer] = []

    def start(author: str = "") -> Explorer:
        records = Records(Store(str(copy.store)).check(), PROFILE)
        server = Explorer(records.get, records.decide, author=author)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        server.store = copy.store
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
