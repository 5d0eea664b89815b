"""The judging page and its media."""

from django.urls import path

from annotate.judging import media_views, views

urlpatterns = [
    path("judge/<track:track>/", views.judge, name="judge"),
    path("media/<uuid:lease>/<str:name>", media_views.leased_media, name="leased_media"),
]
