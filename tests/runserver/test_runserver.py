"""``manage.py runserver``, Django's and daphne's: error pages, static files, and code that changes under its hands."""

import html
import re

import pytest

from tests.lifespan.process import Process
from tests.process import ROOT, START_S, wait_until
from tests.runserver.site import urlpatterns

FRAME = re.compile(r'<code class="fname">(.*?)</code>, line \d+, in (.*?)\s*$', re.MULTILINE)
TITLE = re.compile(r"<title>(.*?)</title>", re.DOTALL)
KINDS = {"django's": "", "daphne's": "1"}
IN_VIEW = [
    f"/{each.callback.__name__}/" for each in urlpatterns if each.callback.__name__.startswith(("fails", "re", "b"))
]
AFTER = ["Classic", "classic", "hybrid", "declared", "asynchronous"]
BEFORE = [*AFTER, "Hybrid", "AfterAsync", "InnerDeclared"]
HOOKS = ["process_request", "process_view", "process_template_response", "process_response"]
IN_MIDDLEWARE = [
    f"/{view}/?fail={where}"
    for view in ("works", "works_async")
    for where in (*HOOKS, *BEFORE, *(f"{each}+after" for each in AFTER))
]
IN_BOTH = [f"/{view}/?fail=process_exception" for view in ("fails", "fails_async")]


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """Start each runserver on Onehop, with a module ``said`` that may change, and on stock Django."""
    started = {}
    try:
        for stock in (False, True):
            for kind, daphne in KINDS.items():
                folder = tmp_path_factory.mktemp("stock" if stock else "onehop")
                (folder / "said.py").write_text("word = 'first'\n")
                started[kind, stock] = Process(
                    ["-m", "django", "runserver", "127.0.0.1:{port}", *(["--noreload"] if stock else [])],
                    folder,
                    stock=stock,
                    DJANGO_SETTINGS_MODULE="tests.runserver.settings",
                    DAPHNE=daphne,
                    PYTHONPATH=str(folder),
                )
                if len(started) == 1:
                    started[kind, stock].wait()  # The others find the bytecode that it has written.
        for process in started.values():
            process.wait()
        yield started
    finally:
        for process in started.values():
            process.end()


def page(server, path):
    """Return status and title of an error page, and its frames in order: file and function."""
    status, _, body = server.fetch(path, headers={"Accept": "text/html"})
    text = html.unescape(body.decode())
    frames = [(file.removeprefix(f"{ROOT}/"), function) for file, function in FRAME.findall(text)]
    return status, TITLE.findall(text), frames


def of_user(frames):
    return [frame for frame in frames if frame[0].startswith("tests/")]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", [*IN_VIEW, *IN_MIDDLEWARE, *IN_BOTH])
def test_an_error_page_shows_what_is_the_users(servers, kind, path):
    status, title, frames = page(servers[kind, False], path)
    stock_status, stock_title, stock_frames = page(servers[kind, True], path)
    assert (status, title, of_user(frames)) == (stock_status, stock_title, of_user(stock_frames))
    assert status == 500
    if kind == "django's":
        assert frames == stock_frames
    else:
        assert [frame for frame in frames if frame not in stock_frames] == []


@pytest.mark.parametrize("kind", KINDS)
def test_what_works_and_static_files(servers, kind):
    for path in ("/works/", "/works_async/", "/static/settings.py", "/static/missing.css"):
        (status, headers, body), stock = (servers[kind, each].fetch(path) for each in (False, True))
        assert (status, [name for name, _ in headers]) == (stock[0], [name for name, _ in stock[1]])
        assert status == (404 if "missing" in path else 200)
        assert status == 404 or body == stock[2]


@pytest.mark.parametrize("kind", KINDS)
def test_changed_code_is_served(servers, kind):
    """The new process enters the lifespan anew; the old one has left it."""
    server = servers[kind, False]
    said = server.log_file.parent / "said.py"
    assert server.fetch("/says/")[2] == b"first"
    said.write_text("word = 'changed'\n")

    def is_changed():
        try:
            answer = server.fetch("/says/")[2]
        except OSError:  # it restarts
            return False
        if answer == b"first":
            said.touch()  # The reloader may have seen the file for the first time just now.
        return answer == b"changed"

    wait_until(is_changed, "the restart", START_S)
    # The touch may make it restart once more.
    assert server.events[:3] == ["entered", "left", "entered"] and server.events[-1] == "entered"
