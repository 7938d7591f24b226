from django.urls import path

from tests.project import views

urlpatterns = [
    path("sync/", views.sync_view),
    path("async/", views.async_view),
    path("<mode>/<name>/", views.by_name),
]
