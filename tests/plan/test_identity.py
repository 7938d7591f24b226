"""A hook is known only while it is the code that was read: by class, by function, by all that it reaches."""

import json
import subprocess
import sys
import textwrap
import threading
from contextlib import nullcontext
from pathlib import Path
from types import FunctionType

import pytest
import wrapt
from django.http import HttpResponse
from django.middleware import clickjacking, csrf
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.security import SecurityMiddleware
from django.utils import translation
from django.utils.deprecation import MiddlewareMixin
from django.utils.functional import cached_property

from onehop.plan.known.guard import CHANGED
from onehop.plan.known.reach import Reach
from onehop.plan.known.rows import fingerprints, known_rows
from onehop.steps import Affinity
from tests import asgi
from tests.plan.cases import CASES, LOOP, ONE_PER_ROW, named
from tests.plan.cases_core import rows
from tests.plan.scene import Scene
from tests.project.settings import DEFAULT_MIDDLEWARE

MODULE = sys.modules[__name__]
ROOT = Path(__file__).parents[2]
FRAME_OPTIONS = "django.middleware.clickjacking.XFrameOptionsMiddleware"


def steps_of(middleware):
    """Return the step of each hook of one middleware, given as its path or class, as the handler plans it."""
    if isinstance(middleware, type):
        MODULE.Middleware = middleware
        middleware = f"{__name__}.Middleware"
    plan = asgi.onehop_application(MIDDLEWARE=[middleware]).plan
    (layer,) = plan.layers
    steps = {"process_request": layer.request, "process_response": layer.response}
    return steps | {step.label.rpartition(".")[2]: step for step, _ in plan.views + plan.templates}


def frame_options_step(middleware):
    return steps_of(middleware)["process_response"]


def ask(handler):
    """Ask the guard of the only middleware's ``process_response``, as the runner does; return its verdict."""
    (layer,) = handler.plan.layers
    scene = Scene(layer.instance, None, None, None)
    return layer.response.guard(layer.instance.process_response, *scene.answered())


# The class


@pytest.mark.parametrize("path", DEFAULT_MIDDLEWARE)
def test_djangos_own_class_is_known(path):
    """Each hook of the default stack may run anywhere, as its guard allows."""
    steps = steps_of(path)

    hooks = {hook: step for hook, step in steps.items() if (path, hook) in known_rows()}
    assert hooks
    assert {step.affinity for step in hooks.values()} == {Affinity.ANYWHERE}
    assert all(step.guard and step.reason.startswith("known: ") for step in hooks.values())


def test_a_subclass_that_adds_nothing_is_known():
    """Its code is that of the class that was read, and its plain values are only values."""

    class Empty(XFrameOptionsMiddleware):
        """Nothing but a docstring, an annotation and a value."""

        wanted: str
        number = 7

    class Emptier(Empty):
        pass

    step = frame_options_step(Emptier)
    assert step.affinity is Affinity.ANYWHERE
    assert ask(asgi.onehop_application(MIDDLEWARE=[f"{__name__}.Middleware"])) is None


class Mixin:
    def unrelated(self):
        pass


class EmptyMixin:
    level = 1


def unrelated(self):
    return None


ADDITIONS = {
    "a method": {"unrelated": lambda self: None},
    "a property": {"unrelated": property(lambda self: None)},
    "a cached property": {"unrelated": cached_property(unrelated)},
    "a static method": {"unrelated": staticmethod(print)},
    "a class method": {"unrelated": classmethod(print)},
    "a class": {"unrelated": type("Inner", (), {})},
    "slots": {"__slots__": ("unrelated",)},
    "an __init__": {"__init__": lambda self, get_response: MiddlewareMixin.__init__(self, get_response)},
    "a __getattribute__": {"__getattribute__": object.__getattribute__},
    "a helper of the hook": {"get_xframe_options_value": lambda self, request, response: "DENY"},
    "the hook": {"process_response": lambda self, request, response: response},
    "the hook of its base": {"process_response": XFrameOptionsMiddleware.process_response},
    "another hook": {"process_request": lambda self, request: None},
}


@pytest.mark.parametrize("addition", ADDITIONS)
def test_bug_30_a_subclass_that_adds_code_is_not_known(addition):
    """What it adds was not read, so its hooks need the thread, and the reason says so."""
    step = frame_options_step(type("Own", (XFrameOptionsMiddleware,), ADDITIONS[addition]))

    assert step.affinity is Affinity.THREAD
    assert step.reason == "adds code of its own to XFrameOptionsMiddleware"


