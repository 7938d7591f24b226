"""Random sites and requests, compared with stock Django: everything they do is the same, but for what is listed."""

import os

from hypothesis import HealthCheck, Phase, example, given, settings

from tests.parity import compare, drawn
from tests.parity.nouns import Case, Request, Site, Spec, View

LOCALE = "django.middleware.locale.LocaleMiddleware"
TOKEN = Spec("hooks", hooks={"process_request": "pass", "process_response": "pass"}, declared=True, touches=("token",))
UNRENDERED = Spec("hooks", hooks={"process_template_response": "text", "process_exception": "pass"})


def examples(variable, number):
    """Draw the same cases in each run, as many as a variable of the environment says."""
    return settings(
        max_examples=int(os.environ.get(variable, number)),
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
    )


@examples("ONEHOP_STACKS", 60)
@given(drawn.HOOK_CASES)
@example(
    drawn.case_of([Spec("classic", "twice"), Spec("hooks", hooks={"process_request": "respond"})], "async", "ok"),
)
@example(drawn.case_of([Spec("hooks", hooks={"process_response": "raise"}), Spec("hybrid", "never")], "sync", "ok"))
@example(drawn.case_of([Spec("classic", declared=True), Spec("classic", "twice")], "sync", "raise"))
@example(drawn.case_of([TOKEN, Spec("classic")], "sync", "ok"))
@example(drawn.case_of([TOKEN, Spec("hooks"), Spec("classic")], "async", "ok"))
def test_small_stacks_equal_stock_django(world, case):
    """The hooks of up to four middleware of every kind, around each kind of view."""
    compare.compare(case, world)


@examples("ONEHOP_STACKS", 60)
@given(drawn.small_cases())
@example(Case(Site(views=(View("stream"),), receivers="sync")))
@example(Case(Site(views=(View("async stream"),), receivers="both")))
@example(Case(Site(views=(View("waits", "async"),), receivers="sync")))
def test_small_sites_equal_stock_django(world, case):
    """Up to three middleware that do anything, around a view that does anything."""
    compare.compare(case, world)


@examples("ONEHOP_SITES", 40)
@given(drawn.cases(most=8))
@example(Case(Site((LOCALE,), settings=(("USE_I18N", False),))))
@example(Case(Site((LOCALE,), prefixed=True), (Request(to="/de/v0/"), Request(to="/de/v0/"))))
@example(Case(Site((UNRENDERED,), (View("template"),))))
@example(Case(Site((Spec("classic"), Spec("hybrid")), settings=(("DEBUG", True), ("ALLOWED_HOSTS", [])))))
def test_whole_sites_equal_stock_django(world, case):
    """Up to 15 middleware, Django's own among them, any settings, and requests that belong together."""
    compare.compare(case, world)
