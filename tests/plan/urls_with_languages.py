"""URLs that begin with a language."""

from django.conf.urls.i18n import i18n_patterns
from django.urls import path

from tests.project.views import async_view

urlpatterns = i18n_patterns(path("", async_view), path("page/", async_view))
