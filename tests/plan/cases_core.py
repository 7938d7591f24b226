"""Cases for the hooks of ``django.middleware``."""

import re

import pytest
from django.core.exceptions import DisallowedHost, PermissionDenied
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.utils.regex_helper import _lazy_re_compile

from onehop.plan.known import django_rows as rows
from tests.plan.scene import on_a_thread, on_the_loop, view

KEY = "k" * 32
SECRET = "s" * 32
ENGINES = ("db", "cache", "cached_db", "file", "signed_cookies")
URLS = "tests.plan.urls_with_languages"


class Hosts(list):
    """Allowed hosts that are looked up somewhere."""


class Patterns(list):
    """Patterns that are looked up somewhere."""


class OddContent(HttpResponse):
    """Content that is made at each access."""

    @property
    def content(self):
        return b"odd"

    @content.setter
    def content(self, value):
        pass


class OddCookies(HttpResponse):
    def set_cookie(self, *arguments, **keywords):
        super().set_cookie(*arguments, **keywords)


class OddHeaders(HttpResponse):
    def __setitem__(self, header, value):
        super().__setitem__(header, value)


class OddStatus(HttpResponse):
    """A status that is found out at each access."""

    status_code = property(lambda self: 200, lambda self, value: None)


class OddAttributes(HttpResponse):
    def __getattr__(self, name):
        raise AttributeError(name)


class OddAssignment(HttpResponse):
    def __setattr__(self, name, value):
        super().__setattr__(name, value)


class OddBytes(HttpResponse):
    def make_bytes(self, value):
        return super().make_bytes(value)


class OddExemption(HttpResponse):
    @property
    def xframe_options_exempt(self):
        return False


class Teapot(HttpResponse):
    """A class that only adds to Django's."""

    status_code = 418
    xframe_options_exempt = True

    def brew(self):
        return b"tea"


ODD = (OddContent, OddCookies, OddHeaders, OddStatus, OddAttributes, OddAssignment, OddBytes, OddExemption)


def streaming():
    return StreamingHttpResponse([b"a" * 100_000])


def redirected():
    return HttpResponseRedirect("/elsewhere/")


def rendered():
    return TemplateResponse(None, "hello.html", {"name": "you"}).render()


RESPONSES = (HttpResponse, streaming, redirected, rendered, FileResponse, Teapot)

# SecurityMiddleware


@on_the_loop(rows.SECURITY, "process_request", ALLOWED_HOSTS=Hosts(["testserver"]))
def no_redirect(scene):
    return (scene.request(),)


@on_the_loop(rows.SECURITY, "process_request", SECURE_SSL_REDIRECT=True)
def a_redirect_to_https(scene):
    return (scene.request(),)


@on_a_thread(rows.SECURITY, "process_request", because="ALLOWED_HOSTS", SECURE_SSL_REDIRECT=True, ALLOWED_HOSTS=Hosts())
def a_redirect_with_hosts_of_ones_own(scene):
    return (scene.request(),)


@on_the_loop(rows.SECURITY, "process_response", SECURE_HSTS_SECONDS=60, SECURE_HSTS_PRELOAD=True)
def all_headers_to_set(scene):
    return scene.answered(scheme="https")


# CommonMiddleware


@on_the_loop(rows.COMMON, "process_request", DISALLOWED_USER_AGENTS=[re.compile("bad")])
def an_allowed_user_agent(scene):
    return (scene.request(headers={"user-agent": "good"}),)


@on_the_loop(rows.COMMON, "process_request", DISALLOWED_USER_AGENTS=[re.compile("bad")], raises=PermissionDenied)
def a_disallowed_user_agent(scene):
    return (scene.request(headers={"user-agent": "bad"}),)


@on_the_loop(rows.COMMON, "process_request", ALLOWED_HOSTS=[], raises=DisallowedHost)
def a_disallowed_host(scene):
    return (scene.request(),)


@on_a_thread(rows.COMMON, "process_request", because="PREPEND_WWW", PREPEND_WWW=True)
def a_redirect_to_www(scene):
    return (scene.request("/missing"),)


@on_a_thread(rows.COMMON, "process_request", because="USER_AGENTS", DISALLOWED_USER_AGENTS=[_lazy_re_compile("bad")])
def a_lazy_pattern(scene):
    return (scene.request(headers={"user-agent": "good"}),)


