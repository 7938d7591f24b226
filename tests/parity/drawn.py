"""What cases are drawn from."""

import django
from django.contrib import messages
from hypothesis import strategies as st

from tests.parity import stacks, views
from tests.parity.nouns import ABSENT, Case, Request, Site, Spec, View
from tests.parity.touches import NEVER_BLOCKS, TOUCHES

MAX_STACK = 15
MAX_REQUESTS = 24
MAX_VIEWS = 6

SENSIBLE = (
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
)
DJANGOS = (
    *SENSIBLE,
    "django.middleware.gzip.GZipMiddleware",
    "django.middleware.http.ConditionalGetMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.auth.middleware.RemoteUserMiddleware",
    "django.contrib.auth.middleware.PersistentRemoteUserMiddleware",
    "django.middleware.cache.UpdateCacheMiddleware",
    "django.middleware.cache.FetchFromCacheMiddleware",
    "django.middleware.cache.CacheMiddleware",
    "django.middleware.common.BrokenLinkEmailsMiddleware",
    "django.contrib.sites.middleware.CurrentSiteMiddleware",
    "django.contrib.flatpages.middleware.FlatpageFallbackMiddleware",
    "django.contrib.redirects.middleware.RedirectFallbackMiddleware",
    "django.contrib.admindocs.middleware.XViewMiddleware",
    *(("django.middleware.csp.ContentSecurityPolicyMiddleware",) if django.VERSION >= (6, 0) else ()),
)
HOST = b"testserver"


def often(usual, strategy):
    """Draw mostly what is usual."""
    return st.one_of(st.just(usual), st.just(usual), st.just(usual), strategy)


def some(values, most=3):
    return st.lists(st.sampled_from(values), max_size=most, unique_by=repr).map(tuple)


PLACED = {
    True: often((), some(NEVER_BLOCKS)),
    False: often((), some(list(TOUCHES))),
}
"""What a middleware does besides: one that is declared to run anywhere does nothing that has a place."""
UNPLACED_TOUCHES = often((), some([name for name in TOUCHES if name != "threading.local"]))
KIND = st.sampled_from(stacks.KINDS)
HOOKS_DO = st.dictionaries(st.sampled_from(stacks.HOOKS), st.sampled_from(("pass",) * 14 + stacks.DOES + stacks.WRONGS))
AROUND = often("pass", st.sampled_from(stacks.AROUND))
ONE_IN_SIX = st.integers(0, 5).map(lambda number: number == 5)
FIVE_IN_SIX = st.integers(0, 5).map(lambda number: number > 0)
ONE_IN_FORTY = st.integers(0, 39).map(lambda number: number == 39)
NO_HOOKS = st.just({})


@st.composite
def specs(draw):
    """Draw a middleware; neither lane nor thread of a hybrid is stock Django's."""
    kind = draw(KIND)
    declared = draw(ONE_IN_SIX)
    hooks = draw(NO_HOOKS if "function" in kind else HOOKS_DO)
    touches = draw(UNPLACED_TOUCHES if kind in stacks.HYBRIDS and not declared else PLACED[declared])
    return Spec(kind, draw(AROUND), hooks, draw(st.booleans()), declared, touches)


SIZE = st.integers(1, MAX_STACK)
ORDER = st.sampled_from(("own", "sensible", "sensible", "any"))
BETWEEN = {
    "own": specs(),
    "sensible": st.one_of(specs(), specs(), st.sampled_from(DJANGOS[len(SENSIBLE) :])),
    "any": st.one_of(specs(), st.sampled_from(DJANGOS)),
}
PLACES = [st.integers(0, each) for each in range(MAX_STACK)]


@st.composite
def site_stacks(draw):
    """Draw a stack: our own, Django's in its order with others between, or anything in any order."""
    size, order = draw(SIZE), draw(ORDER)
    stack = [each for each in SENSIBLE if draw(FIVE_IN_SIX)] if order == "sensible" else []
    while len(stack) > size:
        del stack[draw(PLACES[len(stack) - 1])]
    while len(stack) < size:
        stack.insert(draw(PLACES[len(stack)]), draw(BETWEEN[order]))
    return tuple(stack)


