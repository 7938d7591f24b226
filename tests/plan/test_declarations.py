"""What a project or a library declares about its middleware, and the mistakes that are found at start-up."""

import functools
import threading

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from django.utils.decorators import async_only_middleware
from django.utils.deprecation import MiddlewareMixin

from onehop import runs_anywhere, runs_on_thread
from onehop.conf import Options, load_options
from onehop.errors import ConfigError, OnehopError
from onehop.steps import Affinity
from tests import asgi
from tests.project.recorder import record
from tests.project.settings import DEFAULT_MIDDLEWARE

SECURITY = "django.middleware.security.SecurityMiddleware"
LANE = {Affinity.ANYWHERE: "loop", Affinity.THREAD: "thread"}


def here(name):
    """Return the path of something in this module."""
    return f"{__name__}.{name}"


def note(name):
    record.append((name, "loop" if threading.current_thread() is threading.main_thread() else "thread"))


class Hooks(MiddlewareMixin):
    def process_request(self, request):
        note("request")

    def process_view(self, request, callback, arguments, keywords):
        note("view")

    def process_response(self, request, response):
        note("response")
        return response


@runs_anywhere
class Anywhere(Hooks):
    pass


class ByAttribute(Hooks):
    onehop_affinity = "anywhere"


class Inheriting(Anywhere):
    """Adds nothing but a value."""

    level = 7


class Adding(Anywhere):
    def unrelated(self):
        pass


class AddingInit(Anywhere):
    def __init__(self, get_response):
        super().__init__(get_response)


class DeclaredAgain(Adding):
    onehop_affinity = "anywhere"


class Blocking(MiddlewareMixin):
    def process_response(self, request, response):
        note("response")
        return response


class OnlyRequest(MiddlewareMixin):
    onehop_affinity = "anywhere"

    def process_request(self, request):
        note("request")


class Beside(OnlyRequest, Blocking):
    """Inherits the declaration of one base and a hook of another."""


class OneHook(Hooks):
    @runs_anywhere
    def process_view(self, request, callback, arguments, keywords):
        note("view")


class OneHookAndMore(OneHook):
    def helper_of_the_hook(self):
        """Not there when the hook was declared."""


class OneHookOnThread(Anywhere):
    onehop_affinity = "anywhere"

    @runs_on_thread
    def process_view(self, request, callback, arguments, keywords):
        note("view")


class StillOnThread(OneHookOnThread):
    def unrelated(self):
        pass


def stamped(hook):
    """A decorator as many are: ``functools.wraps`` copies the mark to a function that may do anything."""

    @functools.wraps(hook)
    def wrapper(*arguments):
        return hook(*arguments)

    return wrapper


class Decorated(Hooks):
    @stamped
    @runs_anywhere
    def process_view(self, request, callback, arguments, keywords):
        note("view")


class MarkedOutside(Hooks):
    @runs_anywhere
    @stamped
    def process_view(self, request, callback, arguments, keywords):
        note("view")


class Awaited(MiddlewareMixin):
    async def process_view(self, request, callback, arguments, keywords):
        note("view")


class Classic:
    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        note("before")
        response = self.get_response(request)
        note("after")
        return response

    def process_view(self, request, callback, arguments, keywords):
        note("view")

    def process_request(self, request):
        """Called by nobody."""


@runs_anywhere
class ClassicAnywhere(Classic):
    pass


def factory(get_response):
    def middleware(request):
        note("before")
        response = get_response(request)
        note("after")
        return response

    return middleware


@runs_anywhere
def factory_anywhere(get_response):
    return factory(get_response)


@runs_on_thread
def factory_on_thread(get_response):
    return factory(get_response)


@stamped
@runs_anywhere
def factory_decorated(get_response):
    return factory(get_response)


@async_only_middleware
def awaited_factory(get_response):
    async def middleware(request):
        return await get_response(request)

    return middleware


class Neither(MiddlewareMixin):
    sync_capable = async_capable = False


@pytest.fixture(autouse=True)
def recorded(events):
    """Begin each test with an empty record."""


def lanes(path, **onehop):
    """Send one request through one middleware; return where each of its calls ran."""
    application = asgi.onehop_application(MIDDLEWARE=[path], ONEHOP=onehop)
    answer = asgi.get(application, "/async/")
    assert answer.body == b"async"
    return dict(record)


