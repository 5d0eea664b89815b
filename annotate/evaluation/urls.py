"""Pages of evaluations and comparisons."""

from django.urls import path

from annotate.evaluation import comparison_views, version_comparison_views, views

urlpatterns = [
    path("runs/<int:run_id>/report/", views.report, name="run_report"),
    path("runs/<int:run_id>/sheet.jpg", views.sheet, name="run_sheet"),
    path("runs/<int:run_id>/compare/", comparison_views.start, name="comparison_start"),
    path("models/compare/", version_comparison_views.choose, name="version_comparisons"),
    path(
        "models/compare/<int:comparison_id>/", version_comparison_views.comparison, name="version_comparison"
    ),
    path(
        "media/comparisons/<int:comparison_id>/<str:system>/<int:instance_id>/<int:seed>",
        version_comparison_views.clip,
        name="version_comparison_clip",
    ),
    path("models/<int:version_id>/evaluate/", views.start, name="version_evaluate"),
]
