"""Middleware of every kind that visits its places, and the stacks in which it is used."""

from asgiref.sync import iscoroutinefunction
from django.contrib.auth.models import AnonymousUser
from django.utils.decorators import async_only_middleware, sync_and_async_middleware
from django.utils.deprecation import MiddlewareMixin
from django.utils.module_loading import import_string

from tests.leaks import packages, stores
from tests.leaks.places import avisit, visit
from tests.leaks.tickets import ticket_of
from tests.project.settings import DEFAULT_MIDDLEWARE

HERE = __name__


class Hooks(MiddlewareMixin):
    """Every hook there is, in sync code that nobody has declared."""

    place = "hooks"

    def process_request(self, request):
        visit(request, f"{self.place}: request")

    def process_view(self, request, view, arguments, keywords):
        visit(request, f"{self.place}: view")

    def process_exception(self, request, exception):
        visit(request, f"{self.place}: exception")

    def process_template_response(self, request, response):
        visit(request, f"{self.place}: template response")
        return response

    def process_response(self, request, response):
        visit(request, f"{self.place}: response")
        return response


class InnerHooks(Hooks):
    place = "inner hooks"


class Classic:
    """A wrapper that clears on the way out what it has set on the way in."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        ticket = ticket_of(request)
        visit(request, "classic: in")
        if ticket.shape.known:
            stores.cleared.canary = stores.deleted.canary = ticket.canary
        try:
            return self.get_response(request)
        finally:
            visit(request, "classic: out")
            if ticket.shape.known:
                del stores.cleared.canary
                if hasattr(stores.deleted, "canary"):  # an async view under a naive bridge may have lost it
                    del stores.deleted.canary


def wrapped(get_response, place):
    def middleware(request):
        visit(request, f"{place}: in")
        response = get_response(request)
        visit(request, f"{place}: out")
        return response

    return middleware


def awaiting(get_response, place):
    async def middleware(request):
        await avisit(request, f"{place}: in")
        response = await get_response(request)
        await avisit(request, f"{place}: out")
        return response

    return middleware


def set_if_known(get_response):
    """Set, if the user is known, what is never cleared; a function, as many projects have it."""
    return wrapped(get_response, "function")


@sync_and_async_middleware
def hybrid(get_response):
    """Wrap in the mode Django asks for."""
    return (awaiting if iscoroutinefunction(get_response) else wrapped)(get_response, "hybrid")


@async_only_middleware
def on_loop(get_response):
    """Wrap on the loop."""
    return awaiting(get_response, "async")


class Visitor(MiddlewareMixin):
    """Set a user that has not to be looked up."""

    def process_request(self, request):
        request.user = user_of(ticket_of(request))


class LoggedIn(MiddlewareMixin):
    """Look the user up at once, so that showing who it is needs no database later."""

    def process_request(self, request):
        assert request.user.is_authenticated is ticket_of(request).shape.known


USER_BY_NAME: dict = {}


def user_of(ticket):
    """Return the user of a ticket, as it is in the database."""
    return USER_BY_NAME[ticket.user] if ticket.user else AnonymousUser()


def _here(*names):
    return [f"{HERE}.{name}" for name in names]


SHOWING = packages.middleware_of(
    "django-crum",
    "django-currentuser",
    "django-multitenant",
    "django-easy-audit",
    "django-simple-history",
    "django-auditlog",
)
if "django-reversion" in packages.PRESENT:
    revision = import_string(packages.PRESENT["django-reversion"].middleware)
    revision.atomic = False  # in a transaction around the request, SQLite would let no other writer in
AUTHENTICATING = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    f"{HERE}.LoggedIn",
]

STACKS = {
    "hooks": _here("Hooks", "InnerHooks"),
    "classic": _here("Classic", "set_if_known", "InnerHooks"),
    "async": _here("on_loop", "hybrid"),
    "mixed": _here("Hooks", "on_loop", "Classic", "hybrid", "InnerHooks"),
    "outer hybrid": _here("Hooks", "hybrid", "Classic"),
    "django": [*DEFAULT_MIDDLEWARE, *_here("InnerHooks")],
    "database": _here("Hooks", "Classic"),
    "packages": [*_here("Visitor", "Hooks"), *SHOWING, *_here("hybrid", "InnerHooks")],
    "rows": [*AUTHENTICATING, *SHOWING, *packages.middleware_of("django-reversion"), *_here("InnerHooks")],
}
WEIGHTS = {
    "hooks": 4,
    "classic": 2,
    "async": 5,
    "mixed": 1,
    "outer hybrid": 1,
    "django": 2,
    "database": 1,
    "packages": 1,
}
"""How often each stack gets a request that writes no rows."""

PUTTERS = {
    "hooks": ["hooks: request", "hooks: view", "inner hooks: request", "view"],
    "classic": ["classic: in", "function: in", "inner hooks: view", "view"],
    "async": ["async: in", "hybrid: in", "view"],
    "mixed": ["hooks: request", "async: in", "classic: in", "hybrid: in", "inner hooks: request", "view"],
    "outer hybrid": ["hooks: request", "classic: in", "view"],
    "django": ["inner hooks: request", "inner hooks: view", "view"],
    "database": ["hooks: request", "classic: in", "view"],
    "packages": ["hooks: request", "hybrid: in", "inner hooks: request", "view"],
    "rows": ["inner hooks: request", "view"],
}
