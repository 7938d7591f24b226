"""``onehop show`` on a real project, in a process of its own."""

import json
import subprocess
import sys

import pytest

SETTINGS = """
SECRET_KEY = "x" * 50
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "site_urls"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"]
MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware", "site_urls.Logger"]
ONEHOP = {onehop}
"""
URLS = """
from django.http import HttpResponse
from django.urls import path

class Logger:
    def __init__(self, get_response):
        self.get_response = get_response
    def __call__(self, request):
        return self.get_response(request)

async def now(request):
    return HttpResponse("now")

def page(request):
    return HttpResponse("page")

urlpatterns = [path("now/", now), path("page/", page)]
"""


@pytest.fixture
def show(tmp_path):
    """Run ``onehop show`` in a project with one undeclared wrapper."""

    def run(*arguments, onehop="{}"):
        (tmp_path / "site_settings.py").write_text(SETTINGS.format(onehop=onehop))
        (tmp_path / "site_urls.py").write_text(URLS)
        command = [sys.executable, "-m", "onehop", "show", "--settings", "site_settings", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    return run


def test_piped_output_names_each_step_with_lane_and_reason(show):
    """Without a terminal it is plain text: no boxes, no colours, one line for each step."""
    output = show().stdout

    lines = [line.split(maxsplit=4) for line in output.splitlines() if line.strip()[:1].isdigit()]
    assert [(line[1:3] if line[1] == "→" else line[1:2]) for line in lines] == [
        ["loop"],
        ["→", "thread"],
        ["thread"],
        ["→", "loop"],
        ["→", "thread"],
        ["thread"],
    ]
    assert "sync middleware, neither known nor declared" in output
    assert "\x1b" not in output and "│" not in output


def test_hops_stand_beside_stock_djangos(show):
    """For an async and for a sync view, Onehop's hops and stock Django's."""
    rows = [line.split() for line in show().stdout.splitlines() if "view: hops" in line]

    assert [row[3:] for row in rows] == [["2", "+", "1", "post", "4"], ["1", "+", "1", "post", "5"]]


def test_a_declaration_takes_the_hops_away(show):
    """The wrapper that costs two hops costs none once it is declared."""
    result = json.loads(show("--json", onehop='{"RUNS_ANYWHERE": ["site_urls.Logger"]}').stdout)

    assert [(view["mode"], view["hops"], view["posts"]) for view in result["views"]] == [
        ("async", 0, 0),
        ("sync", 1, 1),
    ]


def test_a_url_shows_the_plan_of_its_view(show):
    """With a URL there is one plan, and its view is named."""
    result = json.loads(show("/page/?q=1", "--json").stdout)

    assert [view["mode"] for view in result["views"]] == ["sync"]
    assert "site_urls.page" in [line["step"] for line in result["views"][0]["lines"]]


@pytest.mark.parametrize(
    ("arguments", "onehop", "code", "words"),
    [
        (["/nowhere/"], "{}", 1, "No URL pattern matches '/nowhere/'."),
        ([], '{"RUN_ANYWHERE": []}', 2, "Did you mean 'RUNS_ANYWHERE'?"),
        ([], '{"RUNS_ANYWHERE": ["site_urls.Loger"]}', 2, "Did you mean 'site_urls.Logger'?"),
    ],
)
def test_mistakes_are_one_clear_line(show, arguments, onehop, code, words):
    """Culprit, fact and fix in one line on stderr; no traceback."""
    result = show(*arguments, onehop=onehop)

    assert result.returncode == code
    assert words in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
