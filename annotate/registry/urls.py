"""Pages of model versions."""

from django.urls import path

from annotate.registry import registration_views, views

urlpatterns = [
    path("models/", views.version_list, name="versions"),
    path("models/register/", registration_views.register_model, name="register_model"),
    path("models/<int:version_id>/mix/", registration_views.mix, name="version_mix"),
    path("models/<int:version_id>/", views.version_detail, name="version"),
    *(
        path(f"models/<int:version_id>/{action}/", views.change, {"action": action}, name=f"version_{action}")
        for action in views.CHANGES
    ),
    path("models/<int:version_id>/download/<str:form>/", views.download, name="version_download"),
    path("models/<int:version_id>/card/", views.card, name="version_card"),
    path("models/<int:version_id>/next-round/", views.next_round, name="version_next_round"),
]
