"""Cases for the hooks of ``django.contrib``, and of django-prometheus."""

import sys

import django
import django.contrib.sessions.serializers
import django.core.cache.backends.locmem  # both as in a process that has made a session before
from django.contrib.messages.storage.cookie import CookieStorage
from django.contrib.messages.storage.fallback import FallbackStorage
from django.contrib.messages.storage.session import SessionStorage
from django.contrib.sessions.backends import db, file
from django.core.exceptions import ImproperlyConfigured
from django.core.signing import TimestampSigner
from django.http import HttpResponse
from django.urls import resolve
from prometheus_client import values

from onehop.plan.known import django_rows as rows
from onehop.plan.known import prometheus_rows as prometheus
from tests.plan.cases_core import DUMMY, ENGINES, FILES, KEY, LOCMEM, Hosts, OddContent
from tests.plan.scene import on_a_thread, on_the_loop, view
from tests.project.settings import INSTALLED_APPS

MODULE = __name__
BACKENDS = "django.core.cache.backends"
ENGINE = "django.contrib.sessions.backends"
STORAGE = "django.contrib.messages.storage"
SITES = [*INSTALLED_APPS, *(f"django.contrib.{name}" for name in ("sites", "redirects", "flatpages"))]


# SessionMiddleware


class SessionStore(db.SessionStore):
    """A session class of one's own; this module is its engine."""


class Serializer:
    pass


def caching(backend, **params):
    return {"default": {"BACKEND": backend, **params}}


for engine in ("db", "signed_cookies", "cache", "cached_db"):

    @on_the_loop(rows.SESSION, "process_request", SESSION_ENGINE=f"{ENGINE}.{engine}")
    def a_session_to_make(scene):
        return (scene.request(headers={"cookie": f"sessionid={KEY}"}),)


for backend in (LOCMEM, DUMMY, f"{BACKENDS}.db.DatabaseCache", f"{BACKENDS}.redis.RedisCache"):

    @on_the_loop(
        rows.SESSION,
        "process_request",
        SESSION_ENGINE=f"{ENGINE}.cache",
        CACHES=caching(backend, LOCATION="redis://"),
    )
    def a_session_in_a_cache_that_opens_nothing_yet(scene, backend=backend):
        __import__(backend.rpartition(".")[0])
        return (scene.request(),)


@on_the_loop(
    rows.SESSION,
    "process_request",
    SESSION_ENGINE=f"{ENGINE}.cache",
    CACHES=caching(LOCMEM, KEY_FUNCTION=f"{BACKENDS}.base.default_key_func"),
)
def a_session_in_a_cache_with_a_key_function(scene):
    return (scene.request(),)


@on_the_loop(rows.SESSION, "process_request", SESSION_ENGINE=f"{ENGINE}.file")
def a_session_file_in_a_known_folder(scene):
    scene.patch.setattr(file.SessionStore, "_storage_path", str(scene.folder), raising=False)
    return (scene.request(),)


@on_a_thread(rows.SESSION, "process_request", because="folder", SESSION_ENGINE=f"{ENGINE}.file")
def a_session_file_in_a_folder_not_looked_at_yet(scene):
    scene.patch.delattr(file.SessionStore, "_storage_path", raising=False)
    return (scene.request(),)


for engine in ("cache", "cached_db"):

    @on_a_thread(
        rows.SESSION,
        "process_request",
        because="session cache",
        SESSION_ENGINE=f"{ENGINE}.{engine}",
        CACHES=caching(FILES, LOCATION="/nowhere"),
    )
    def a_session_in_a_cache_that_makes_a_folder(scene):
        return (scene.request(),)

    @on_a_thread(
        rows.SESSION, "process_request", because="session cache", SESSION_ENGINE=f"{ENGINE}.{engine}",
        SESSION_CACHE_ALIAS="missing",
    )  # fmt: skip
    def a_session_in_a_cache_that_is_missing(scene):
        return (scene.request(),)

    @on_a_thread(rows.SESSION, "process_request", because="session cache", SESSION_ENGINE=f"{ENGINE}.{engine}")
    def a_session_in_a_cache_whose_module_is_not_imported(scene):
        scene.patch.delitem(sys.modules, f"{BACKENDS}.locmem", raising=False)
        return (scene.request(),)

    @on_a_thread(
        rows.SESSION,
        "process_request",
        because="session cache",
        SESSION_ENGINE=f"{ENGINE}.{engine}",
        CACHES=caching(LOCMEM, KEY_FUNCTION="colorsys.rgb_to_hsv"),
    )
    def a_session_in_a_cache_whose_key_function_is_not_imported(scene):
        scene.patch.delitem(sys.modules, "colorsys", raising=False)
        return (scene.request(),)

    for client in ("PyMemcacheCache", "PyLibMCCache"):

        @on_a_thread(
            rows.SESSION,
            "process_request",
            because="session cache",
            SESSION_ENGINE=f"{ENGINE}.{engine}",
            CACHES=caching(f"{BACKENDS}.memcached.{client}"),
        )
        def a_session_in_a_cache_whose_client_is_not_imported(scene):
            __import__(f"{BACKENDS}.memcached")
            return (scene.request(),)


