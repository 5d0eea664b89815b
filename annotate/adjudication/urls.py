"""Pages of adjudication."""

from django.urls import path

from annotate.adjudication import views

urlpatterns = [
    path("rounds/<int:round_id>/adjudication/", views.queue, name="adjudication"),
    path("pairs/<int:pair_id>/adjudicate/", views.pair, name="adjudicate"),
]