def steps(path, **onehop):
    """Return the affinity and the reason of each step of one middleware."""
    plan = asgi.onehop_application(MIDDLEWARE=[path], ONEHOP=onehop).plan
    (layer,) = plan.layers
    found = {"request": layer.request, "response": layer.response, "around": layer.around}
    found |= {step.label.rpartition(".")[2].removeprefix("process_"): step for step, _ in plan.views}
    return {name: (LANE[step.affinity], step.reason) for name, step in found.items() if step is not None}


NOWHERE = dict.fromkeys(("request", "view", "response"), "thread")
EVERYWHERE = dict.fromkeys(("request", "view", "response"), "loop")


def test_bug_83_84_what_nobody_declared_runs_on_the_thread():
    """Unlisted and unknown: a thread step, and the reason says what to do."""
    assert lanes(here("Hooks")) == NOWHERE
    assert steps(here("Hooks"))["view"] == ("thread", "neither known nor declared")


@pytest.mark.parametrize("name", ["Anywhere", "ByAttribute", "Inheriting", "DeclaredAgain"])
def test_a_declared_class_runs_on_the_loop(name):
    """By decorator, by attribute, and by inheritance while nothing is added; all its hooks."""
    assert lanes(here(name)) == EVERYWHERE
    assert set(steps(here(name)).values()) == {("loop", "declared to run anywhere")}


@pytest.mark.parametrize("name", ["Adding", "AddingInit"])
def test_a_subclass_that_adds_code_does_not_inherit_the_declaration(name):
    """What it adds was not part of what was declared."""
    assert lanes(here(name)) == NOWHERE


def test_a_subclass_does_not_inherit_the_declaration_for_the_hooks_of_another_base():
    """The declaration was made for one base, and the other's hook may block."""
    assert lanes(here("Beside")) == {"request": "thread", "response": "thread"}


def test_a_setting_declares_a_whole_middleware():
    """``RUNS_ANYWHERE`` with the path that is in ``MIDDLEWARE``."""
    assert lanes(here("Hooks"), RUNS_ANYWHERE=[here("Hooks")]) == EVERYWHERE


@pytest.mark.parametrize("hook", ["request", "view", "response"])
def test_a_setting_declares_one_hook(hook):
    """``RUNS_ANYWHERE`` with the path of a method; the others stay on the thread."""
    declared = [here(f"Hooks.process_{hook}")]

    assert {name for name, step in steps(here("Hooks"), RUNS_ANYWHERE=declared).items() if step[0] == "loop"} == {hook}


@pytest.mark.parametrize("kind", [list, tuple, set, frozenset])
def test_a_setting_is_any_plain_collection(kind):
    """Lists, tuples and sets of paths mean the same."""
    assert lanes(here("Hooks"), RUNS_ANYWHERE=kind([here("Hooks")])) == EVERYWHERE


def test_a_decorator_declares_one_hook():
    """A mark on a method is for this method only."""
    assert {name: lane for name, (lane, _) in steps(here("OneHook")).items()} == {**NOWHERE, "view": "loop"}


def test_a_hook_can_be_kept_on_the_thread():
    """A mark on a method goes before that on its class."""
    found = steps(here("OneHookOnThread"))

    assert found["request"] == found["response"] == ("loop", "declared to run anywhere")
    assert found["view"] == ("thread", "declared to run on the thread")


def test_a_mark_on_a_hook_does_not_hold_where_a_subclass_adds_code():
    """The hook may call what the subclass adds."""
    assert steps(here("OneHookAndMore"))["view"] == ("thread", "neither known nor declared")


def test_a_mark_for_the_thread_holds_in_every_subclass():
    """Where it is kept away from the loop, nothing can be wrong."""
    assert steps(here("StillOnThread"))["view"] == ("thread", "declared to run on the thread")


def test_a_mark_that_functools_wraps_copied_does_not_count():
    """The decorator's function was not declared; only the one inside it was."""
    assert steps(here("Decorated"))["view"] == ("thread", "neither known nor declared")
    assert steps(here("MarkedOutside"))["view"][0] == "loop"


