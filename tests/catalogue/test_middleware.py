"""The middleware chain: the bugs 27 to 42 that no test elsewhere is named after."""

import asyncio
import functools
import gc
import inspect
import itertools
import threading
from typing import NamedTuple

import pytest
import wrapt
from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.contrib.auth import alogin, alogout
from django.contrib.auth.models import User
from django.core.exceptions import MiddlewareNotUsed, SynchronousOnlyOperation
from django.core.signals import got_request_exception, request_finished, request_started
from django.db import connections
from django.http import HttpResponse
from django.template.response import TemplateResponse
from django.test import Client, override_settings
from django.urls import path, re_path
from django.utils.decorators import async_only_middleware, sync_and_async_middleware, sync_only_middleware
from django.utils.deprecation import MiddlewareMixin
from django.views import View

from onehop import runs_anywhere
from tests import asgi
from tests.asgi import counting
from tests.plan.test_known_rows import HOOKS, SITES, middleware_of_django
from tests.run.drive import run, until
from tests.run.stacks import KINDS, paths
from tests.run.test_body import BOTH
from tests.run.test_messages import compare, make_view, modes, outcome_of
from tests.run.test_process import run_script


def ok(request):
    return HttpResponse("ok")


def not_used(get_response):
    raise MiddlewareNotUsed("not here")


UNUSED = {
    "sync": sync_only_middleware(lambda get_response: not_used(get_response)),
    "async": async_only_middleware(lambda get_response: not_used(get_response)),
    "hybrid": sync_and_async_middleware(lambda get_response: not_used(get_response)),
    "hooks": type("Hooks", (MiddlewareMixin,), {"__init__": lambda self, get_response: not_used(get_response)}),
}


@modes
@pytest.mark.parametrize("kind", UNUSED)
def test_bug_27_middleware_that_is_not_used_changes_no_call(site, around, importable, mode, kind):
    """Django #32299: one that raises ``MiddlewareNotUsed``, between any two others, leaves calls and answer alone."""
    log = []
    around(lambda name, *_: log.append(name), lambda name, *_: log.append(name))
    unused = importable(UNUSED[kind])

    for outer, inner in itertools.product(KINDS, KINDS):
        log.clear()
        answer = asgi.get(site(make_view(mode, ok), [*paths(outer), *unused, *paths(inner)]))
        assert (answer.status, answer.body, log) == (200, b"ok", [outer, inner, inner, outer])


@modes
@pytest.mark.parametrize("outer", KINDS)
def test_bug_27_middleware_that_is_not_used_makes_no_hop(site, importable, outer, mode):
    """The same for hops. One that is sync or async only may put hybrids on the thread: never more than stock Django."""

    def hops(*middleware, **keywords):
        application = site(make_view(mode, ok), middleware, **keywords)
        with counting() as counts:
            asgi.get(application)
        return counts["hops"]

    for inner in KINDS:
        without = hops(*paths(outer, inner))
        for kind, unused in UNUSED.items():
            stack = [*paths(outer), *importable(unused), *paths(inner)]
            if hops(*stack) != without:
                assert kind in ("sync", "async") and "hybrid" in (outer, inner), (kind, inner)
                assert hops(*stack) <= hops(*stack, stock=True), (kind, inner)


@pytest.mark.parametrize(("around_it", "marked"), [([], True), (["Classic"], False)], ids=["loop", "thread"])
@override_settings(INSTALLED_APPS=SITES)
def test_bug_28_middleware_is_marked_async_if_it_is_awaited(site, around_it, marked):
    """Django #31928: all middleware that Django ships finds out in which mode it is called: on the loop async."""
    shipped = [f"{cls.__module__}.{cls.__qualname__}" for cls in middleware_of_django()]
    layers = site(make_view("async", ok), [*paths(*around_it), *shipped]).plan.layers
    instances = [layer.instance for layer in layers if layer.path in shipped]

    assert len(instances) == len(shipped)
    assert [each for each in instances if iscoroutinefunction(each) is not marked] == []
    assert [each for each in instances if iscoroutinefunction(each.get_response) is not marked] == []


class Everywhere(MiddlewareMixin):
    """Notes, in all five hooks, the thread and the database connection."""

    seen: list = []

    @classmethod
    def note(cls):
        cls.seen.append((threading.get_ident(), id(connections["default"])))

    def process_request(self, request):
        self.note()

    def process_view(self, request, callback, arguments, keywords):
        self.note()

    def process_template_response(self, request, response):
        self.note()
        return response

    def process_response(self, request, response):
        self.note()
        return response

    def process_exception(self, request, exception):
        self.note()
        return HttpResponse("handled")


