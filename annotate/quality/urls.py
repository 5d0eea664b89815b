"""Pages of vote statistics."""

from django.urls import path

from annotate.quality import views

urlpatterns = [
    path("rounds/<int:round_id>/plan/", views.planner, name="planner"),
    path("account/numbers/", views.own_numbers, name="own_numbers"),
    path("annotators/", views.annotators, name="annotators"),
    path("annotators/<int:user_id>/", views.annotator, name="annotator"),
    path("annotators/<int:user_id>/disqualify/", views.disqualify, name="annotator_disqualify"),
    path(
        "annotators/<int:user_id>/exports/<int:export_id>/rebuild/",
        views.rebuild,
        name="export_rebuild",
    ),
    path("flags/<int:flag_id>/review/", views.review, name="flag_review"),
]
