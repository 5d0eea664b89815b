"""Pages of pairs and votes."""

from django.urls import path

from annotate.review import views

urlpatterns = [
    path("rounds/<int:round_id>/pairs/", views.pair_list, name="round_pairs"),
    path("rounds/<int:round_id>/votes/", views.votes_of_round, name="round_votes"),
    path("rounds/<int:round_id>/notes/", views.notes, name="round_notes"),
    path("annotators/<int:user_id>/votes/", views.votes_of_annotator, name="annotator_votes"),
    path("pairs/<int:pair_id>/", views.pair_detail, name="pair"),
]