@on_a_thread(rows.SESSION, "process_request", because="not Django's own", SESSION_ENGINE=MODULE)
def a_session_engine_of_ones_own(scene):
    return (scene.request(),)


@on_a_thread(rows.SESSION, "process_request", because="serializer", SESSION_SERIALIZER="colorsys.rgb_to_hsv")
def a_serializer_that_is_not_imported(scene):
    scene.patch.delitem(sys.modules, "colorsys", raising=False)
    return (scene.request(),)


def with_session(scene, session, response=None, **request):
    request, response = scene.answered(response, **request)
    request.session = session
    return request, response


@on_the_loop(rows.SESSION, "process_response")
def no_session(scene):
    return scene.answered()


for engine in ENGINES:

    @on_the_loop(rows.SESSION, "process_response")
    def a_session_nobody_read(scene, engine=engine):
        return with_session(scene, scene.session(engine, KEY))

    @on_the_loop(rows.SESSION, "process_response")
    def a_session_that_was_read(scene, engine=engine):
        return with_session(scene, scene.loaded_session(engine))

    @on_the_loop(rows.SESSION, "process_response", SESSION_SAVE_EVERY_REQUEST=True)
    def an_empty_session(scene, engine=engine):
        return with_session(scene, scene.session(engine))

    @on_a_thread(rows.SESSION, "process_response", because="saved")
    def a_new_session(scene, engine=engine):
        return with_session(scene, scene.session(engine, colour="blue"))

    @on_a_thread(rows.SESSION, "process_response", because="saved")
    def a_changed_session(scene, engine=engine):
        session = scene.loaded_session(engine)
        session["colour"] = "green"
        return with_session(scene, session, HttpResponse(status=500))

    @on_a_thread(rows.SESSION, "process_response", because="saved", SESSION_SAVE_EVERY_REQUEST=True)
    def a_session_to_save_every_time(scene, engine=engine):
        return with_session(scene, scene.session(engine, KEY))

    @on_the_loop(rows.SESSION, "process_response")
    def a_session_that_was_ended(scene, engine=engine):
        session = scene.loaded_session(engine)
        scene.in_thread(session.flush)
        return with_session(scene, session, headers={"cookie": f"sessionid={KEY}"})


@on_a_thread(rows.SESSION, "process_response", because="Django's own classes")
def a_session_object_of_ones_own(scene):
    return with_session(scene, SessionStore())


@on_a_thread(rows.SESSION, "process_response", because="OddContent")
def a_response_of_ones_own(scene):
    return with_session(scene, scene.session(), OddContent())


# AuthenticationMiddleware and LoginRequiredMiddleware


@on_the_loop(rows.AUTH, "process_request")
def a_request_with_a_session(scene):
    return (with_session(scene, scene.session("db", KEY))[0],)


@on_the_loop(rows.AUTH, "process_request", raises=ImproperlyConfigured)
def a_request_without_a_session(scene):
    return (scene.request(),)


@on_a_thread(rows.AUTH, "process_request", because="replaced")
def an_agents_code_in_the_hook(scene):
    def process_request(self, request):
        request.user = str(request.session)

    hook = type(scene.middleware).process_request
    scene.guard("process_request")
    scene.patch.setattr(hook, "__code__", process_request.__code__)
    return (with_session(scene, scene.session())[0],)