@pytest.mark.parametrize("bases", [(Mixin, XFrameOptionsMiddleware), (XFrameOptionsMiddleware, Mixin)])
def test_a_subclass_with_a_mixin_that_adds_code_is_not_known(bases):
    """A base on either side of the known class can hold what the hook looks up."""
    step = frame_options_step(type("Own", bases, {}))

    assert step.affinity is Affinity.THREAD
    assert step.reason == "adds code of its own to XFrameOptionsMiddleware"


@pytest.mark.parametrize("bases", [(EmptyMixin, XFrameOptionsMiddleware), (XFrameOptionsMiddleware, EmptyMixin)])
def test_a_subclass_with_a_mixin_that_adds_nothing_is_known(bases):
    """Plain values change nothing about the code."""
    assert frame_options_step(type("Own", bases, {})).affinity is Affinity.ANYWHERE


def test_a_property_beside_the_known_class_is_not_run_on_the_loop():
    """The hook reads ``self.redirect``; a base that comes after Django's class makes that a call."""

    class Redirecting:
        redirect = property(lambda self: False, lambda self, value: None)

    step = steps_of(type("Own", (SecurityMiddleware, Redirecting), {}))["process_request"]

    assert step.affinity is Affinity.THREAD


def test_a_class_that_only_bears_the_name_is_not_known():
    """Module and name can be copied; what counts is what is found under them."""
    spoofed = type(
        "XFrameOptionsMiddleware",
        (MiddlewareMixin,),
        {"process_response": lambda self, request, response: response},
    )
    spoofed.__module__, spoofed.__qualname__ = FRAME_OPTIONS.rsplit(".", 1)

    step = frame_options_step(spoofed)

    assert step.affinity is Affinity.THREAD
    assert step.reason == "neither known nor declared"


def test_a_class_put_in_the_place_of_djangos_is_not_known(monkeypatch):
    """Even found under Django's path, its code is not what was read."""
    spoofed = type(
        "XFrameOptionsMiddleware",
        (MiddlewareMixin,),
        {"process_response": lambda self, request, response: response},
    )
    spoofed.__module__, spoofed.__qualname__ = FRAME_OPTIONS.rsplit(".", 1)
    monkeypatch.setattr(clickjacking, "XFrameOptionsMiddleware", spoofed)

    step = frame_options_step(FRAME_OPTIONS)

    assert step.affinity is Affinity.THREAD
    assert step.reason == "its code is not one that was checked"


def test_code_that_was_not_read_is_not_known(monkeypatch):
    """A version of Django with other code has another fingerprint."""
    monkeypatch.setitem(fingerprints()["hooks"], f"{FRAME_OPTIONS}.process_response", ["0123456789ab"])

    step = frame_options_step(FRAME_OPTIONS)

    assert step.affinity is Affinity.THREAD
    assert step.reason == "its code is not one that was checked"


def test_a_hook_that_the_installed_version_lacks_is_not_missed(monkeypatch):
    """A row for a hook that is gone does no harm."""
    monkeypatch.delattr(XFrameOptionsMiddleware, "process_response")

    step = frame_options_step(FRAME_OPTIONS)

    assert step.affinity is Affinity.THREAD


# What is replaced after the plan was made


def replaced_on_the_class(middleware, hook, patch):
    patch.setattr(type(middleware), hook, lambda self, *arguments: None)


def replaced_on_the_instance(middleware, hook, patch):
    patch.setattr(middleware, hook, lambda *arguments: None)


def replaced_by_another_instances(middleware, hook, patch):
    other = type(middleware).__new__(type(middleware))
    patch.setattr(middleware, hook, getattr(other, hook))


def swapped_code(middleware, hook, patch):
    patch.setattr(getattr(type(middleware), hook), "__code__", (lambda self, *arguments: None).__code__)


def wrapped_by_wrapt(middleware, hook, patch):
    wrapper = wrapt.FunctionWrapper(getattr(type(middleware), hook), lambda wrapped, _, args, kwargs: wrapped(*args))
    patch.setattr(type(middleware), hook, wrapper)


