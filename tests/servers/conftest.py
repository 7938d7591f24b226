"""Every ASGI server with the site of this folder; its log is shown when a test fails."""

from contextlib import ExitStack

import pytest

from tests.process import Server, wait_until

TARGET = "tests.servers.asgi:application"
LATE = "import sys, uvicorn; uvicorn.Server(uvicorn.Config(sys.argv[2], port=int(sys.argv[1]))).run()"
COMMANDS = {
    "uvicorn": ["-m", "uvicorn", "--port", "{port}", TARGET],
    "daphne": ["-m", "daphne", "-b", "127.0.0.1", "-p", "{port}", TARGET],
    "granian": ["-m", "granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", "{port}", TARGET],
    "hypercorn": ["-m", "hypercorn", "--bind", "127.0.0.1:{port}", TARGET],
    "uvicorn that imports late": ["-c", LATE, "{port}", TARGET],
}
SERVERS = ["uvicorn", "daphne", "granian", "hypercorn"]


class Served(Server):
    """
    One server, which starts now and is used once ``wait`` has returned.

    With ``watch`` the site has receivers of its own for the signals of a request, and notes what they receive.
    """

    def __init__(self, name, folder, *, stock=False, watch=False):
        self.watch = watch
        watching = "1" if watch else ""
        settings = "tests.servers.settings"
        super().__init__(name, COMMANDS[name], folder, stock=stock, DJANGO_SETTINGS_MODULE=settings, WATCH=watching)

    def noted(self, *events):
        """Return those of some events that this site notes."""
        return [each for each in events if self.watch or each not in ("started", "finished")]

    def settle(self):
        """Wait until all requests so far are finished, and no sync view runs; return the number of events."""

        def settled():
            events = self.events
            views = [event.split()[1] for event in events if event.startswith("view") and " on " in event]
            opened, closed = events.count("started"), events.count("finished")
            return opened == closed and views.count("entered") == views.count("ended") and len(events)

        return wait_until(settled, "the end of all requests")

    def wait_for_events(self, since, count):
        """Wait until a number of events was noted since some number; return all there are then."""
        wait_until(lambda: len(self.events) >= since + count, f"{count} events after number {since}")
        return self.events[since:]

    def fetch(self, path, method="GET", body=None, headers=(), connection=None):
        return super().fetch(path, method, body, {"X-Sent": "yes", **dict(headers)}, connection)


@pytest.fixture(scope="module", params=SERVERS)
def three(request, tmp_path_factory):
    """Start a server three times: on Onehop, on Onehop with receivers of the site's own, and on stock Django."""
    kinds = {"plain": {}, "watched": {"watch": True}, "stock": {"stock": True, "watch": True}}
    with ExitStack() as stack:
        servers = {}
        for kind, keywords in kinds.items():
            servers[kind] = Served(request.param, tmp_path_factory.mktemp(f"{request.param}-{kind}"), **keywords)
            stack.callback(servers[kind].end)
        for served in servers.values():
            served.wait()
        yield servers


@pytest.fixture
def plain(three):
    return three["plain"]


@pytest.fixture
def stock(three):
    return three["stock"]


@pytest.fixture(params=["plain", "watched"])
def server(request, three):
    """Onehop, without and with receivers."""
    return three[request.param]


@pytest.fixture
def short_lived(request, tmp_path):
    """Start one server, named by the test's parameter, that the test may end itself."""
    served = Served(request.param, tmp_path)
    try:
        served.wait()
        yield served
    finally:
        served.end()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    if report.failed:
        for name, value in item.funcargs.items():
            if isinstance(value, Served):
                report.sections.append((f"log of {name}", value.log))
                report.sections.append((f"events of {name}", "\n".join(value.events)))
    return report
