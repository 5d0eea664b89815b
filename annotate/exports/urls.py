"""Pages of exports and of files of judgments."""

from django.urls import path

from annotate.exports import download_views, views

urlpatterns = [
    path("exports/<int:export_id>/", views.export_detail, name="export"),
    path("exports/<int:export_id>/download/<str:form>/", views.download, name="export_download"),
    path("judgments/", download_views.judgment_files, name="judgment_files"),
    path("judgments/<int:file_id>/cancel/", download_views.cancel, name="judgment_file_cancel"),
    path("judgments/<int:file_id>/content/", download_views.content, name="judgment_file_content"),
]
