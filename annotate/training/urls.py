"""Pages of launches and runs."""

from django.urls import path

from annotate.training import launch_views, run_views
from annotate.training.run_views import run_clip_media

urlpatterns = [
    path("rounds/<int:round_id>/launch/", launch_views.launch, name="launch"),
    path("runs/<int:run_id>/", run_views.run_detail, name="run"),
    path("runs/<int:run_id>/approve/", run_views.approve, name="run_approve"),
    path("runs/<int:run_id>/cancel/", run_views.cancel, name="run_cancel"),
    path("runs/<int:run_id>/retry/", run_views.retry, name="run_retry"),
    path("media/runs/<int:run_id>/<int:step>/<str:name>", run_clip_media, name="run_clip"),
]
