"""Pages of people and their references."""

from django.urls import path

from annotate.people import threshold_views, views
from annotate.people.views import reference_media

urlpatterns = [
    path("people/", views.people_list, name="people"),
    path("people/thresholds/", threshold_views.thresholds, name="thresholds"),
    path("people/<int:group_id>/", views.person, name="person"),
    path("people/<int:group_id>/describe/", views.describe, name="person_describe"),
    path("people/<int:group_id>/primary/", views.choose_primary, name="person_primary"),
    path("people/<int:group_id>/curate/", views.curate, name="person_curate"),
    path("references/<int:reference_id>/decide/", views.decide, name="reference_decide"),
    path("references/<int:reference_id>/annotation/", views.annotation, name="reference_annotation"),
    path("media/references/<int:reference_id>/<str:part>", reference_media, name="reference_media"),
]