@BOTH
@pytest.mark.parametrize("between", KINDS)
@pytest.mark.parametrize("fails", [False, True], ids=["answers", "fails"])
@modes
def test_bug_29_all_sync_code_of_a_request_shares_thread_and_connection(site, connect, mode, fails, between, stock):
    """Django #31905: hooks of two middleware, a template's rendering, a sync view, receivers of both signals."""
    Everywhere.seen = seen = []

    def receiver(**_):
        Everywhere.note()

    def render(response):
        Everywhere.note()
        return response

    def view(request):
        if mode == "sync":
            Everywhere.note()
        if fails:
            raise ValueError("of the view")
        response = TemplateResponse(request, "hello.html")
        response.add_post_render_callback(render)
        return response

    connect(request_started, receiver)
    connect(request_finished, receiver)
    everywhere = f"{__name__}.Everywhere"
    application = site(make_view(mode, view), [everywhere, *paths(between), everywhere], stock=stock)

    assert asgi.get(application).status == 200
    run(until(lambda: len(seen) >= 10 + (mode == "sync") - 2 * fails))
    assert len(set(seen)) == 1
    assert seen[0][0] != threading.get_ident()


USERS = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]


@override_settings(INSTALLED_APPS=SITES, SITE_ID=1)
@pytest.mark.filterwarnings("ignore:Support for subclasses of RemoteUserMiddleware")
def test_bug_30_an_overridden_hook_is_called(site, importable):
    """Django #36390: in a subclass of each middleware that Django ships, each hook; as often as by stock Django."""
    for base in middleware_of_django():
        for name in filter(functools.partial(hasattr, base), HOOKS):
            called = []

            def hook(self, *arguments, base=base, name=name, called=called):
                called.append(name)
                return getattr(base, name)(self, *arguments)

            path = importable(type("Subclass", (base,), {name: hook}))
            outcomes = []
            for stock in (False, True):
                status = asgi.get(site(make_view("async", ok), [*USERS, *path], stock=stock)).status
                outcomes.append((status, list(called)))
                called.clear()
            assert outcomes[0] == outcomes[1], (base, name)


class ForGet(View):
    def get(self, request):
        return HttpResponse("got")


class ForAsyncGet(View):
    async def get(self, request):
        return HttpResponse("got")


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("kind", [None, *KINDS])
@pytest.mark.parametrize("view", [ForGet, ForAsyncGet])
def test_bug_31_a_method_that_a_view_class_lacks_is_refused(site, view, kind, method):
    """Django #34062: the sync answer 405 of an async class, and its ``options``, are taken as by stock Django."""
    onehop, stock = compare(site, view.as_view(), asgi.scope_of(method=method), middleware=paths(*filter(None, [kind])))

    assert onehop == stock
    assert onehop[0][0]["status"] == (405 if method in ("POST", "TRACE") else 200)


async def answer(request):
    return HttpResponse("awaited")


class Callable:
    async def __call__(self, request):
        return HttpResponse("awaited")

    async def method(self, request):
        return HttpResponse("awaited")

    @staticmethod
    async def static(request):
        return HttpResponse("awaited")


def passing(function):
    @functools.wraps(function)
    def passed(*arguments, **keywords):
        return function(*arguments, **keywords)

    return passed


@wrapt.decorator
def wrapped(function, instance, arguments, keywords):
    return function(*arguments, **keywords)


class Marked(Callable):
    def __init__(self):
        markcoroutinefunction(self)


HIDDEN_VIEWS = {
    "function": answer,
    "wraps": passing(answer),
    "wraps twice": passing(passing(answer)),
    "wraps, marked": markcoroutinefunction(passing(answer)),
    "wrapt": wrapped(answer),
    "wrapt around wraps": wrapped(passing(answer)),
    "lambda": lambda request: answer(request),
    "partial": functools.partial(answer),
    "partial of wraps": functools.partial(passing(answer)),
    "object": Callable(),
    "marked object": Marked(),
    "method": Callable().method,
    "static": Callable.static,
}


@pytest.fixture
def unawaited():
    """Let Python say in this test, and not in another one, what was never awaited."""
    yield
    gc.collect()


