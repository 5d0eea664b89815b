"""Pages of user studies and entry links: a participant's, and a lead's."""

from django.urls import path

from annotate.studies import participant_views, views

urlpatterns = [
    path("study/<int:study_id>/", participant_views.StudyPage.as_view(), name="study_page"),
    path("media/study/<uuid:lease>/<str:name>", participant_views.study_media, name="study_media"),
    path("studies/", views.study_list, name="studies"),
    path("studies/from/<int:run_id>/", views.make, name="study_make"),
    path("studies/<int:study_id>/", views.study, name="study"),
    path("studies/<int:study_id>/store/", views.store, name="study_store"),
    path("studies/<int:study_id>/seat/", views.seat, name="study_seat"),
    path("studies/<int:study_id>/figures.json", views.figures, name="study_figures"),
    path("studies/<int:study_id>/answers.csv", views.answers, name="study_answers"),
    path("enter/<slug:token>/", participant_views.enter, name="entry"),
    path("enter/<slug:token>/finish/", participant_views.finish, name="entry_finish"),
    path("enter/<slug:token>/decline/", participant_views.decline, name="entry_decline"),
    path("entry-links/", views.entry_links, name="entry_links"),
    path("entry-links/<int:link_id>/", views.entry_link, name="entry_link"),
    path("entry-links/<int:link_id>/end/", views.end, name="entry_link_end"),
]
