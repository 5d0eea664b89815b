"""The page of a job."""

from django.urls import path

from annotate.background import views

urlpatterns = [path("jobs/<int:job_id>/", views.job_detail, name="job")]