@on_a_thread(rows.COMMON, "process_request", because="USER_AGENTS", DISALLOWED_USER_AGENTS=Patterns())
def patterns_of_ones_own(scene):
    return (scene.request(headers={"user-agent": "good"}),)


@on_a_thread(rows.COMMON, "process_request", because="ALLOWED_HOSTS", ALLOWED_HOSTS=Hosts(["testserver"]))
def hosts_of_ones_own(scene):
    return (scene.request(),)


@on_a_thread(rows.COMMON, "process_request", because="ALLOWED_HOSTS", ALLOWED_HOSTS=[re.compile("testserver")])
def a_host_that_is_no_string(scene):
    return (scene.request(),)


@on_a_thread(rows.COMMON, "process_request", because="get_host")
def a_get_host_set_on_the_request(scene):
    request = scene.request()
    request.get_host = lambda: "testserver"
    return (request,)


@on_a_thread(rows.COMMON, "process_request", because="get_host")
def a_get_host_patched_into_django(scene):
    original = HttpRequest.get_host
    scene.patch.setattr(HttpRequest, "get_host", lambda self: original(self))
    return (scene.request(),)


@on_a_thread(rows.COMMON, "process_response", because="slash")
def a_missing_page_without_a_slash(scene):
    return scene.answered(HttpResponse(status=404), path="/missing")


# BrokenLinkEmailsMiddleware


@on_the_loop(rows.BROKEN_LINKS, "process_response")
def a_page(scene):
    return scene.answered()


@on_the_loop(rows.BROKEN_LINKS, "process_response", DEBUG=True)
def a_missing_page_while_debugging(scene):
    return scene.answered(HttpResponse(status=404))


@on_a_thread(rows.BROKEN_LINKS, "process_response", because="mail", MANAGERS=["manager@example.com"])
def a_missing_page(scene):
    return scene.answered(HttpResponse(status=404), headers={"referer": "https://example.com/"})


# CsrfViewMiddleware


@on_the_loop(rows.CSRF, "process_request")
def no_token(scene):
    return (scene.request(),)


@on_the_loop(rows.CSRF, "process_request")
def a_token_in_a_cookie(scene):
    return (scene.request(headers={"cookie": f"csrftoken={SECRET}"}),)


@on_the_loop(rows.CSRF, "process_request")
def a_malformed_token(scene):
    return (scene.request(headers={"cookie": "csrftoken=short"}),)


@on_the_loop(rows.CSRF, "process_request", CSRF_USE_SESSIONS=True)
def a_session_without_a_key(scene):
    request = scene.request()
    request.session = scene.session("db")
    return (request,)


def needing_an_update(scene, session, response=None):
    request, response = scene.answered(response)
    request.session = session
    request.META.update(CSRF_COOKIE=SECRET, CSRF_COOKIE_NEEDS_UPDATE=True)
    return request, response


for engine in ENGINES:

    @on_the_loop(rows.CSRF, "process_request", CSRF_USE_SESSIONS=True)
    def a_loaded_session(scene, engine=engine):
        request = scene.request()
        request.session = scene.loaded_session(engine)
        return (request,)

    @on_a_thread(rows.CSRF, "process_request", because="session is loaded", CSRF_USE_SESSIONS=True)
    def a_session_to_load(scene, engine=engine):
        request = scene.request()
        request.session = scene.session(engine, KEY)
        return (request,)

    @on_the_loop(rows.CSRF, "process_response", CSRF_USE_SESSIONS=True)
    def a_token_for_a_loaded_session(scene, engine=engine):
        return needing_an_update(scene, scene.loaded_session(engine))

    @on_a_thread(rows.CSRF, "process_response", because="session is loaded", CSRF_USE_SESSIONS=True)
    def a_token_for_a_session_to_load(scene, engine=engine):
        return needing_an_update(scene, scene.session(engine, KEY))


@on_a_thread(rows.CSRF, "process_request", because="Django's own classes", CSRF_USE_SESSIONS=True)
def a_session_of_ones_own(scene):
    request = scene.request()
    request.session = {}
    return (request,)


def unsafe(scene, method="POST", content_type="application/json", token=SECRET, headers=(), **request):
    given = {"content-type": content_type, "cookie": f"csrftoken={SECRET}", **dict(headers)}
    if token:
        given["x-csrftoken"] = token
    return scene.request(method=method, headers=given, body=b"{}", **request), view, (), {}


for method in ("GET", "HEAD", "OPTIONS", "TRACE"):

    @on_the_loop(rows.CSRF, "process_view")
    def a_safe_method(scene, method=method):
        return unsafe(scene, method, token=None)