@pytest.mark.filterwarnings("ignore:.*was never awaited:RuntimeWarning")
@pytest.mark.parametrize("name", HIDDEN_VIEWS)
def test_bug_32_a_view_in_a_wrapper_is_what_stock_django_takes_it_for(site, unawaited, name):
    """Sentry #849, #1016 and #6698, dd-trace #14512 and #17189: its coroutine is awaited, or the answer is 500."""
    for stack in ([], ["Hooks"], ["DeclaredClassic"], ["Classic"]):
        onehop, stock = compare(site, HIDDEN_VIEWS[name], middleware=paths(*stack))
        assert onehop == stock, stack


@pytest.mark.filterwarnings("ignore:.*was never awaited:RuntimeWarning")
@pytest.mark.parametrize("name", HIDDEN_VIEWS)
def test_bug_32_a_view_in_a_wrapper_is_refused_with_djangos_words(site, unawaited, name):
    """The same with the exception for all to see: nobody else's, and none that stock Django would not raise."""
    onehop, stock = compare(site, HIDDEN_VIEWS[name], middleware=[], DEBUG_PROPAGATE_EXCEPTIONS=True)

    if name == "object":  # docs/decisions.md says why
        assert "returned an unawaited coroutine" in str(onehop) and "sync functions" in str(stock)
    else:
        assert onehop == stock


def unaware(get_response):
    return lambda request: get_response(request)


class Unmarked:
    def __init__(self, get_response):
        self.get_response = get_response

    async def awaiting(self, request):
        return await self.get_response(request)

    def __call__(self, request):
        if iscoroutinefunction(self.get_response):
            return self.awaiting(request)
        return self.get_response(request)


class MarkedBefore312(Unmarked):
    def __init__(self, get_response):
        super().__init__(get_response)
        if iscoroutinefunction(get_response):
            self._is_coroutine = getattr(asyncio.coroutines, "_is_coroutine", None)


class MarkedOnClass(Unmarked):
    __acall__ = Unmarked.awaiting


def by(predicate):
    """Return a factory of middleware that finds out with a predicate whether its inner part is async."""

    def factory(get_response):
        if not predicate(get_response):
            return lambda request: get_response(request)

        async def middleware(request):
            return await get_response(request)

        return middleware

    return factory


HIDING = {
    "unaware": unaware,
    "partial": lambda get_response: functools.partial(by(iscoroutinefunction)(get_response)),
    "wraps": lambda get_response: passing(by(iscoroutinefunction)(get_response)),
    "wrapt": lambda get_response: wrapped(by(iscoroutinefunction)(get_response)),
    "unmarked": Unmarked,
}
MARKING = {
    "marked as before 3.12": MarkedBefore312,
    "told by asyncio": by(asyncio.iscoroutinefunction),
    "told by inspect": by(inspect.iscoroutinefunction),
    "told by asgiref": by(iscoroutinefunction),
}


def outcomes_behind(site, importable, factory, mode):
    """Return what Onehop and stock Django make of a hybrid factory between other middleware."""
    classic, awaiting, hooks, declared = paths("Classic", "Async", "Hooks", "DeclaredClassic")
    (hybrid,) = importable(sync_and_async_middleware(lambda get_response: factory(get_response)))
    for stack in ([hybrid], [classic, hybrid], [hybrid, classic], [awaiting, hybrid, hooks], [declared, hybrid]):
        for propagate in (False, True):
            yield compare(site, make_view(mode, ok), middleware=stack, DEBUG_PROPAGATE_EXCEPTIONS=propagate)


NOT_MARKED = pytest.mark.filterwarnings("ignore:async_to_sync was passed a non-async-marked callable")


@NOT_MARKED
@pytest.mark.filterwarnings("ignore:.*was never awaited:RuntimeWarning")
@modes
@pytest.mark.parametrize("name", HIDING)
def test_bug_32_middleware_that_hides_its_coroutine_is_called_as_by_stock_django(
    site, importable, unawaited, mode, name
):
    """Sentry #849 and others: wrappers of agents around ``get_response`` and around middleware."""
    for onehop, stock in outcomes_behind(site, importable, HIDING[name], mode):
        assert onehop == stock


@NOT_MARKED
@modes
@pytest.mark.parametrize("name", MARKING)
def test_bug_34_each_way_of_telling_an_async_middleware_tells_the_truth(site, importable, mode, name):
    """django-permissions-policy #425: ``get_response`` is async for asyncio, inspect and asgiref, or for none."""
    for onehop, stock in outcomes_behind(site, importable, MARKING[name], mode):
        assert onehop == stock
        assert onehop[0][1]["body"] == b"ok"


