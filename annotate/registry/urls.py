"""Pages of exports, and of the registry of models."""

from django.urls import path

from annotate.evaluation import version_comparison_views as version_comparisons
from annotate.evaluation import views as evaluations
from annotate.exports import views as exports
from annotate.registry import views as versions

urlpatterns = [
    path("exports/<int:export_id>/", exports.export_detail, name="export"),
    path("exports/<int:export_id>/download/<str:form>/", exports.download, name="export_download"),
    path("models/", versions.version_list, name="versions"),
    path("models/compare/", version_comparisons.choose, name="version_comparisons"),
    path("models/compare/<int:comparison_id>/", version_comparisons.comparison, name="version_comparison"),
    path(
        "media/comparisons/<int:comparison_id>/<str:arm>/<int:instance_id>/<int:seed>",
        version_comparisons.clip,
        name="version_comparison_clip",
    ),
    path("models/<int:version_id>/", versions.version_detail, name="version"),
    *(
        path(f"models/<int:version_id>/{wish}/", versions.change, {"wish": wish}, name=f"version_{wish}")
        for wish in versions.CHANGES
    ),
    path("models/<int:version_id>/download/<str:form>/", versions.download, name="version_download"),
    path("models/<int:version_id>/card/", versions.card, name="version_card"),
    path("models/<int:version_id>/evaluate/", evaluations.start, name="version_evaluate"),
    path("models/<int:version_id>/next-round/", versions.next_round, name="version_next_round"),
]
