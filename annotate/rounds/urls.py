"""Media of rounds."""

from django.urls import path

from annotate.rounds.media_views import sample_media

urlpatterns = [
    path("media/samples/<int:sample_id>", sample_media, name="sample_media"),
]
