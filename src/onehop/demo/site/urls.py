"""The addresses of the demo."""

from django.contrib import admin
from django.urls import path

from . import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("sync/", views.sync_view),
    path("async/", views.async_view),
    path("async-io/", views.async_io_view),
    path("slow/", views.slow_view),
    path("part/<int:number>/", views.part_view),
    path("aggregate/", views.aggregate_view),
    path("aggregate-sync/", views.aggregate_sync_view),
    path("cookies/", views.cookies_view),
    path("long/", views.long_view),
    path("error/", views.error_view),
]
