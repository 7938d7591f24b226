from django.urls import path
from django.views.generic import RedirectView
from shop import live, views

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="live")),
    path("async/", views.async_view, name="async"),
    path("sync/", views.sync_view, name="sync"),
    path("pool/", views.pool_view, name="pool"),
    path("itself/", views.itself_view, name="itself"),
    path("live/", live.page, name="live"),
    path("live/events/", live.events, name="events"),
    path("live/figures/", live.now, name="figures"),
]
