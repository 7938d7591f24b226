"""
Send interleaved requests to one contender, in a process of its own, and print what was seen.

``python -m tests.leaks.child NAME REQUESTS SEED SHARD OFTEN FILE``: a line of JSON for each batch, then one with the
report. Half of the requests are of a few shapes, OFTEN of them, the same for all contenders. FILE holds the steady
cells: a baseline writes them, the others read them. SIGTERM ends it after the batch, with the report.
"""

import asyncio
import contextvars
import json
import logging
import random
import signal
import sys
import threading
import time
from pathlib import Path

CLIENTS = 24
WSGI_CLIENTS = 8
WRITERS = 4
"""Most requests at once that write rows: SQLite lets one write."""
BATCH = 600
WATCHED = 3
"""In every third batch, requests write rows, and the packages watch."""
SHARE_OF_WRITING = 0.16
MEETING = 2
"""The first requests of such a batch write rows, and meet: what they share is certain to mix."""
SHARE_OF_OFTEN = 0.5
GONE_AFTER_S = 0.002


def main():
    name, requests, seed, shard, often, steady_file = sys.argv[1:]
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _set_up()
    draw = seed, shard, int(often)
    print(json.dumps(_run(name, int(requests), draw, Path(steady_file), ended)), flush=True)


def _set_up():
    import os

    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.leaks.settings"
    import django

    django.setup(set_prefix=False)
    for noisy in ("django.request", "asyncio", "onehop", "concurrent.futures"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL + 1)

    from django.apps import apps
    from django.contrib.auth.models import User
    from django.db import connection

    from tests.leaks.middleware import USER_BY_NAME
    from tests.leaks.tickets import USERS

    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode = WAL")
    with connection.schema_editor() as editor:
        for model in apps.get_models():
            editor.create_model(model)
    User.objects.bulk_create(User(username=f"user-{number}", password="!") for number in range(USERS))
    USER_BY_NAME.update((user.username, user) for user in User.objects.all())


def _run(name, requests, draw, steady_file, ended):
    from django.db import connections

    from tests import asgi
    from tests.leaks import rows
    from tests.leaks.contenders import CONTENDERS
    from tests.leaks.tally import Tally
    from tests.leaks.views import WRITING_VIEWS

    contender = CONTENDERS[name]
    tally = Tally(None if contender.is_stock else json.loads(steady_file.read_text()))
    make_ticket = _ticket_maker(name, contender.is_wsgi, *draw)
    send_all = _send_wsgi if contender.is_wsgi else _send_asgi
    cookies = _cookies()
    applications = contender.applications()
    started, cpu = time.monotonic(), time.process_time()
    batch = 0
    with asgi.counting() as counts:
        while tally.requests < requests and not ended.is_set():
            watched = batch % WATCHED == 0
            rows.watch_requests(watched)
            size = min(BATCH, requests - tally.requests)
            tickets = [make_ticket(watched, watched and place < MEETING) for place in range(size)]
            send_all(applications, tickets, tally, cookies)
            if watched:
                writing = {ticket.canary: ticket for ticket in tickets if ticket.shape.view in WRITING_VIEWS}
                tally.add_rows(writing, rows.written())
                rows.forget()
            batch += 1
            print(json.dumps({"done": tally.requests, "leaks": sum(tally.leaks.values())}), flush=True)
    connections.close_all()
    if contender.is_stock:
        steady_file.write_text(json.dumps(tally.steady_cells()))
    spent = {"seconds": time.monotonic() - started, "cpu_seconds": time.process_time() - cpu}
    return {**tally.report(), **spent, "threads": counts["threads"]}