def test_a_classic_class_is_declared_as_a_whole():
    """Both of its halves, and its view hook, run on the loop."""
    assert lanes(here("Classic")) == {"before": "thread", "view": "thread", "after": "thread"}
    record.clear()
    assert lanes(here("ClassicAnywhere")) == {"before": "loop", "view": "loop", "after": "loop"}
    record.clear()
    assert lanes(here("Classic"), RUNS_ANYWHERE=[here("Classic")]) == {
        "before": "loop",
        "view": "loop",
        "after": "loop",
    }


@pytest.mark.parametrize(
    ("name", "lane"),
    [
        ("factory", "thread"),
        ("factory_anywhere", "loop"),
        ("factory_on_thread", "thread"),
        ("factory_decorated", "thread"),
    ],
)
def test_a_factory_is_declared_by_a_mark_on_itself(name, lane):
    """The mark is on the factory, not on the function that it returns."""
    assert lanes(here(name)) == {"before": lane, "after": lane}


def test_a_factory_is_declared_by_a_setting():
    """``RUNS_ANYWHERE`` with the factory's path."""
    assert lanes(here("factory"), RUNS_ANYWHERE=[here("factory")]) == {"before": "loop", "after": "loop"}


@pytest.mark.parametrize("name", ["Anywhere", "ByAttribute", "OneHook", "Inheriting"])
def test_the_projects_thread_goes_before_a_librarys_anywhere(name):
    """``RUNS_ON_THREAD`` is the last word, also over marks on single methods."""
    assert lanes(here(name), RUNS_ON_THREAD=[here(name)]) == NOWHERE


@pytest.mark.parametrize("name", ["ClassicAnywhere", "factory_anywhere"])
def test_the_projects_thread_goes_before_a_wrappers_anywhere(name):
    """The same for middleware that calls ``get_response`` itself."""
    found = lanes(here(name), RUNS_ON_THREAD=[here(name)])

    assert set(found.values()) == {"thread"}


def test_the_projects_anywhere_goes_before_a_librarys_thread():
    """A setting also corrects a mark in the other direction."""
    assert lanes(here("factory_on_thread"), RUNS_ANYWHERE=[here("factory_on_thread")]) == {
        "before": "loop",
        "after": "loop",
    }


def test_a_setting_for_a_hook_goes_before_one_for_its_middleware():
    """One hook can be taken out of what was declared for the whole, in both directions."""
    out = steps(here("Hooks"), RUNS_ANYWHERE=[here("Hooks")], RUNS_ON_THREAD=[here("Hooks.process_view")])
    back = steps(here("Hooks"), RUNS_ON_THREAD=[here("Hooks")], RUNS_ANYWHERE=[here("Hooks.process_view")])

    assert {name: lane for name, (lane, _) in out.items()} == {**EVERYWHERE, "view": "thread"}
    assert {name: lane for name, (lane, _) in back.items()} == {**NOWHERE, "view": "loop"}


@pytest.mark.parametrize("path", DEFAULT_MIDDLEWARE)
def test_thread_goes_before_known(path):
    """What Onehop knows to run anywhere stays on the thread when the project wants it to."""
    found = steps(path, RUNS_ON_THREAD=[path])

    assert set(found.values()) == {("thread", "declared to run on the thread")}


def test_thread_goes_before_known_for_one_hook():
    """Only the hook that was named; the other one stays known."""
    found = steps(SECURITY, RUNS_ON_THREAD=[f"{SECURITY}.process_response"])

    assert found["response"] == ("thread", "declared to run on the thread")
    assert found["request"][0] == "loop"


def test_a_mark_returns_what_it_was_given():
    """Decorators mark; they do not wrap."""

    def hook():
        pass

    assert runs_anywhere(hook) is hook
    assert runs_on_thread(hook) is hook
    assert vars(hook) == {"onehop_affinity": "thread"}


@pytest.mark.parametrize("value", ["1", "true"])
def test_nothing_runs_inline_without_djangos_own_check(value, monkeypatch):
    """``DJANGO_ALLOW_ASYNC_UNSAFE`` takes away the net below: each hook is a thread step, declared or not."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", value)
    reason = "DJANGO_ALLOW_ASYNC_UNSAFE is set, so nothing runs inline"

    for path in (
        *DEFAULT_MIDDLEWARE,
        *map(here, ("Anywhere", "OneHook", "ClassicAnywhere", "factory_anywhere")),
    ):
        assert set(steps(path).values()) == {("thread", reason)}
    assert lanes(here("Anywhere")) == NOWHERE


def test_an_empty_variable_changes_nothing(monkeypatch):
    """Django takes an empty ``DJANGO_ALLOW_ASYNC_UNSAFE`` for one that is not set."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "")

    assert lanes(here("Anywhere")) == EVERYWHERE