for method in ("POST", "PUT", "PATCH", "DELETE"):

    @on_the_loop(rows.CSRF, "process_view")
    def a_token_in_a_header(scene, method=method):
        return unsafe(scene, method)

    @on_a_thread(rows.CSRF, "process_view", because="rejected")
    def no_token_in_a_header(scene, method=method):
        return unsafe(scene, method, token=None)

    @on_a_thread(rows.CSRF, "process_view", because="rejected")
    def a_wrong_token(scene, method=method):
        return unsafe(scene, method, token="w" * 32)

    @on_a_thread(rows.CSRF, "process_view", because="in the session", CSRF_USE_SESSIONS=True)
    def a_token_in_the_session(scene, method=method):
        request, *others = unsafe(scene, method)
        request.session = scene.session("db", KEY)
        return request, *others


for content_type in ("application/x-www-form-urlencoded", "Multipart/Form-Data; boundary=b"):

    @on_a_thread(rows.CSRF, "process_view", because="form")
    def a_form(scene, content_type=content_type):
        return unsafe(scene, content_type=content_type)

    @on_the_loop(rows.CSRF, "process_view")
    def a_form_that_is_put(scene, content_type=content_type):
        return unsafe(scene, "PUT", content_type)


@on_the_loop(rows.CSRF, "process_view")
def an_exempt_view(scene):
    async def exempt(request):
        return HttpResponse()

    exempt.csrf_exempt = True
    return unsafe(scene, token=None)[0], exempt, (), {}


@on_the_loop(rows.CSRF, "process_view")
def a_request_checked_before(scene):
    request, *others = unsafe(scene, token=None)
    request.csrf_processing_done = True
    return request, *others


@on_the_loop(rows.CSRF, "process_view")
def a_request_of_a_test_client(scene):
    request, *others = unsafe(scene, token=None)
    request._dont_enforce_csrf_checks = True
    return request, *others


@on_the_loop(rows.CSRF, "process_view")
def the_right_origin(scene):
    return unsafe(scene, headers={"origin": "http://testserver"})


@on_the_loop(rows.CSRF, "process_view", CSRF_TRUSTED_ORIGINS=["https://*.example.com"])
def a_trusted_origin(scene):
    return unsafe(scene, headers={"origin": "https://shop.example.com"})


@on_a_thread(rows.CSRF, "process_view", because="rejected")
def a_wrong_origin(scene):
    return unsafe(scene, headers={"origin": "https://example.com"})


@on_the_loop(rows.CSRF, "process_view")
def the_right_referer(scene):
    return unsafe(scene, headers={"referer": "https://testserver/"}, scheme="https")


@on_a_thread(rows.CSRF, "process_view", because="rejected")
def no_referer(scene):
    return unsafe(scene, scheme="https")


@on_a_thread(rows.CSRF, "process_view", because="ALLOWED_HOSTS", ALLOWED_HOSTS=Hosts(["testserver"]))
def an_origin_and_hosts_of_ones_own(scene):
    return unsafe(scene, headers={"origin": "http://testserver"})


@on_a_thread(rows.CSRF, "process_view", because="TRUSTED_ORIGINS", CSRF_TRUSTED_ORIGINS=Hosts())
def trusted_origins_of_ones_own(scene):
    return unsafe(scene, headers={"origin": "http://testserver"})


@on_the_loop(rows.CSRF, "process_response")
def no_cookie_to_set(scene):
    return scene.answered()


@on_the_loop(rows.CSRF, "process_response")
def a_cookie_to_set(scene):
    return needing_an_update(scene, None)


@on_the_loop(rows.CSRF, "process_response", CSRF_USE_SESSIONS=True)
def a_token_for_a_session_without_a_key(scene):
    return needing_an_update(scene, scene.session("db"))


@on_a_thread(rows.CSRF, "process_response", because="OddCookies")
def a_cookie_for_a_response_of_ones_own(scene):
    return needing_an_update(scene, None, OddCookies())


# ContentSecurityPolicyMiddleware


@on_the_loop(rows.CSP, "process_request")
def a_request(scene):
    return (scene.request(),)


@on_a_thread(rows.CSP, "process_request", because="replaced")
def a_nonce_of_ones_own(scene):
    from django.middleware import csp

    class Nonce(csp.LazyNonce):
        pass

    scene.patch.setattr(csp, "LazyNonce", Nonce)
    return (scene.request(),)