def _ticket_maker(name, is_wsgi, seed, shard, often):
    """Return a function that makes the next ticket; one for a batch that is watched may write rows, and meet."""
    from tests.leaks import stores
    from tests.leaks.middleware import PUTTERS, WEIGHTS
    from tests.leaks.tickets import Shape, Ticket
    from tests.leaks.views import VIEWS, WRITING_VIEWS

    views = [view for view in VIEWS if view != "waiting" or not is_wsgi]  # there, nobody would end it
    light = [(stack, view) for stack, weight in WEIGHTS.items() for view in views for _ in range(weight)]
    writing = [("rows", view) for view in WRITING_VIEWS]
    bits = [bit for bit, _ in stores.PUT_BY_SYNC_CODE.stores]
    memory = stores.IN_MEMORY.mask

    def shape_of(rng, sites, known):
        stack, view = rng.choice(sites)
        return Shape(stack, view, rng.choice(PUTTERS[stack]), known)

    for_all = random.Random(seed)
    sent_often = [shape_of(for_all, light, known=True) for _ in range(often)]
    rng = random.Random(f"{seed}.{shard} {name}")
    number = 0

    def make(watched, meets):
        nonlocal number
        number += 1
        puts = sum(bits)
        if meets:
            shape = shape_of(rng, [("rows", "write")], known=True)
        elif watched and rng.random() < SHARE_OF_WRITING:
            shape = shape_of(rng, writing, known=rng.random() < 0.5)
        elif rng.random() < SHARE_OF_OFTEN:
            shape = rng.choice(sent_often)
        else:
            shape = shape_of(rng, light, known=rng.random() < 0.5)
            if rng.random() < 0.5:
                puts = rng.choice(bits)
        if shape.stack not in ("database", "rows"):
            puts &= memory
        return Ticket(number, shape, puts if shape.known else 0, meets)

    return make


def _cookies():
    """Return, by name, the cookie of a session in which that user is logged in."""
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.signed_cookies import SessionStore

    from tests.leaks.middleware import USER_BY_NAME

    cookies = {None: ""}
    for name, user in USER_BY_NAME.items():
        session = SessionStore()
        session[SESSION_KEY] = str(user.pk)
        session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session.save()
        cookies[name] = f"sessionid={session.session_key}"
    return cookies


def _path_of(ticket):
    from tests.leaks.views import WRITING_VIEWS

    view = ticket.shape.view
    return f"/rows/{view}/{ticket.canary}/" if view in WRITING_VIEWS else f"/{view}/"


def _prefix_of(ticket):
    return f"/{ticket.canary}" if ticket.shape.known else ""


def _send_asgi(applications, tickets, tally, cookies):
    """Send requests from a number of clients on one loop, each in a task of its own, as a server does."""
    from tests import asgi
    from tests.leaks.views import STATUS

    async def send(ticket, writers):
        shape, gone = ticket.shape, asyncio.Event()
        extra = {"root_path": _prefix_of(ticket), "ticket": ticket}
        if shape.view == "waiting":
            asyncio.get_running_loop().call_later(GONE_AFTER_S, gone.set)
        if shape.stack != "rows":
            request = asgi.request(applications[shape.stack], _path_of(ticket), disconnect=gone, **extra)
            status = (await request).status
            return status, status if shape.view == "waiting" else STATUS.get(shape.view, 200)
        headers = [(b"cookie", cookies[ticket.user].encode())]
        async with writers:
            request = asgi.request(applications["rows"], _path_of(ticket), method="POST", headers=headers, **extra)
            return (await request).status, 200

    async def send_all():
        waiting, writers = list(reversed(tickets)), asyncio.Semaphore(WRITERS)

        async def client():
            while waiting:
                ticket = waiting.pop()
                task = asyncio.create_task(send(ticket, writers))
                try:
                    tally.add(ticket, *await task)
                except (Exception, asyncio.CancelledError) as error:
                    tally.add(ticket, type(error).__name__, "an answer")

        await asyncio.gather(*(client() for _ in range(CLIENTS)))

    contextvars.Context().run(asyncio.run, send_all())


def _send_wsgi(applications, tickets, tally, cookies):
    """Send requests on threads, a new one for each, as Django's own server does."""
    from tests.leaks.views import STATUS
    from tests.wsgi import drive

    waiting, lock = list(reversed(tickets)), threading.Lock()

    def send(ticket, answers):
        shape = ticket.shape
        extra = {"SCRIPT_NAME": _prefix_of(ticket), "HTTP_COOKIE": cookies[ticket.user]}
        extra |= {"REMOTE_ADDR": "127.0.0.1", "ticket": ticket}
        method = "POST" if shape.stack == "rows" else "GET"
        try:
            answer = drive.get(applications[shape.stack], _path_of(ticket), method=method, **extra)
            answers.append((int(answer.status.partition(" ")[0]), STATUS.get(shape.view, 200)))
        except Exception as error:
            answers.append((type(error).__name__, "an answer"))

    def client():
        while True:
            with lock:
                if not waiting:
                    return
                ticket = waiting.pop()
            answers = []
            thread = threading.Thread(target=send, args=(ticket, answers))
            thread.start()
            thread.join()
            with lock:
                tally.add(ticket, *answers[0])

    clients = [threading.Thread(target=client) for _ in range(WSGI_CLIENTS)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()


if __name__ == "__main__":
    main()