CLOSED = ("closers", "file", "stream", "async stream")
ANSWERED = tuple(each for each in views.DOES if each != "waits")
view_strategy = st.builds(
    View,
    does=st.sampled_from((*ANSWERED, *stacks.RAISES, *stacks.RAISES, *CLOSED, *CLOSED)),
    mode=st.sampled_from(("sync", "async")),
    form=st.sampled_from(("function", "function", "class", "callable")),
    touches=often((), some(list(TOUCHES))),
    decorators=often((), some(list(views.DECORATORS), most=2)),
)
waiting_view = st.builds(
    View, does=st.just("waits"), mode=st.just("async"), form=st.sampled_from(("function", "class"))
)
SETTINGS = {
    "SESSION_ENGINE": [f"django.contrib.sessions.backends.{each}" for each in (
        "db", "cache", "cached_db", "file", "signed_cookies")],
    "CSRF_USE_SESSIONS": [True],
    "CSRF_COOKIE_SECURE": [True],
    "CSRF_TRUSTED_ORIGINS": [["https://*.example.com"]],
    "MESSAGE_STORAGE": [f"django.contrib.messages.storage.{each}" for each in (
        "cookie.CookieStorage", "session.SessionStorage", "fallback.FallbackStorage")],
    "MESSAGE_LEVEL": [messages.ERROR],
    "SESSION_SAVE_EVERY_REQUEST": [True],
    "SESSION_EXPIRE_AT_BROWSER_CLOSE": [True],
    "SESSION_COOKIE_AGE": [2],
    "APPEND_SLASH": [False],
    "PREPEND_WWW": [True],
    "DEBUG": [True],
    "DEBUG_PROPAGATE_EXCEPTIONS": [True],
    "ALLOWED_HOSTS": [["*"], [".testserver"], []],
    "SECURE_SSL_REDIRECT": [True],
    "SECURE_HSTS_SECONDS": [60],
    "USE_I18N": [False],
    "USE_X_FORWARDED_HOST": [True],
    "SECURE_PROXY_SSL_HEADER": [("HTTP_X_FORWARDED_PROTO", "https")],
    "CACHE_MIDDLEWARE_SECONDS": [0, 1],
    "DATA_UPLOAD_MAX_MEMORY_SIZE": [20],
    "FILE_UPLOAD_MAX_MEMORY_SIZE": [20, 0],
    "DATA_UPLOAD_MAX_NUMBER_FIELDS": [1],
    "FORCE_SCRIPT_NAME": ["/prefix"],
    "X_FRAME_OPTIONS": ["SAMEORIGIN"],
    **({"SECURE_CSP": [{"default-src": ["'self'"]}]} if django.VERSION >= (6, 0) else {}),
}  # fmt: skip


settings = st.lists(
    st.one_of(*[st.tuples(st.just(name), st.sampled_from(values)) for name, values in SETTINGS.items()]),
    max_size=6,
    unique_by=lambda setting: setting[0],
).map(tuple)
sites = st.builds(
    Site,
    stack=site_stacks(),
    views=st.lists(st.one_of(*[view_strategy] * 12, waiting_view), min_size=1, max_size=MAX_VIEWS).map(tuple),
    settings=settings,
    errors=often("", st.sampled_from(("plain", "template", "querying", "raising"))),
    prefixed=often(False, st.booleans()),
    atomic=often(False, st.just(True)),
    receivers=often("", st.sampled_from(("sync", "async", "both"))),
)

PATHS = (
    "/",
    "",
    "//",
    "v0/",
    "/v0",
    "/v0/7/",
    "/v1/7/",
    "/w0/word/",
    "/noslash0",
    "/noslash0/",
    "/de/v0/",
    "/en/v0/",
    "/fr/v0/",
    "/flat/",
    "/old/",
    "/nowhere/",
    "/nowhere",
    "/login/",
    "/v0/\x00",
    "/v\u00fc/",
    "/v\ud800/",
    "//example.com/v0/",
    "/v0/../v1/",
    "/" + "x" * 3000,
)
FORM = b"application/x-www-form-urlencoded"
MULTIPART = b"multipart/form-data; boundary=limit"
UPLOAD = (
    b'--limit\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--limit\r\n'
    b'Content-Disposition: form-data; name="f"; filename="f.txt"\r\nContent-Type: text/plain\r\n\r\nhello file\r\n'
    b"--limit--\r\n"
)
BODIES = (
    (FORM, b"a=1&b=2&a=3"),
    (FORM, b"a=%ff&b=\xff&=&&"),
    (FORM, b"csrfmiddlewaretoken=" + b"x" * 32),
    (FORM, b"a=" + b"x" * 300),
    (b"application/json", b'{"a": 1}'),
    (b"application/json", b"{"),
    (MULTIPART, UPLOAD),
    (MULTIPART, UPLOAD[:40]),
    (b"multipart/form-data", UPLOAD),
    (b"multipart/form-data; boundary=", UPLOAD),
    (FORM + b"; charset=latin-1", b"a=\xfc"),
    (FORM + b"; charset=nonsense", b"a=1"),
    (b"", b"nothing said"),
    (b"text/plain; charset=\xff", b"x"),
)
HEADERS = (
    (b"accept", b"text/html"),
    (b"accept", b"text/plain"),
    (b"accept-encoding", b"gzip"),
    (b"accept-language", b"de,en;q=0.5"),
    (b"accept-language", b"x" * 600),
    (b"authorization", b"Basic x"),
    (b"content-length", b"10,20"),
    (b"content-length", b"-1"),
    (b"content-length", b"1e99"),
    (b"content-length", b"abc"),
    (b"content-length", b"1"),
    (b"content-length", b"99999999"),
    (b"cookie", b"seen=1; seen=2"),
    (b"cookie", b'sessionid="; broken; =; a=b=c'),
    (b"cookie", b"sessionid=nonsense; csrftoken=short; messages=bad"),
    (b"cookie", b"huge=" + b"x" * 20_000),
    (b"cookie", b"b=\xff\xfe"),
    (b"host", b"testserver:80"),
    (b"host", b"testserver:bad"),
    (b"host", b"[::1]"),
    (b"host", b"user@testserver"),
    (b"host", b"evil.example"),
    (b"host", b"www.testserver"),
    (b"host", b""),
    (b"if-none-match", b'"tag"'),
    (b"if-modified-since", b"Wed, 01 Jan 2025 00:00:00 GMT"),
    (b"origin", b"https://a.example.com"),
    (b"origin", b"null"),
    (b"referer", b"https://testserver/"),
    (b"range", b"bytes=0-1"),
    (b"under_score", b"1"),
    (b"x-forwarded-host", b"testserver"),
    (b"x-forwarded-proto", b"https"),
    (b"x-double", b"1"),
    (b"x-double", b"2"),
    (b"x-line", b"a\r\nb: c"),
    (b"x-latin", b"\xfc\xff"),
    (b"", b"no name"),
    (b"X-Upper", b"Case"),
    (b"x-requested-with", b"XMLHttpRequest"),
    (b"user-agent", b"\xe2\x82\xac"),
)
SCOPES = (
    ("scheme", "https"),
    ("client", None),
    ("client", ABSENT),
    ("client", ("", None)),
    ("server", None),
    ("server", ABSENT),
    ("server", ("/run/socket", None)),
    ("root_path", "/mounted"),
    ("root_path", ABSENT),
    ("root_path", None),
    ("raw_path", ABSENT),
    ("http_version", "2"),
    ("http_version", "9.9"),
    ("scheme", ABSENT),
    ("extensions", {}),
    ("state", {}),
    ("asgi", {"version": "3.0"}),
    ("type", "websocket"),
)
QUERIES = (b"", b"a=1&a=2", b"a=%ff", b"\xff\xfe", b"&=&", b"q=" + b"x" * 3000, "text=1")


