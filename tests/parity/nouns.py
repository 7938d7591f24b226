"""What a case consists of. Each noun prints as the Python that makes it, without what is as usual."""

from dataclasses import dataclass, field, fields


class Short:
    """A dataclass that prints only what differs from the defaults."""

    def __repr__(self):
        given = []
        for each in fields(self):
            value = getattr(self, each.name)
            default = each.default_factory() if callable(each.default_factory) else each.default
            if value != default:
                given.append(f"{each.name}={value!r}")
        return f"{type(self).__name__}({', '.join(given)})"


@dataclass(frozen=True, repr=False)
class Spec(Short):
    """
    One middleware of our own.

    Attributes:
        kind: One of ``stacks.KINDS``.
        around: What it does around ``get_response``: one of ``stacks.AROUND``.
        hooks: What each hook does: names of hooks → one of ``stacks.DOES``.
        async_hooks: The hooks around the view are coroutine functions.
        declared: Declared to run anywhere.
        touches: What its code does on the way in and out: some of ``touches.TOUCHES``.
    """

    kind: str
    around: str = "pass"
    hooks: dict = field(default_factory=dict, hash=False)
    async_hooks: bool = False
    declared: bool = False
    touches: tuple = ()


@dataclass(frozen=True, repr=False)
class View(Short):
    """One view: a function or a class, sync or async; what it answers; what it does before; its decorators."""

    does: str = "ok"
    mode: str = "sync"
    form: str = "function"
    touches: tuple = ()
    decorators: tuple = ()


@dataclass(frozen=True, repr=False)
class Request(Short):
    """
    One request.

    Attributes:
        to: A path, or the number of one of the site's views.
        cookies: Send back the cookies that the site has set.
        csrf: How the CSRF token of the cookie is sent back: "", "header" or "wrong".
        pieces: In how many messages the body arrives.
        scope: Entries of the scope to set, and to leave out where the value is ``nouns.ABSENT``.
        hangs_up: The client has gone before its body has arrived.
        send_fails_at: The number of the message whose ``send`` raises; None for none.
    """

    to: int | str | bytes = 0
    method: str = "GET"
    query: bytes | str = b""
    headers: tuple = ()
    body: bytes = b""
    pieces: int = 1
    cookies: bool = True
    csrf: str = ""
    scope: tuple = ()
    hangs_up: bool = False
    send_fails_at: int | None = None


ABSENT = "left out"


@dataclass(frozen=True, repr=False)
class Site(Short):
    """
    One site.

    Attributes:
        stack: Its middleware, outermost first: specifications, and dotted paths of Django's own.
        views: Its views; number 2 answers ``/v2/``.
        settings: Pairs of a setting and its value.
        errors: What its error handlers are: "" for Django's own, "plain", "template", "querying" or "raising".
        prefixed: Its URLs are inside ``i18n_patterns``.
        atomic: ``ATOMIC_REQUESTS``.
        receivers: Who listens to the signals of a request: "", "sync", "async" or "both".
    """

    stack: tuple = ()
    views: tuple = (View(),)
    settings: tuple = ()
    errors: str = ""
    prefixed: bool = False
    atomic: bool = False
    receivers: str = ""


@dataclass(frozen=True, repr=False)
class Case(Short):
    """A site, and the requests that are sent to it one after another."""

    site: Site = Site()
    requests: tuple = (Request(),)
