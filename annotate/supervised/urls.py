"""Pages of supervised training."""

from django.urls import path

from annotate.supervised import launch_views, set_views

urlpatterns = [
    path("models/sft/", launch_views.launch, name="sft"),
    path("models/sets/<int:set_id>/", set_views.training_set, name="training_set"),
    path("models/sets/read/", set_views.read_folder, name="read_training_set"),
]
