"""Pages of user studies: a participant's room, and what leads see."""

from django.urls import path

from annotate.judging import media_views as media
from annotate.studies import participant_views as study_room
from annotate.studies import views as studies

urlpatterns = [
    path("study/<int:study_id>/", study_room.study_room, name="study_room"),
    path("media/study/<uuid:lease>/<str:name>", media.study_media, name="study_media"),
    path("studies/", studies.study_list, name="studies"),
    path("studies/from/<int:run_id>/", studies.make, name="study_make"),
    path("studies/<int:study_id>/", studies.study, name="study"),
    path("studies/<int:study_id>/store/", studies.store, name="study_store"),
    path("studies/<int:study_id>/seat/", studies.seat, name="study_seat"),
    path("studies/<int:study_id>/figures.json", studies.figures, name="study_figures"),
    path("studies/<int:study_id>/answers.csv", studies.answers, name="study_answers"),
]
