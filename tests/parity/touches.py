"""What middleware and views do besides answering."""

import logging
import threading
import time

from asgiref.sync import sync_to_async
from django.contrib import messages
from django.contrib.auth import get_user_model
from django.db import connection
from django.utils import timezone, translation

from tests.parity import recorder
from tests.parity.recorder import local, note, token_variable, variable

logger = logging.getLogger("project")
WAIT_S = 0.0005


def set_variable(who, request):
    variable.set(who)


def set_local(who, request):
    local.value = who


def delete_local(who, request):
    if hasattr(local, "value"):
        del local.value


def set_own(who, request):
    recorder.own.value = who


def wait(who, request):
    time.sleep(WAIT_S)
    threading.Event().wait(WAIT_S)


def query(who, request):
    users = get_user_model().objects.count()
    note(who, "ORM", users, connection.in_atomic_block, connection.get_autocommit())


def write(who, request):
    user = get_user_model().objects.create(username=f"{who} {get_user_model().objects.count()}")
    note(who, "ORM write", user.pk, connection.in_atomic_block)


def use_session(who, request):
    if hasattr(request, "session"):
        request.session[who] = request.session.get(who, 0) + 1


def read_session(who, request):
    if hasattr(request, "session"):
        note(who, "session", sorted(request.session.items(), key=repr))


def flush_session(who, request):
    if hasattr(request, "session"):
        request.session.flush()


def use_messages(who, request):
    messages.info(request, who, fail_silently=True)


def read_messages(who, request):
    note(who, "messages", [str(each) for each in messages.get_messages(request)])


def use_user(who, request):
    if hasattr(request, "user"):
        note(who, "user", str(request.user), request.user.is_authenticated)


def read_form(who, request):
    note(who, "form", sorted(request.POST.lists()), sorted(request.FILES))


def use_token(who, request):
    """Set a variable; ``leave`` resets it with the token."""
    request.__dict__.setdefault("tokens", {})[who] = token_variable.set(who)


def log(who, request):
    logger.warning("%s was here", who)


def activate(who, request):
    translation.activate("de")
    timezone.activate("Asia/Tokyo")


TOUCHES = {
    "variable": set_variable,
    "local": set_local,
    "del local": delete_local,
    "threading.local": set_own,
    "wait": wait,
    "query": query,
    "write": write,
    "session": use_session,
    "read session": read_session,
    "flush session": flush_session,
    "messages": use_messages,
    "read messages": read_messages,
    "user": use_user,
    "form": read_form,
    "token": use_token,
    "log": log,
    "activate": activate,
}
NEVER_BLOCKS = ("variable", "local", "del local", "token", "log", "activate")
"""What code may do wherever it runs; all else is done on the request thread."""


def enter(touches, who, request):
    """Do it, in sync code."""
    for each in touches:
        TOUCHES[each](who, request)


async def aenter(touches, who, request):
    """Do it, in async code: what may block through ``sync_to_async``."""
    for each in touches:
        if each in NEVER_BLOCKS:
            TOUCHES[each](who, request)
        else:
            await sync_to_async(TOUCHES[each])(who, request)


def leave(touches, who, request, mode=None):
    """Take back what can be taken back."""
    if "token" in touches and who in getattr(request, "tokens", ()):
        try:
            token_variable.reset(request.tokens.pop(who))
        except ValueError:
            note(who, "reset", "in another context", mode=mode)
        else:
            note(who, "reset", "done", mode=mode)
