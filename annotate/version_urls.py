"""Pages of exports, and of the registry of models."""

from django.urls import path

from annotate.views import exports, versions

urlpatterns = [
    path("exports/<int:export_id>/", exports.export_detail, name="export"),
    path("exports/<int:export_id>/download/<str:form>/", exports.download, name="export_download"),
    path("models/", versions.version_list, name="versions"),
    path("models/<int:version_id>/", versions.version_detail, name="version"),
    *(
        path(f"models/<int:version_id>/{wish}/", versions.change, {"wish": wish}, name=f"version_{wish}")
        for wish in versions.CHANGES
    ),
    path("models/<int:version_id>/download/<str:form>/", versions.download, name="version_download"),
    path("models/<int:version_id>/card/", versions.card, name="version_card"),
    path("models/<int:version_id>/next-round/", versions.next_round, name="version_next_round"),
]