# Mistakes

HOOKS_PATH = here("Hooks")
KNOWN_KEYS = (
    "Known keys: KEEP_THREAD_LOCALS, LIFESPAN, MAX_REQUEST_THREADS, RUNS_ANYWHERE, RUNS_ON_THREAD, THREAD_REUSE."
)
MISTAKES = {
    "no dictionary": (
        ["RUNS_ANYWHERE"],
        "ONEHOP is ['RUNS_ANYWHERE'], which is not a dictionary. Set ONEHOP = {...}, or remove it.",
    ),
    "an unknown key": (
        {"RUN_ANYWHERE": []},
        f"ONEHOP['RUN_ANYWHERE'] is not a setting of Onehop. Did you mean 'RUNS_ANYWHERE'? {KNOWN_KEYS}",
    ),
    "a key like none": ({"X": []}, f"ONEHOP['X'] is not a setting of Onehop. {KNOWN_KEYS}"),
    "a key that is no string": ({7: []}, f"ONEHOP[7] is not a setting of Onehop. {KNOWN_KEYS}"),
    "a path in place of a list": (
        {"RUNS_ANYWHERE": HOOKS_PATH},
        f"ONEHOP['RUNS_ANYWHERE'] is {HOOKS_PATH!r}. It must be a list of dotted paths.",
    ),
    "nothing in place of a list": (
        {"RUNS_ON_THREAD": None},
        "ONEHOP['RUNS_ON_THREAD'] is None. It must be a list of dotted paths.",
    ),
    "a dictionary in place of a list": (
        {"RUNS_ON_THREAD": {HOOKS_PATH: True}},
        f"ONEHOP['RUNS_ON_THREAD'] is {{{HOOKS_PATH!r}: True}}. It must be a list of dotted paths.",
    ),
    "a class in place of a path": (
        {"RUNS_ANYWHERE": [Hooks]},
        f"ONEHOP['RUNS_ANYWHERE'] contains {Hooks!r}, which is not a dotted path. Write it as a string.",
    ),
    "an unknown reuse": (
        {"THREAD_REUSE": "always"},
        "ONEHOP['THREAD_REUSE'] is 'always'. Set it to 'clean' or 'never'.",
    ),
    "no thread at all": (
        {"MAX_REQUEST_THREADS": 0},
        "ONEHOP['MAX_REQUEST_THREADS'] is 0. Set it to a number from 1 up, or to None for no limit.",
    ),
    "a truth as a number": (
        {"MAX_REQUEST_THREADS": True},
        "ONEHOP['MAX_REQUEST_THREADS'] is True. Set it to a number from 1 up, or to None for no limit.",
    ),
    "a path not in MIDDLEWARE": (
        {"RUNS_ANYWHERE": [here("Hook")]},
        f"{here('Hook')!r} in ONEHOP['RUNS_ANYWHERE'] is not in MIDDLEWARE. Did you mean {HOOKS_PATH!r}?",
    ),
    "a path like none": (
        {"RUNS_ON_THREAD": ["x"]},
        "'x' in ONEHOP['RUNS_ON_THREAD'] is not in MIDDLEWARE.",
    ),
    "a hook of what is not in MIDDLEWARE": (
        {"RUNS_ON_THREAD": [f"{SECURITY}.process_view"]},
        f"{SECURITY + '.process_view'!r} in ONEHOP['RUNS_ON_THREAD'] is not in MIDDLEWARE.",
    ),
    "both lists": (
        {"RUNS_ON_THREAD": [HOOKS_PATH], "RUNS_ANYWHERE": [HOOKS_PATH]},
        f"{HOOKS_PATH!r} is in ONEHOP['RUNS_ANYWHERE'] and in ONEHOP['RUNS_ON_THREAD']. Remove it from one of them.",
    ),
    "a process_exception hook": (
        {"RUNS_ANYWHERE": [here("Hooks.process_exception")]},
        f"{here('Hooks.process_exception')!r} in ONEHOP['RUNS_ANYWHERE'] is a process_exception hook. "
        "Django runs these on a thread, and so does Onehop. Remove it.",
    ),
    "a hook that is not there": (
        {"RUNS_ANYWHERE": [here("Hooks.process_template_response")]},
        f"{here('Hooks.process_template_response')!r} in ONEHOP['RUNS_ANYWHERE'] names a hook that the "
        "middleware does not have. Remove it, or correct its name.",
    ),
    "a coroutine": (
        {"RUNS_ANYWHERE": [here("Awaited.process_view")]},
        f"{here('Awaited.process_view')!r} in ONEHOP['RUNS_ANYWHERE'] is a coroutine function. "
        "Coroutines run on the loop; remove the declaration.",
    ),
    "async middleware": (
        {"RUNS_ON_THREAD": [here("awaited_factory")]},
        f"{here('awaited_factory')!r} in ONEHOP['RUNS_ON_THREAD'] is async-only middleware. "
        "Coroutines run on the loop; remove the declaration.",
    ),
    "a hook that Django does not call": (
        {"RUNS_ANYWHERE": [here("Classic.process_request")]},
        f"{here('Classic.process_request')!r} in ONEHOP['RUNS_ANYWHERE'] is called by the middleware's own "
        f"__call__, not by Django. Declare {here('Classic')!r} as a whole.",
    ),
}
ALL = [here(name) for name in ("Hooks", "Awaited", "Classic", "awaited_factory")]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_an_error_at_start_up(mistake):
    """The text names the culprit, the fact and the fix."""
    value, text = MISTAKES[mistake]

    with pytest.raises(ConfigError) as raised:
        asgi.onehop_application(MIDDLEWARE=ALL, ONEHOP=value)

    assert str(raised.value) == text