def lazy_user(scene, a_view):
    request = with_session(scene, scene.session("db", KEY))[0]
    request.user = None
    return request, a_view, (), {}


async def public(request):
    return HttpResponse()


public.login_required = False


@on_the_loop(rows.LOGIN_REQUIRED, "process_view", since=(6, 0))
def a_public_view(scene):
    return lazy_user(scene, public)


@on_a_thread(rows.LOGIN_REQUIRED, "process_view", because="user is loaded")
def a_view_for_users(scene):
    return lazy_user(scene, view)


if django.VERSION < (6, 0):

    @on_a_thread(rows.LOGIN_REQUIRED, "process_view", because="user is loaded")
    def a_public_view_where_the_user_is_asked_first(scene):
        return lazy_user(scene, public)


# MessageMiddleware


class OwnStorage:
    """A message storage of one's own."""

    used = added_new = False

    def __init__(self, request):
        pass

    def update(self, response):
        pass


class SpoofedStorage(OwnStorage):
    """One that bears the name of Django's."""


SpoofedStorage.__module__, SpoofedStorage.__qualname__ = (
    FallbackStorage.__module__,
    FallbackStorage.__qualname__,
)


class OwnSigner(TimestampSigner):
    """A signer whose keys come from elsewhere."""


STORAGES = (FallbackStorage, CookieStorage, SessionStorage)


def path_of(cls):
    return f"{cls.__module__}.{cls.__qualname__}"


for storage in STORAGES:

    @on_the_loop(rows.MESSAGES, "process_request", MESSAGE_STORAGE=path_of(storage))
    def a_storage_to_make(scene):
        return (with_session(scene, scene.session("db", KEY))[0],)

    @on_a_thread(rows.MESSAGES, "process_request", because="MESSAGE_STORAGE", MESSAGE_STORAGE=path_of(storage))
    def a_storage_that_is_not_imported(scene, storage=storage):
        scene.patch.delitem(sys.modules, storage.__module__)
        return (with_session(scene, scene.session("db", KEY))[0],)

    @on_the_loop(rows.MESSAGES, "process_response")
    def no_message(scene, storage=storage):
        request, response = with_session(scene, scene.session("db", KEY))
        request._messages = storage(request)
        return request, response

    @on_a_thread(rows.MESSAGES, "process_response", because="stored")
    def a_new_message(scene, storage=storage):
        request, response = with_session(scene, scene.session())
        request._messages = storage(request)
        request._messages.add(20, "hello")
        return request, response

    @on_a_thread(rows.MESSAGES, "process_response", because="stored")
    def messages_that_were_shown(scene, storage=storage):
        request, response = with_session(scene, scene.session())
        request._messages = storage(request)
        list(request._messages)
        return request, response


@on_the_loop(
    rows.MESSAGES,
    "process_request",
    MESSAGE_STORAGE=path_of(SessionStorage),
    SIGNING_BACKEND=f"{MODULE}.OwnSigner",
)
def a_storage_that_signs_nothing(scene):
    return (with_session(scene, scene.session())[0],)


for storage in (FallbackStorage, CookieStorage):

    @on_a_thread(
        rows.MESSAGES,
        "process_request",
        because="SIGNING_BACKEND",
        MESSAGE_STORAGE=path_of(storage),
        SIGNING_BACKEND=f"{MODULE}.OwnSigner",
    )
    def a_signing_backend_of_ones_own(scene):
        return (with_session(scene, scene.session())[0],)


@on_a_thread(rows.MESSAGES, "process_request", because="MESSAGE_STORAGE", MESSAGE_STORAGE=f"{MODULE}.OwnStorage")
def a_storage_of_ones_own(scene):
    return (scene.request(),)


@on_a_thread(rows.MESSAGES, "process_request", because="MESSAGE_STORAGE")
def a_storage_put_in_the_place_of_djangos(scene):
    scene.patch.setattr(sys.modules[FallbackStorage.__module__], "FallbackStorage", SpoofedStorage)
    return (scene.request(),)


@on_the_loop(rows.MESSAGES, "process_response")
def no_storage(scene):
    return scene.answered()


for storage in (OwnStorage, SpoofedStorage):

    @on_a_thread(rows.MESSAGES, "process_response", because="not Django's own")
    def a_storage_object_of_ones_own(scene, storage=storage):
        request, response = scene.answered()
        request._messages = storage(request)
        return request, response