@pytest.mark.parametrize(
    "replace",
    [
        replaced_on_the_class,
        replaced_on_the_instance,
        replaced_by_another_instances,
        swapped_code,
        wrapped_by_wrapt,
    ],
)
@pytest.mark.parametrize("case", named(ONE_PER_ROW))
def test_a_hook_that_was_replaced_needs_the_thread(case, replace, scene_of, monkeypatch):
    """Whatever an agent does to any known hook after the plan was made, the next call is not on the loop."""
    scene = scene_of(case)
    arguments = case.arrange(scene)
    assert scene.ask(case.hook, *arguments) is None
    replace(scene.middleware, case.hook, monkeypatch)

    verdict = scene.ask(case.hook, *arguments)

    assert verdict is not None


def test_an_instance_of_another_class_needs_the_thread():
    """The hook is the same function, and its helper is the other class's."""
    application = asgi.onehop_application(MIDDLEWARE=[FRAME_OPTIONS])
    (layer,) = application.plan.layers
    assert ask(application) is None
    layer.instance.__class__ = type("Own", (XFrameOptionsMiddleware,), ADDITIONS["a helper of the hook"])

    assert ask(application) == CHANGED


def within_reach(middleware, hook):
    """Return all that a hook's code looks up where it is known: (kind, holder, name) of each."""
    row = known_rows()[path_of(type(middleware)), hook]
    reach = Reach.of(type(middleware), hook, row.unreached)
    found = [("attribute", reach.cls, name) for name in reach.attributes if name != hook]
    found += [
        ("instance", middleware, name)
        for name, stored in reach.attributes.items()
        if name != hook and isinstance(stored, FunctionType)
    ]
    found += [("code", function, "__code__") for function in reach.functions]
    return found + [("global", namespace, name) for namespace, used in reach.globals for name in used]


def path_of(cls):
    return f"{cls.__module__}.{cls.__qualname__}"


@pytest.mark.parametrize("case", named(ONE_PER_ROW))
def test_all_that_a_known_hook_reaches_is_compared(case, scene_of):
    """Each helper method, attribute of the class, global and function code is looked at, at every call."""
    scene = scene_of(case)
    arguments = case.arrange(scene)
    assert scene.ask(case.hook, *arguments) is None

    for kind, holder, name in within_reach(scene.middleware, case.hook):
        with pytest.MonkeyPatch.context() as patch:
            if kind == "code":
                patch.setattr(holder, name, (lambda *arguments, **keywords: None).__code__)
            elif kind == "instance":
                patch.setattr(holder, name, lambda *arguments, **keywords: None)
            elif kind == "attribute":
                patch.setattr(holder, name, property(lambda self: None))
            else:
                patch.setitem(holder, name, object())
            verdict = scene.ask(case.hook, *arguments)
        assert verdict is not None, f"{kind} {name} was replaced"
    assert scene.ask(case.hook, *arguments) is None


@pytest.mark.parametrize("case", named([case for case in LOOP if known_rows()[case.path, case.hook].unreached]))
def test_what_is_not_compared_is_not_reached(case, scene_of):
    """Names that a row leaves out are not used where the guard lets the hook pass."""
    scene = scene_of(case)
    arguments = case.arrange(scene)

    def bomb(*arguments, **keywords):
        raise AssertionError("reached")

    for name in known_rows()[case.path, case.hook].unreached:
        namespace = getattr(scene.middleware, case.hook).__globals__
        if name in namespace:
            scene.patch.setitem(namespace, name, bomb)
        else:
            scene.patch.setattr(type(scene.middleware), name, bomb)

    if scene.ask(case.hook, *arguments) is None:
        call = getattr(scene.middleware, case.hook)
        with pytest.raises(case.raises) if case.raises else nullcontext():
            call(*arguments)


