"""The judging page and its media."""

from django.urls import path

from annotate.judging import views

urlpatterns = [
    path("judge/<track:track>/", views.JudgingPage.as_view(), name="judge"),
    path("media/<uuid:lease>/<str:name>", views.leased_media, name="leased_media"),
]