@on_the_loop(rows.CSP, "process_response", SECURE_CSP={"script-src": ["'self'", "<CSP_NONCE_SENTINEL>"]})
def a_policy_with_a_nonce(scene):
    request, response = scene.answered()
    scene.middleware.process_request(request)
    str(request._csp_nonce)
    return request, response


# GZipMiddleware and ConditionalGetMiddleware

GZIPPED = {"accept-encoding": "gzip, br"}


@on_the_loop(rows.GZIP, "process_response")
def as_much_as_is_compressed_here(scene):
    return scene.answered(HttpResponse(b"a" * rows.GZIP_LIMIT_BYTES), headers=GZIPPED)


@on_the_loop(rows.GZIP, "process_response")
def a_client_that_does_not_accept_it(scene):
    return scene.answered(HttpResponse(b"a" * 1_000_000), headers={"accept-encoding": "br"})


@on_the_loop(rows.GZIP, "process_response")
def encoded_content(scene):
    return scene.answered(HttpResponse(b"a" * 1_000_000, headers={"Content-Encoding": "br"}), headers=GZIPPED)


@on_the_loop(rows.GZIP, "process_response")
def a_stream_for_a_client_that_accepts_it(scene):
    return scene.answered(streaming(), headers=GZIPPED)


@on_a_thread(rows.GZIP, "process_response", because=f"more than {rows.GZIP_LIMIT_BYTES} bytes")
def more_than_is_compressed_here(scene):
    return scene.answered(HttpResponse(b"a" * (rows.GZIP_LIMIT_BYTES + 1)), headers=GZIPPED)


@on_the_loop(rows.CONDITIONAL_GET, "process_response")
def as_much_as_is_hashed_here(scene):
    return scene.answered(HttpResponse(b"a" * rows.DIGEST_LIMIT_BYTES))


@on_the_loop(rows.CONDITIONAL_GET, "process_response")
def content_with_an_etag(scene):
    return scene.answered(HttpResponse(b"a" * 1_000_000, headers={"ETag": '"1"'}), headers={"if-none-match": '"1"'})


@on_the_loop(rows.CONDITIONAL_GET, "process_response")
def a_post(scene):
    return scene.answered(HttpResponse(b"a" * 1_000_000), method="POST")


@on_a_thread(rows.CONDITIONAL_GET, "process_response", because=f"more than {rows.DIGEST_LIMIT_BYTES} bytes")
def more_than_is_hashed_here(scene):
    return scene.answered(HttpResponse(b"a" * (rows.DIGEST_LIMIT_BYTES + 1)))


for header, value in (("if-match", '"other"'), ("if-unmodified-since", "Thu, 01 Jan 1970 00:00:00 GMT")):

    @on_a_thread(rows.CONDITIONAL_GET, "process_response", because="logged")
    def a_precondition_that_fails(scene, header=header, value=value):
        response = HttpResponse(headers={"ETag": '"1"', "Last-Modified": "Fri, 02 Jan 1970 00:00:00 GMT"})
        return scene.answered(response, headers={header: value})


# LocaleMiddleware


@on_the_loop(rows.LOCALE, "process_request")
def a_language_that_was_asked_for_before(scene):
    scene.warm(headers={"accept-language": "fr"})
    return (scene.request(headers={"accept-language": "fr"}),)


@on_the_loop(rows.LOCALE, "process_request")
def another_page_in_the_same_language(scene):
    scene.warm(path="/about/")
    return (scene.request("/contact/"),)


@on_the_loop(rows.LOCALE, "process_request", ROOT_URLCONF=URLS)
def a_prefix_that_was_asked_for_before(scene):
    scene.warm(path="/de/page/")
    return (scene.request("/de/"),)


@on_a_thread(rows.LOCALE, "process_request", because="translations")
def the_first_request(scene):
    return (scene.request(),)


@on_a_thread(rows.LOCALE, "process_request", because="translations")
def another_accepted_language(scene):
    scene.warm(headers={"accept-language": "fr"})
    return (scene.request(headers={"accept-language": "nl"}),)


@on_a_thread(rows.LOCALE, "process_request", because="translations")
def another_language_in_the_cookie(scene):
    scene.warm(headers={"cookie": "django_language=fr"})
    return (scene.request(headers={"cookie": "django_language=nl"}),)