def fail_with_cancelled(request):
    raise asyncio.CancelledError


@pytest.mark.parametrize("kind", [None, *KINDS])
@modes
def test_bug_33_a_cancellation_never_becomes_a_response(site, connect, importable, mode, kind):
    """dd-trace #17728: no hook, no error handler and no receiver takes a view's ``CancelledError`` for an error."""
    called = []

    class Handling(MiddlewareMixin):
        def process_exception(self, request, exception):
            called.append("process_exception")
            return HttpResponse("handled")

        def process_response(self, request, response):
            called.append("process_response")
            return response

    def handler500(request):
        called.append("handler500")
        return HttpResponse("handled")

    connect(got_request_exception, lambda **_: called.append("got_request_exception"), weak=False)
    middleware = [*importable(Handling), *paths(*filter(None, [kind])), *importable(Handling)]
    view = make_view(mode, fail_with_cancelled)
    application = site(middleware=middleware, urlpatterns=[re_path("", view)])
    settings.ROOT_URLCONF.handler500 = staticmethod(handler500)

    sent, raised, _ = outcome_of(application, asgi.scope_of(), [{"type": "http.request"}])

    assert (sent, raised, called) == ([], asyncio.CancelledError, [])


PACKAGES = {
    "whitenoise": "whitenoise.middleware.WhiteNoiseMiddleware",  # sync only
    "servestatic": "servestatic.middleware.ServeStaticMiddleware",  # async only
}


@pytest.mark.parametrize("headers", [(), [(b"range", b"bytes=1-3")], [(b"if-none-match", b"*")]], ids=str)
@pytest.mark.parametrize("path", ["/static/page.css", "/static/missing.css", "/"])
@pytest.mark.parametrize("package", PACKAGES)
@modes
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
def test_bug_35_packages_that_serve_static_files_answer_as_behind_stock_django(
    site, tmp_path, mode, package, path, headers
):
    """ServeStatic #18 and #19: with the real packages, one of which knows only sync and one only async."""
    (tmp_path / "page.css").write_bytes(b"p { color: red }")
    middleware = ["django.middleware.security.SecurityMiddleware", PACKAGES[package], *USERS]
    host = (b"host", b"testserver")

    onehop, stock = compare(
        *(site, make_view(mode, ok), {**asgi.scope_of(path), "headers": [host, *headers]}),
        middleware=middleware,
        STATIC_ROOT=str(tmp_path),
        STATIC_URL="/static/",
    )

    assert onehop == stock
    assert onehop[0][0]["status"] in (200, 206, 304)


@pytest.fixture
def log_in(database):
    """Return a function that logs alice in, and returns the header that says so."""
    User.objects.create_user("alice")
    User.objects.create_user("bob")

    def log_alice_in():
        client = Client()
        client.force_login(User.objects.get(username="alice"))
        return [(b"cookie", f"sessionid={client.cookies['sessionid'].value}".encode())]

    yield log_alice_in
    User.objects.all().delete()
    connections.close_all()


class ReadsUser(MiddlewareMixin):
    """Hooks that look at the user, so that Django has to ask the database."""

    def process_request(self, request):
        request.name = request.user.get_username()


class AwaitsUser:
    async_capable, sync_capable = True, False

    def __init__(self, get_response):
        self.get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request):
        request.name = (await request.auser()).get_username()
        return await self.get_response(request)


class ReadsUserOnLoop(AwaitsUser):
    async def __call__(self, request):
        request.name = request.user.get_username()
        return await self.get_response(request)


LiesAboutUser = runs_anywhere(type("LiesAboutUser", (MiddlewareMixin,), {"process_request": ReadsUser.process_request}))


