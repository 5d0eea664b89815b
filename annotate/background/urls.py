"""Pages of jobs."""

from django.urls import path

from annotate.background import views

urlpatterns = [
    path("jobs/", views.job_list, name="jobs"),
    path("jobs/<int:job_id>/", views.job_detail, name="job"),
    path("jobs/<int:job_id>/cancel/", views.cancel, name="job_cancel"),
]
