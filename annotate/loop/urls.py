"""Pages that show the whole loop."""

from django.urls import path

from annotate.loop import dashboard_views, home_views, state_views, views

urlpatterns = [
    path("", home_views.home, name="home"),
    path("rounds/", views.round_list, name="rounds"),
    path("rounds/<int:round_id>/", views.round_detail, name="round"),
    path("rounds/<int:round_id>/advance/", views.advance, name="round_advance"),
    path("rounds/<int:round_id>/state/", state_views.round_state, name="round_state"),
    path("rounds/<int:round_id>/priority/", state_views.round_priority, name="round_priority"),
    path("rounds/<int:round_id>/choosing/", views.choosing, name="round_choosing"),
    path("rounds/<int:round_id>/numbers/", dashboard_views.dashboard, name="dashboard"),
    path("rounds/<int:round_id>/numbers/compute/", dashboard_views.compute, name="dashboard_compute"),
]