def test_a_mistake_is_an_error_of_django_and_of_onehop():
    """Both can be caught: Django's own start-up reports ``ImproperlyConfigured`` without a traceback."""
    assert issubclass(ConfigError, OnehopError)
    assert issubclass(ConfigError, ImproperlyConfigured)


def test_without_a_setting_all_options_have_their_defaults():
    """No ``ONEHOP`` in the settings, or an empty one."""
    with override_settings():
        assert load_options() == Options()
    with override_settings(ONEHOP={}):
        assert load_options() == Options()


kept = threading.local()


def test_options_are_read_as_they_are_written():
    """All keys at once."""
    onehop = {
        "RUNS_ANYWHERE": [HOOKS_PATH],
        "RUNS_ON_THREAD": [f"{HOOKS_PATH}.process_view"],
        "THREAD_REUSE": "never",
        "KEEP_THREAD_LOCALS": [f"{__name__}.kept"],
        "MAX_REQUEST_THREADS": 8,
    }

    with override_settings(MIDDLEWARE=[HOOKS_PATH], ONEHOP=onehop):
        options = load_options()

    assert options == Options(
        runs_anywhere=frozenset({HOOKS_PATH}),
        runs_on_thread=frozenset({f"{HOOKS_PATH}.process_view"}),
        thread_reuse="never",
        keep_thread_locals=frozenset({f"{__name__}.kept"}),
        max_request_threads=8,
    )


def test_middleware_of_neither_mode_is_djangos_error():
    """Onehop says what Django says."""
    texts = []
    for make in (asgi.stock_application, asgi.onehop_application):
        with pytest.raises(RuntimeError) as raised:
            make(MIDDLEWARE=[here("Neither")])
        texts.append(str(raised.value))

    assert (
        texts == [f"Middleware {here('Neither')} must have at least one of sync_capable/async_capable set to True."] * 2
    )


@pytest.mark.parametrize("path", ["tests.missing.Middleware", here("Missing")])
def test_middleware_that_cannot_be_imported_is_djangos_error(path):
    """The same class and the same text."""
    errors = []
    for make in (asgi.stock_application, asgi.onehop_application):
        with pytest.raises(ImportError) as raised:
            make(MIDDLEWARE=[path])
        errors.append((raised.type, str(raised.value)))

    assert errors[0] == errors[1]
