"""Pages of the numbers for leads."""

from django.urls import path

from annotate.gold import views as gold
from annotate.loop import dashboard_views as dashboard
from annotate.quality import annotator_views as annotators
from annotate.quality import planner_views as planner

urlpatterns = [
    path("rounds/<int:round_id>/gold/", gold.gold, name="gold"),
    path("gold/<int:gold_id>/retire/", gold.gold_retire, name="gold_retire"),
    path("rounds/<int:round_id>/numbers/", dashboard.dashboard, name="dashboard"),
    path("rounds/<int:round_id>/numbers/compute/", dashboard.compute, name="dashboard_compute"),
    path("rounds/<int:round_id>/plan/", planner.planner, name="planner"),
    path("account/numbers/", annotators.own_numbers, name="own_numbers"),
    path("annotators/", annotators.annotators, name="annotators"),
    path("annotators/<int:user_id>/", annotators.annotator, name="annotator"),
    path("annotators/<int:user_id>/disqualify/", annotators.disqualify, name="annotator_disqualify"),
    path(
        "annotators/<int:user_id>/exports/<int:export_id>/rebuild/",
        annotators.rebuild,
        name="export_rebuild",
    ),
    path("flags/<int:flag_id>/review/", annotators.review, name="flag_review"),
]