@pytest.mark.parametrize("who", [(), ("ReadsUser",), ("AwaitsUser",), ("ReadsUser", "AwaitsUser")], ids="-".join)
@pytest.mark.parametrize("change", [None, alogin, alogout], ids=["stays", "login", "logout"])
def test_bug_37_the_user_is_the_same_for_both_ways_of_asking(site, log_in, who, change):
    """Django #37017: middleware has asked for the user, in either way; the view changes who is logged in."""

    async def view(request):
        names = [getattr(request, "name", "nobody asked"), (await request.auser()).get_username()]
        if change is alogin:
            await alogin(request, await User.objects.aget(username="bob"), "django.contrib.auth.backends.ModelBackend")
        elif change is alogout:
            await alogout(request)
        names.append((await request.auser()).get_username())
        names.append(await sync_to_async(lambda: request.user.get_username())())
        return HttpResponse(repr(names))

    answers = []
    for stock in (False, True):
        application = site(view, [*USERS, *(f"{__name__}.{name}" for name in who)], stock=stock)
        answers.append(asgi.get(application, headers=log_in()).body)

    assert answers[0] == answers[1]
    assert b"alice" in answers[0]


def test_bug_38_a_hook_that_reads_the_user_finds_it(site, log_in):
    """posthog-python #355 and dd-trace #4445: before an async view as well, as nobody says that it never blocks."""

    async def view(request):
        return HttpResponse(request.name)

    for stock in (False, True):
        assert asgi.get(site(view, [*USERS, f"{__name__}.ReadsUser"], stock=stock), headers=log_in()).body == b"alice"


@pytest.mark.parametrize("name", ["ReadsUserOnLoop", "LiesAboutUser"])
def test_bug_38_reading_the_user_on_the_loop_is_djangos_error(site, log_in, name):
    """The same where it does run on the loop, being async, or declared against the truth: no query blocks the loop."""
    application = site(ok, [*USERS, f"{__name__}.{name}"], DEBUG_PROPAGATE_EXCEPTIONS=True)

    with pytest.raises(SynchronousOnlyOperation):
        asgi.get(application, headers=log_in())


class Layer(NamedTuple):
    """What the two hooks of a middleware do."""

    request: str
    response: str


LAYERS = [Layer(*does) for does in itertools.product(["pass", "falsy", "answer", "fail"], ["pass", "fail"])]


class Falsy(HttpResponse):
    def __bool__(self):
        return False


def follow(stack, view, log, number=0):
    """Do what Django's documentation says of a stack of middleware; return the status of the answer."""
    if number == len(stack):
        log.append("view")
        return 500 if view == "fails" else 200
    log.append(f"request {number}")
    if stack[number].request == "fail":
        return 500
    status = 202 if stack[number].request == "answer" else follow(stack, view, log, number + 1)
    log.append(f"response {number} of {status}")
    return 500 if stack[number].response == "fail" else status


def hooks_of(number, layer, log):
    """Make the middleware of a layer, which notes its calls; every second one is declared to run on the loop."""

    class Hooks(MiddlewareMixin):
        def process_request(self, request):
            log.append(f"request {number}")
            if layer.request == "fail":
                raise ValueError("of a hook")
            return {"answer": HttpResponse(status=202), "falsy": Falsy(status=203)}.get(layer.request)

        def process_response(self, request, response):
            log.append(f"response {number} of {response.status_code}")
            if layer.response == "fail":
                raise ValueError("of a hook")
            return response

    return runs_anywhere(Hooks) if number % 2 else Hooks


VIEWS = list(itertools.product(["sync", "async"], ["answers", "fails"]))


@pytest.fixture
def check(site, importable):
    """Return a function that compares what a stack does, around some views, with what is documented."""
    log = []

    def view(request, outcome):
        log.append("view")
        if outcome == "fails":
            raise ValueError("of the view")
        return HttpResponse("ok")

    async def async_view(request, outcome):
        return view(request, outcome)

    urlpatterns = [path("sync/<outcome>/", view), path("async/<outcome>/", async_view)]

    def check_one(stack, *views, stock=False):
        middleware = importable(*(hooks_of(number, layer, log) for number, layer in enumerate(stack)))
        application = site(middleware=middleware, urlpatterns=urlpatterns, stock=stock)
        for mode, outcome in views:
            expected = []
            status = follow(stack, outcome, expected)
            log.clear()
            assert (asgi.get(application, f"/{mode}/{outcome}/").status, log) == (status, expected), stack

    return check_one


@BOTH
def test_bug_39_40_every_stack_of_two_runs_in_the_order_that_is_documented(check, stock):
    """
    An early answer passes its own layer's ``process_response``; a falsy one is none; what is raised in a layer is
    converted there, and only those outside it go on. That this is what is documented, stock Django shows.
    """
    for stack in itertools.product(LAYERS, LAYERS):
        check(stack, *VIEWS[2:] if stock else VIEWS, stock=stock)


