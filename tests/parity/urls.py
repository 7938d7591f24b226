"""The URLconf of the case at hand; ``world.site_of`` fills it."""

from django.conf.urls.i18n import i18n_patterns
from django.contrib.auth import get_user_model
from django.http import HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, re_path

from tests.parity import views
from tests.parity.nouns import View
from tests.parity.recorder import note_error
from tests.parity.stacks import Boom

LOGIN = View(does="log in")

urlpatterns = []


def plain(kind, status):
    def handler(request, exception=None):
        note_error(f"handler{kind}", "called", type(exception).__name__)
        return HttpResponse(f"mine {kind}", status=status)

    return handler


def template(kind, status):
    def handler(request, exception=None):
        note_error(f"handler{kind}", "called", type(exception).__name__)
        return TemplateResponse(request, "hello.html", {"name": kind}, status=status).render()

    return handler


def raising(kind, status):
    def handler(request, exception=None):
        note_error(f"handler{kind}", "called", type(exception).__name__)
        raise Boom(f"handler{kind}")

    return handler


def querying(kind, status):
    def handler(request, exception=None):
        note_error(f"handler{kind}", "called", type(exception).__name__)
        return HttpResponse(f"{get_user_model().objects.count()} users", status=status)

    return handler


HANDLERS = {"querying": querying, "plain": plain, "template": template, "raising": raising}
STATUSES = (400, 403, 404, 500)


def fill(site):
    """Put the views and error handlers of a site here."""
    patterns = []
    for number, view in enumerate(site.views):
        call = views.make(view, f"view {number}")
        patterns += [
            path(f"v{number}/", call),
            path(f"v{number}/<int:key>/", call, {"extra": 1}),
            re_path(rf"^w{number}/(\w+)/$", call),
            path(f"noslash{number}", call),
        ]
    patterns.append(path("login/", views.make(LOGIN, "login")))
    globals()["urlpatterns"] = i18n_patterns(*patterns, prefix_default_language=False) if site.prefixed else patterns
    for status in STATUSES:
        globals().pop(f"handler{status}", None)
        if site.errors:
            globals()[f"handler{status}"] = HANDLERS[site.errors](status, status)