@on_a_thread(rows.LOCALE, "process_request", because="translations", ROOT_URLCONF=URLS)
def another_prefix(scene):
    scene.warm(path="/fr/page/")
    return (scene.request("/nl/page/"),)


@on_a_thread(rows.LOCALE, "process_request", because="translations", ROOT_URLCONF=URLS)
def the_same_prefix_in_capitals(scene):
    """Django takes ``FR`` and ``fr`` for two languages, and reads the files for each."""
    scene.warm(path="/fr/page/")
    return (scene.request("/FR/page/"),)


@on_a_thread(rows.LOCALE, "process_request", because="translations")
def a_header_too_long_to_remember(scene):
    headers = {"accept-language": ", ".join(["fr;q=0.5"] * 100)}
    scene.warm(headers=headers)
    return (scene.request(headers=headers),)


@on_the_loop(rows.LOCALE, "process_request")
def a_language_asked_for_after_very_many_others(scene):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "WARM_LIMIT", 3)
        for number in range(10):
            scene.warm(headers={"accept-language": f"fr;q=0.{number}"})
        assert len(scene.middleware._onehop_warm_languages) <= 3
        scene.warm(headers={"accept-language": "nl"})
    return (scene.request(headers={"accept-language": "nl"}),)


@on_a_thread(rows.LOCALE, "process_request", because="translations")
def other_urls(scene):
    scene.warm(path="/fr/page/")
    request = scene.request("/fr/page/")
    request.urlconf = URLS
    return (request,)


@on_a_thread(rows.LOCALE, "process_request", because="translations")
def urls_that_were_changed_after_the_language_was_chosen(scene):
    """A later middleware gave the first request other URLs, in which the prefix is a language."""
    first = scene.request("/fr/page/")
    assert scene.ask("process_request", first)
    scene.in_thread(scene.middleware.process_request, first)
    first.urlconf = URLS
    assert scene.ask("process_response", first, HttpResponse()) is None
    second = scene.request("/fr/page/")
    second.urlconf = URLS
    return (second,)


@on_the_loop(rows.LOCALE, "process_response")
def a_page_in_a_language(scene):
    request = scene.warm()
    return request, HttpResponse()


@on_a_thread(rows.LOCALE, "process_response", because="404", ROOT_URLCONF=URLS)
def a_missing_page_that_may_have_a_prefix(scene):
    return scene.answered(HttpResponse(status=404), path="/page/")


# The cache

LOCMEM = "django.core.cache.backends.locmem.LocMemCache"
FILES = "django.core.cache.backends.filebased.FileBasedCache"
DUMMY = "django.core.cache.backends.dummy.DummyCache"

for path in (rows.FETCH, rows.CACHE):

    @on_the_loop(path, "process_request")
    def a_page_that_is_never_cached(scene):
        return (scene.request(method="POST"),)

    for backend in (LOCMEM, FILES, DUMMY):
        for method in ("GET", "HEAD"):

            @on_a_thread(path, "process_request", because="cache is asked", CACHES={"default": {"BACKEND": backend}})
            def a_page_that_may_be_cached(scene, method=method):
                return (scene.request(method=method),)


def fetched(scene, response=None):
    request, response = scene.answered(response)
    request._cache_update_cache = True
    return request, response


for path in (rows.UPDATE, rows.CACHE):

    @on_the_loop(path, "process_response")
    def a_page_from_the_cache(scene):
        request, response = scene.answered()
        request._cache_update_cache = False
        return request, response

    for backend in (LOCMEM, FILES, DUMMY):

        @on_a_thread(path, "process_response", because="put into the cache", CACHES={"default": {"BACKEND": backend}})
        def a_page_for_the_cache(scene):
            return fetched(scene)


# Every hook that changes a response

for path in (
    rows.SECURITY, rows.COMMON, rows.CSRF, rows.FRAME_OPTIONS, rows.CSP, rows.GZIP, rows.CONDITIONAL_GET,
    rows.UPDATE, rows.CACHE, rows.SESSION,
):  # fmt: skip
    for make in RESPONSES:

        @on_the_loop(path, "process_response")
        def a_response_of_each_kind(scene, make=make):
            return scene.answered(make())

    for odd in ODD:

        @on_a_thread(path, "process_response", because=odd.__name__)
        def a_response_class_of_ones_own(scene, odd=odd):
            return scene.answered(odd())


@on_a_thread(rows.LOCALE, "process_response", because="OddHeaders")
def a_localized_response_of_ones_own(scene):
    return scene.answered(OddHeaders())