@pytest.mark.parametrize("outermost", LAYERS, ids="-".join)
def test_bug_39_40_every_stack_of_three_runs_in_the_order_that_is_documented(check, outermost):
    """The same for three layers, each stack around one of the four views in turn."""
    views = itertools.cycle(VIEWS)
    for inner in itertools.product(LAYERS, LAYERS):
        check([outermost, *inner], next(views))


HANDLES = ["lacks", "pass", "answer", "fail"]


def handle(stack, calls):
    """Do what Django's documentation says of ``process_exception``; return the status of the answer."""
    for number, does in reversed(list(enumerate(stack))):
        if does == "lacks":
            continue
        calls.append((number, "ValueError", False))
        if does != "pass":
            return {"answer": 202, "fail": 500}[does]
    return 500


def handling(number, does, is_async, calls):
    """Make middleware with a sync or async ``process_exception``, which notes whether it is called on the loop."""

    def process_exception(self, request, exception):
        is_on_loop = not is_async and threading.current_thread() is threading.main_thread()
        calls.append((number, type(exception).__name__, is_on_loop))
        if does == "fail":
            raise LookupError("of a hook")
        return HttpResponse(status=202) if does == "answer" else None

    async def process_exception_async(self, request, exception):
        return process_exception(self, request, exception)

    hook = process_exception_async if is_async else process_exception
    return type("Handling", (MiddlewareMixin,), {} if does == "lacks" else {"process_exception": hook})


def fail(*_):
    raise ValueError("of the view")


class FailsToRender(TemplateResponse):
    resolve_template = fail


@BOTH
@pytest.mark.parametrize("where", ["view", "render"])
@modes
def test_bug_41_process_exception_runs_from_the_innermost_to_the_first_answer(site, importable, mode, where, stock):
    """For what a view or its rendering raises; sync hooks on the thread, whatever the view; every stack of three."""
    calls = []
    view = make_view(mode, {"view": fail, "render": lambda request: FailsToRender(request, "hello.html")}[where])
    for number, stack in enumerate(itertools.product(HANDLES, repeat=3)):
        made = [handling(place, does, (number + place) % 3 == 0, calls) for place, does in enumerate(stack)]
        calls.clear()
        expected = []
        status = handle(stack, expected)
        assert (asgi.get(site(view, importable(*made), stock=stock)).status, calls) == (status, expected), stack


def test_bug_42_forty_requests_log_their_own_actor():
    """
    auditlog #72: the real django-auditlog connects a receiver for each request, and disconnects it.

    Forty requests at once, to a sync and an async view: each row is logged with the user of its request.
    """
    code, output, errors, _ = run_script("""
from django.conf import settings
override_settings(INSTALLED_APPS=[*settings.INSTALLED_APPS, "auditlog"]).enable()
from auditlog.models import LogEntry
from auditlog.registry import auditlog
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.db import connections
from django.utils.deprecation import MiddlewareMixin

with override_settings(MIGRATION_MODULES=dict.fromkeys(("admin", "auth", "auditlog", "contenttypes", "sessions"))):
    call_command("migrate", verbosity=0, run_syncdb=True)
auditlog.register(Group)
User.objects.bulk_create(User(username=f"user {number}") for number in range(40))
users = list(User.objects.all())

class Acting(MiddlewareMixin):
    def process_request(self, request):
        request.user = users[int(request.GET["number"])]

def view(request):
    Group.objects.create(name=f"of {request.user}")
    return HttpResponse("ok")

async def async_view(request):
    await Group.objects.acreate(name=f"of {request.user}")
    return HttpResponse("ok")

Urls.urlpatterns = [re_path("^sync", view), re_path("^async", async_view)]
with override_settings(MIDDLEWARE=["__main__.Acting", "auditlog.middleware.AuditlogMiddleware"]):
    application = get_asgi_application()

async def all_at_once():
    paths = [f"/{'sync' if number % 2 else 'async'}?number={number}" for number in range(len(users))]
    await asyncio.gather(*(asyncio.create_task(asgi.request(application, path)) for path in paths))

contextvars.Context().run(asyncio.run, all_at_once())
entries = list(LogEntry.objects.filter(action=LogEntry.Action.CREATE))
print(len(entries), *(entry for entry in entries if entry.object_repr != f"of {entry.actor}"))
connections.close_all()
""")

    assert (code, output, errors) == (0, ["40"], [])