@pytest.mark.parametrize(
    ("holder", "name", "what"),
    [
        (csrf, "_get_new_csrf_string", "CsrfViewMiddleware.process_request: a malformed token"),
        (csrf, "get_random_string", "CsrfViewMiddleware.process_request: a malformed token"),
        (csrf.CsrfViewMiddleware, "_get_secret", "CsrfViewMiddleware.process_request: no token"),
        (csrf.CsrfViewMiddleware, "_check_token", "CsrfViewMiddleware.process_view: a token in a header"),
        (csrf, "_check_token_format", "CsrfViewMiddleware.process_view: a token in a header"),
        (
            csrf.CsrfViewMiddleware,
            "allowed_origins_exact",
            "CsrfViewMiddleware.process_view: a trusted origin",
        ),
        (clickjacking, "settings", "XFrameOptionsMiddleware.process_response: a response of each kind"),
        (translation, "activate", "LocaleMiddleware.process_request: another page in the same language"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_helper_that_was_replaced_needs_the_thread(holder, name, what, scene_of):
    """A hook is also what its helpers do, wherever they are."""
    case = next(case for case in CASES if str(case) == what)
    scene = scene_of(case)
    arguments = case.arrange(scene)
    assert scene.ask(case.hook, *arguments) is None
    scene.patch.setattr(holder, name, property(lambda self: None) if isinstance(holder, type) else object())

    verdict = scene.ask(case.hook, *arguments)

    assert verdict == CHANGED


def test_a_replaced_hook_runs_on_the_thread(monkeypatch):
    """From the next request on, the handler calls what was put in the place of a hook: on the thread."""
    application = asgi.onehop_application(MIDDLEWARE=[FRAME_OPTIONS])
    before = asgi.get(application, "/async/")
    lanes = []

    def process_response(self, request, response):
        lanes.append(threading.current_thread() is threading.main_thread())
        return HttpResponse("replaced")

    monkeypatch.setattr(XFrameOptionsMiddleware, "process_response", process_response)
    after = asgi.get(application, "/async/")

    assert (before.body, after.body) == (b"async", b"replaced")
    assert lanes == [False]


def test_a_guard_that_fails_means_the_thread(scene_of):
    """An error in a guard is not the request's: the hook runs on the thread, and fails there if it must."""
    case = next(case for case in CASES if case.path == rows.COMMON)
    scene = scene_of(case)

    verdict = scene.ask("process_request", object())

    assert verdict.startswith("its guard failed: AttributeError")


# What agents did before the plan was made


def test_a_hook_that_was_wrapped_before_is_not_known(monkeypatch):
    """Elastic wraps hooks with wrapt, whose objects pass for the functions in them."""
    wrapper = wrapt.FunctionWrapper(
        XFrameOptionsMiddleware.process_response, lambda wrapped, _, args, kwargs: wrapped(*args)
    )
    monkeypatch.setattr(XFrameOptionsMiddleware, "process_response", wrapper)

    step = frame_options_step(FRAME_OPTIONS)

    assert step.affinity is Affinity.THREAD


def test_a_listed_hook_that_an_agent_wrapped_runs_on_the_thread():
    """New Relic puts wrapt's objects into the handler's lists; they pass for the methods in them."""
    application = asgi.onehop_application(MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware"])
    lanes = []

    def timed(wrapped, instance, arguments, keywords):
        lanes.append("loop" if threading.current_thread() is threading.main_thread() else "thread")
        return wrapped(*arguments, **keywords)

    application._view_middleware[:] = [wrapt.FunctionWrapper(hook, timed) for hook in application._view_middleware]
    answer = asgi.get(application, "/async/")

    assert answer.body == b"async"
    assert lanes == ["thread"]


@pytest.mark.parametrize("name", ["_get_new_csrf_string", "get_random_string", "_add_new_csrf_cookie"])
@pytest.mark.parametrize("with_wrapt", [True, False], ids=["wrapt", "wraps"])
def test_a_helper_that_was_wrapped_before_is_not_known(name, with_wrapt, monkeypatch):
    """The wrapper passes for what it wraps, and may do anything."""
    import functools

    original = getattr(csrf, name)

    @functools.wraps(original)
    def wrapper(*arguments, **keywords):
        return original(*arguments, **keywords)

    if with_wrapt:
        wrapper = wrapt.FunctionWrapper(original, lambda wrapped, _, args, kwargs: wrapped(*args, **kwargs))
    monkeypatch.setattr(csrf, name, wrapper)

    step = steps_of("django.middleware.csrf.CsrfViewMiddleware")["process_request"]

    assert step.affinity is Affinity.THREAD
    assert step.reason == "its code is not one that was checked"


def test_a_class_that_was_replaced_before_is_not_known(monkeypatch):
    """A hook that makes objects of a class of one's own may do anything."""
    from django.contrib.auth import middleware

    class SimpleLazyObject(middleware.SimpleLazyObject):
        pass

    monkeypatch.setattr(middleware, "SimpleLazyObject", SimpleLazyObject)

    step = steps_of("django.contrib.auth.middleware.AuthenticationMiddleware")["process_request"]

    assert step.affinity is Affinity.THREAD


def test_code_that_was_swapped_before_is_not_known(monkeypatch):
    """ddtrace puts other code into the functions themselves; their source is still that of Django."""
    code = XFrameOptionsMiddleware.process_response.__code__
    monkeypatch.setattr(
        XFrameOptionsMiddleware.process_response,
        "__code__",
        code.replace(co_stacksize=code.co_stacksize + 1, co_consts=(*code.co_consts, "traced")),
    )

    step = frame_options_step(FRAME_OPTIONS)

    assert step.affinity is Affinity.THREAD
    assert step.reason == "its code is not one that was checked"


@pytest.mark.parametrize("with_wrapt", [True, False], ids=["wrapt", "plain"])
def test_an_agents_wrapper_around_the_mixin_is_called(with_wrapt, monkeypatch):
    """An agent that times ``MiddlewareMixin.__acall__`` sees each middleware, as under stock Django."""
    original = MiddlewareMixin.__acall__
    calls = []

    async def timed(self, request):
        calls.append(type(self).__name__)
        return await original(self, request)

    async def timed_by_wrapt(wrapped, instance, arguments, keywords):
        calls.append(type(instance).__name__)
        return await wrapped(*arguments, **keywords)

    wrapper = wrapt.FunctionWrapper(original, timed_by_wrapt) if with_wrapt else timed
    monkeypatch.setattr(MiddlewareMixin, "__acall__", wrapper)
    answers = []
    for make in (asgi.stock_application, asgi.onehop_application):
        answers.append(asgi.get(make(MIDDLEWARE=DEFAULT_MIDDLEWARE), "/async/").body)
        calls.append("end")

    assert answers == [b"async", b"async"]
    names = [path.rpartition(".")[2] for path in DEFAULT_MIDDLEWARE]
    assert calls == [*names, "end", *names, "end"]


SENTRY = """
    import json, os, sys
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.project.settings"
    import sentry_sdk
    from sentry_sdk.integrations.django import DjangoIntegration

    from sentry_sdk.transport import Transport

    class Nowhere(Transport):
        def capture_envelope(self, envelope):
            pass

    sentry_sdk.init(
        dsn="http://key@127.0.0.1:9/1", transport=Nowhere, traces_sample_rate=1.0,
        integrations=[DjangoIntegration(middleware_spans={spans})],
    )
    import django
    django.setup(set_prefix=False)
    from tests import asgi

    def hops(application, path):
        asgi.get(application, path)
        with asgi.counting() as counts:
            answer = asgi.get(application, path)
        return [answer.status, answer.body.decode(), counts["hops"], counts["threads"]]

    application = asgi.onehop_application()
    plan = application.plan
    steps = [step for layer in plan.layers for step in (layer.around, layer.request, layer.response) if step]
    steps += [step for step, _ in plan.views]
    print(json.dumps({{
        "reasons": [step.reason for step in steps if step.reason.startswith("known")],
        "views": [[step.affinity.value, step.reason] for step, _ in application.plan.views],
        "wrappers": [layer.around.reason for layer in application.plan.layers if layer.around],
        "onehop": [hops(application, "/async/"), hops(application, "/sync/")],
        "stock": [hops(asgi.stock_application(), "/async/"), hops(asgi.stock_application(), "/sync/")],
    }}))
"""


def under_sentry(spans):
    """Return what a process with the real Sentry says about the default stack."""
    code = textwrap.dedent(SENTRY.format(spans=spans))
    child = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert child.returncode == 0, child.stderr
    return json.loads(child.stdout.splitlines()[-1])


def test_sentry_is_seen_through():
    """Its wrappers only pass calls on by default: hooks stay inline, and Django's receivers cost no hop."""
    seen = under_sentry(spans=False)

    assert len(seen["reasons"]) == 13
    assert seen["wrappers"] == []
    assert seen["onehop"][0] == [200, "async", 0, 0]
    assert seen["onehop"][1][:3] == [200, "sync", 1]
    assert [answer[:2] for answer in seen["stock"]] == [[200, "async"], [200, "sync"]]


def test_sentry_with_spans_around_middleware_is_not_seen_through():
    """The spans are wanted, so its wrappers are called, as under stock Django; the answers are right."""
    seen = under_sentry(spans=True)

    assert seen["reasons"] == []
    assert len(seen["wrappers"]) == 7
    assert seen["views"] == [["thread", "not a middleware's own hook"]]
    assert [answer[:2] for answer in seen["onehop"]] == [[200, "async"], [200, "sync"]]
    for onehop, stock in zip(seen["onehop"], seen["stock"], strict=True):
        assert onehop[2] <= stock[2]
