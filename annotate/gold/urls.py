"""Pages of gold and of qualification."""

from django.urls import path

from annotate.gold import views

urlpatterns = [
    path("qualification/<track:track>/", views.qualification, name="qualification"),
    path("rounds/<int:round_id>/gold/", views.gold, name="gold"),
    path("gold/<int:gold_id>/retire/", views.gold_retire, name="gold_retire"),
]
