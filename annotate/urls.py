"""All routes, room by room along the loop."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path, register_converter

from annotate.core.converters import TrackConverter

register_converter(TrackConverter, "track")

urlpatterns = [
    # Programs ask most, and addresses are tried in this order.
    path("api/", include("annotate.api.urls")),
    path("login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("", include("annotate.core.urls")),
    path("", include("annotate.accounts.urls")),
    path("", include("annotate.background.urls")),
    path("", include("annotate.people.urls")),
    path("", include("annotate.prompts.urls")),
    path("", include("annotate.gold.urls")),
    path("", include("annotate.judging.urls")),
    path("", include("annotate.adjudication.urls")),
    path("", include("annotate.rounds.urls")),
    path("", include("annotate.exports.urls")),
    path("", include("annotate.training.urls")),
    path("", include("annotate.registry.urls")),
    path("", include("annotate.supervised.urls")),
    path("", include("annotate.evaluation.urls")),
    path("", include("annotate.quality.urls")),
    path("", include("annotate.review.urls")),
    path("", include("annotate.studies.urls")),
    path("", include("annotate.integrations.urls")),
    path("", include("annotate.loop.urls")),
    path("admin/", admin.site.urls),
]