VIEW_NUMBER = st.integers(0, MAX_VIEWS - 1)
TO = st.one_of(VIEW_NUMBER, VIEW_NUMBER, VIEW_NUMBER, VIEW_NUMBER, st.sampled_from(PATHS))
METHOD = often("GET", st.sampled_from(("POST", "POST", "POST", "HEAD", "PUT", "OPTIONS", "get", "odd", "")))
BODY = st.sampled_from(((b"", b""), *BODIES))
SOME_HEADERS = often((), some(HEADERS, most=4))
QUERY = often(b"", st.sampled_from(QUERIES))
PIECES = often(1, st.integers(1, 4))
COOKIES = often(True, st.booleans())
CSRF = often("header", st.sampled_from(("", "header", "wrong")))
SCOPE = often((), often((), some(SCOPES, most=2)))
FAILS_AT = st.integers(0, 4)


@st.composite
def requests(draw, site):
    """Draw a request to a site."""
    to, method, headers = draw(TO), draw(METHOD), draw(SOME_HEADERS)
    kind, body = draw(BODY) if method not in ("GET", "HEAD") else (b"", b"")
    return Request(
        to=to % len(site.views) if isinstance(to, int) else to,
        method=method,
        query=draw(QUERY),
        headers=((b"content-type", kind), *headers) if kind else headers,
        body=body,
        pieces=draw(PIECES) if body else 1,
        cookies=draw(COOKIES),
        csrf=draw(CSRF),
        scope=draw(SCOPE),
        hangs_up=draw(ONE_IN_FORTY),
        send_fails_at=draw(FAILS_AT) if draw(ONE_IN_FORTY) else None,
    )


@st.composite
def cases(draw, most=MAX_REQUESTS):
    """Draw a site, and up to so many requests to it."""
    site = draw(sites)
    request = requests(site)
    return Case(site, tuple(draw(request) for _ in range(draw(st.integers(1, most)))))


SMALL_SITES = st.builds(
    Site,
    stack=st.lists(specs(), max_size=3).map(tuple),
    views=st.tuples(view_strategy),
    settings=often((), settings),
    receivers=st.sampled_from(("", "sync", "async")),
)


@st.composite
def small_cases(draw):
    """Draw a site with one view and up to three middleware of our own, and two requests."""
    site = draw(SMALL_SITES)
    return Case(site, (Request(), draw(requests(site))))


def case_of(specs, mode, does, propagate=False):
    """Return a site with one view that is asked twice."""
    return Case(
        Site(tuple(specs), (View(does, mode),), settings=(("DEBUG_PROPAGATE_EXCEPTIONS", True),) if propagate else ()),
        (Request(), Request()),
    )


NAMES = {"bad-template": "bad template"}
HOOK_CASES = st.builds(
    case_of,
    stacks.stacks,
    st.sampled_from(["sync", "async"]),
    st.sampled_from([NAMES.get(each, each) for each in stacks.VIEWS]),
    st.booleans(),
)
SMALL_CASES = st.one_of(HOOK_CASES, small_cases())
