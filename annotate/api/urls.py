from django.urls import path, register_converter
from drf_spectacular.views import SpectacularAPIView
from rest_framework.authtoken.views import obtain_auth_token

from annotate.api import views
from rlhf.records import Track


class TrackConverter:
    regex = "|".join(Track)

    def to_python(self, value: str) -> Track:
        return Track(value)

    def to_url(self, value: Track) -> str:
        return str(value)


register_converter(TrackConverter, "track")

urlpatterns = [
    path("schema/", SpectacularAPIView.as_view(), name="api_schema"),
    path("token/", obtain_auth_token, name="api_token"),
    path("tracks/<track:track>/lease/", views.LeaseView.as_view(), name="api_lease"),
    path("leases/<uuid:lease>/", views.HeldLeaseView.as_view(), name="api_held_lease"),
    path("leases/<uuid:lease>/judgment/", views.JudgmentView.as_view(), name="api_judgment"),
    path("rounds/", views.RoundListView.as_view(), name="api_rounds"),
    path("rounds/<int:pk>/", views.RoundView.as_view(), name="api_round"),
    path("rounds/<int:pk>/advance/", views.AdvanceView.as_view(), name="api_advance"),
    path("exports/", views.ExportListView.as_view(), name="api_exports"),
]
