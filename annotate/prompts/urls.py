"""Pages of prompts."""

from django.urls import path

from annotate.prompts import run_views, views

urlpatterns = [
    path("people/prompts/", run_views.prompt_runs, name="prompt_runs"),
    path("instances/<int:instance_id>/prompt/", views.prompt, name="prompt"),
    path("people/prompts/tokens/", views.prompt_tokens, name="prompt_tokens"),
]
