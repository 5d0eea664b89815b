"""Pages of vote statistics."""

from django.urls import path

from annotate.quality import annotator_views, planner_views

urlpatterns = [
    path("rounds/<int:round_id>/plan/", planner_views.planner, name="planner"),
    path("account/numbers/", annotator_views.own_numbers, name="own_numbers"),
    path("annotators/", annotator_views.annotators, name="annotators"),
    path("annotators/<int:user_id>/", annotator_views.annotator, name="annotator"),
    path("annotators/<int:user_id>/disqualify/", annotator_views.disqualify, name="annotator_disqualify"),
    path(
        "annotators/<int:user_id>/exports/<int:export_id>/rebuild/",
        annotator_views.rebuild,
        name="export_rebuild",
    ),
    path("flags/<int:flag_id>/review/", annotator_views.review, name="flag_review"),
]