# The middleware of sites, redirects, flatpages and admindocs


class SiteCache(dict):
    """A cache of sites of one's own, as that of django-multisite."""


@on_the_loop(rows.CURRENT_SITE, "process_request")
def sites_that_are_not_installed(scene):
    return (scene.request(),)


@on_the_loop(rows.CURRENT_SITE, "process_request", INSTALLED_APPS=SITES, SITE_ID=7)
def a_site_that_was_asked_for_before(scene):
    from django.contrib.sites import models

    scene.patch.setitem(models.SITE_CACHE, 7, models.Site(pk=7, domain="testserver"))
    return (scene.request(),)


@on_a_thread(rows.CURRENT_SITE, "process_request", because="database", INSTALLED_APPS=SITES, SITE_ID=7)
def a_site_that_is_asked_for_first(scene):
    return (scene.request(),)


@on_a_thread(rows.CURRENT_SITE, "process_request", because="database", INSTALLED_APPS=SITES)
def a_site_found_by_its_host(scene):
    return (scene.request(),)


@on_a_thread(rows.CURRENT_SITE, "process_request", because="database", INSTALLED_APPS=SITES, SITE_ID=7)
def a_cache_of_sites_of_ones_own(scene):
    from django.contrib.sites import models

    scene.patch.setattr(models, "SITE_CACHE", SiteCache({7: models.Site(pk=7)}))
    return (scene.request(),)


class SiteID(int):
    """A number that is looked up at each use, as that of django-multisite."""


@on_a_thread(rows.CURRENT_SITE, "process_request", because="database", INSTALLED_APPS=SITES, SITE_ID=SiteID(7))
def a_site_id_of_ones_own(scene):
    from django.contrib.sites import models

    scene.patch.setitem(models.SITE_CACHE, 7, models.Site(pk=7))
    return (scene.request(),)


@on_a_thread(rows.CURRENT_SITE, "process_request", because="ALLOWED_HOSTS", ALLOWED_HOSTS=Hosts(["testserver"]))
def sites_that_are_not_installed_and_hosts_of_ones_own(scene):
    return (scene.request(),)


for path in (rows.REDIRECT_FALLBACK, rows.FLATPAGE_FALLBACK):

    @on_the_loop(path, "process_response", INSTALLED_APPS=SITES)
    def a_page_that_was_found(scene):
        return scene.answered()

    @on_a_thread(path, "process_response", because="database", INSTALLED_APPS=SITES)
    def a_page_that_was_not_found(scene):
        return scene.answered(HttpResponse(status=404))


@on_the_loop(rows.X_VIEW, "process_view")
def a_get(scene):
    return lazy_user(scene, view)


@on_a_thread(rows.X_VIEW, "process_view", because="user")
def a_head(scene):
    return scene.request(method="HEAD"), view, (), {}


# django-prometheus


def counted(scene, hook):
    request, response = scene.answered(path="/async/")
    request.resolver_match = resolve(request.path)
    return {
        "process_request": (request,),
        "process_view": (request, view, (), {}),
        "process_template_response": (request, response),
        "process_response": (request, response),
    }[hook]


def own_metrics():
    from django_prometheus.middleware import Metrics

    class OwnMetrics(Metrics):
        def register(self):
            self.__dict__.update(Metrics.get_instance().__dict__)

    return OwnMetrics()


for path, hooks in (
    (prometheus.BEFORE, ("process_request", "process_response")),
    (prometheus.AFTER, ("process_request", "process_view", "process_template_response", "process_response")),
):
    for hook in hooks:

        @on_the_loop(path, hook)
        def counting_in_memory(scene, hook=hook):
            return counted(scene, hook)

        @on_a_thread(path, hook, because="multiprocess")
        def counting_in_files(scene, hook=hook):
            scene.patch.setattr(values, "ValueClass", values.MultiProcessValue())
            return counted(scene, hook)

        @on_a_thread(path, hook, because="OwnMetrics")
        def counting_in_metrics_of_ones_own(scene, hook=hook):
            scene.middleware.metrics = own_metrics()
            return counted(scene, hook)

    @on_a_thread(path, "process_response", because="OddContent")
    def a_response_of_ones_own_to_count(scene):
        return scene.answered(OddContent())
