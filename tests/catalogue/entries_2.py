"""Entries 49 to 96: asgiref, threads and the pool, context, signals, greenlets, WSGI, exceptions."""

from tests.catalogue.entry import Entry

ENTRIES = {
    # asgiref, threads, the pool
    49: Entry(
        "asgiref #247, codex #701, conversations #720",
        "After a disconnect asyncio logged exceptions nobody had asked for, and calls in the view's clean-up failed.",
    ),
    50: Entry(
        "asgiref #482",
        "Bridges inside bridges of one request used several threads, which waited for each other for ever.",
    ),
    51: Entry("asgiref #562", "`async_to_sync` on a loop that had stopped never returned."),
    52: Entry(
        "asgiref #194, uvicorn #941, opbeat #103",
        "A process forked beside threads or loops waited for what its parent only had.",
    ),
    53: Entry("asgiref #537", "A callable that had an attribute `context` of its own was mistaken for a bridge."),
    54: Entry(
        "asgiref #306, #560, codex #838, djust #1556",
        "A new thread for each request, and a connection for each thread: bursts used up the database's connections.",
    ),
    55: Entry("channels #1587, Django #32889", "All sync views of a process ran on one thread, one after another."),
    56: Entry(
        "asgiref 3.13",
        "A task that outlived its request was refused its thread, or ran on one that served somebody else by then.",
    ),
    57: Entry(
        "cpython #80961, #99704, feast #4627",
        "A process did not end because of its pool's threads, or they failed with a traceback while it ended.",
    ),
    58: Entry("measured", "Views that called their own server held all threads, and waited for one more."),
    59: Entry("measured", "A transaction that one view had left open made every later request of its thread fail."),
    60: Entry(
        "measured, date-website #1153",
        "Error handlers that made queries left their connections open on threads that nobody cleans up.",
    ),
    61: Entry(
        "Django #33497, penn-clubs #879, gunicorn #996, #2730, channels #871",
        "Kept connections beside short-lived threads added up until the database had none left.",
    ),
    62: Entry(
        "channels #1110, pytest-django #580, #1223",
        "Code that a test ran on another thread did not see the rows of the test's open transaction.",
    ),
    63: Entry("measured", "What ended a pool's thread took a request with it that had nothing to do with it."),
    # Context
    64: Entry("asgiref #473, #475, #478", "Tasks shared `Local` values: a page came in the language of another user."),
    65: Entry("asgiref #522, #485", "Deleting one request's `Local` value deleted it for those beside it."),
    66: Entry("asgiref #564", "New threads inherited somebody's context, and `Local` values with it."),
    67: Entry(
        "asgiref #534",
        "A token set on the way in could not be reset on the way out: 'created in a different Context'.",
    ),
    68: Entry(
        "asgiref #148, #170, #171, starlette #1525, #1678, #2943",
        "Context variables set in middleware were not seen in the view, or the view's not in the middleware.",
    ),
    69: Entry(
        "uvicorn #2167, #2742, #3158, starlette #2335, cpython #140947",
        "A request began inside the context of the one before it on the same connection.",
    ),
    70: Entry("asgiref #158, #487", "`Local` grew with every request, or kept values alive in cycles."),
    71: Entry("cfpb #5783", "A language activated and not deactivated stuck to its thread, for all that came after."),
    72: Entry("Django #31253", "Concurrent tasks shared one cache client, and wrote and read each other's values."),
    73: Entry(
        "easy-audit #6, #142, simple-history #1189, currentuser #77, multitenant #176, crum #35, openedx #38707",
        "Packages that keep the current user in a global named the wrong one, or nobody.",
    ),
    # Signals
    74: Entry("Django #35174", "`asend` failed when all receivers were async."),
    75: Entry("Django #32172", "Where sync and async receivers mix, their order and their errors have to be defined."),
    76: Entry("Django's dispatcher", "Who keeps a strong reference to a weak receiver keeps it alive, and calls it."),
    77: Entry("auditlog, Django's test clients", "Receivers that come and go with each request are missed by a cache."),
    # Greenlets
    78: Entry(
        "greenlet #196, #198, SQLAlchemy #5615, #5616, greenback #5",
        "A greenlet began with a context of its own, and the request's variables were gone.",
    ),
    79: Entry("greenlet #328", "Every greenlet that had run Python code leaked its frames."),
    80: Entry(
        "greenlet #511",
        "Greenlets crashed the interpreter where Python runs without its global lock.",
        "Onehop is for CPython with the lock: 3.11 to 3.13 are tested, and no free-threaded build is claimed.",
    ),
    81: Entry("greenback #22", "Two greenlet bridges in one thread took each other's messages."),
    82: Entry("gevent #1437, #2047", "A greenlet was resumed from another thread: 'cannot switch'."),
    83: Entry(
        "labthings #32",
        "A lock held while greenlets switch protects nothing if it is re-entrant, and stops the loop if it is not.",
    ),
    84: Entry("PyO3 #3668", "Native code took a thread-local for its own while greenlets shared the thread."),
    85: Entry("measured", "Greenlets of one thread share `threading.local`: Alice read what Bob had written."),
    86: Entry("SQLAlchemy", "A cancelled greenlet was dropped before its `finally` had run."),
    # WSGI with async views
    87: Entry(
        "openverse #2663, #3000, elasticsearch-py #1303, asgiref #542",
        "An async client kept between requests belonged to the loop of one call, which was closed then.",
    ),
    88: Entry("asgiref 3.2.4", "Tasks and async generators that a view had left were never ended."),
    89: Entry("measured", "Blocking calls of an async view did not come back to the thread of their request."),
    90: Entry("measured", "On one loop for all, a task that exited took the loop along: other requests hung for ever."),
    91: Entry("Django #36863", "Several `async_to_sync` calls of one WSGI request had a loop each."),
    # Exceptions, exit
    92: Entry("measured", "What is no `Exception` went to the server without a closed response and without a signal."),
    93: Entry("measured", "`SystemExit` in a task of a view stops the server's loop, in stock Django too."),
    94: Entry(
        "redis-py #2624, #2665, CVE-2023-28858, CVE-2023-28859, asyncpg #464, SQLAlchemy #6592, #12099",
        "A request cancelled between question and reply left the reply for the next user of the connection.",
    ),
    95: Entry(
        "Django #21608, flask-session #71",
        "A request that was still running saved the session of a user who had logged out, back into life.",
    ),
    96: Entry("Django #35627", "A language of more than 500 characters made `LocaleMiddleware` fail."),
}
