from django.urls import path, re_path

from annotate.api import jobs, judging, loop, rounds, versions

urlpatterns = [
    path("schema/", judging.SchemaView.as_view(), name="api_schema"),
    path("token/", judging.TokenView.as_view(), name="api_token"),
    path("tracks/<track:track>/lease/", judging.LeaseView.as_view(), name="api_lease"),
    path("tracks/<track:track>/last/", judging.LastAnswerView.as_view(), name="api_last_answer"),
    path("leases/<uuid:lease>/", judging.HeldLeaseView.as_view(), name="api_held_lease"),
    path("leases/<uuid:lease>/judgment/", judging.JudgmentView.as_view(), name="api_judgment"),
    path("rounds/", rounds.RoundListView.as_view(), name="api_rounds"),
    path("rounds/<int:pk>/", rounds.RoundView.as_view(), name="api_round"),
    path("rounds/<int:pk>/advance/", loop.AdvanceView.as_view(), name="api_advance"),
    path("rounds/<int:pk>/state/", loop.RoundStateView.as_view(), name="api_round_state"),
    path("rounds/<int:pk>/evaluate/", loop.RoundEvaluationView.as_view(), name="api_round_evaluate"),
    path("models/", versions.ModelListView.as_view(), name="api_models"),
    path("models/<int:pk>/sft/", versions.SFTView.as_view(), name="api_model_sft"),
    path("runs/<int:pk>/", versions.RunView.as_view(), name="api_run"),
    path("models/<int:pk>/evaluate/", loop.ModelEvaluationView.as_view(), name="api_model_evaluate"),
    path("rounds/<int:pk>/choosing/", rounds.ChoosingView.as_view(), name="api_choosing"),
    path("jobs/", jobs.JobListView.as_view(), name="api_jobs"),
    path("jobs/<int:pk>/", jobs.JobView.as_view(), name="api_job"),
    path("exports/", rounds.ExportListView.as_view(), name="api_exports"),
    path("exports/<int:pk>/<str:form>/", rounds.ExportContentView.as_view(), name="api_export_content"),
    path("judgment-files/", rounds.JudgmentFileListView.as_view(), name="api_judgment_files"),
    path("judgment-files/<int:pk>/", rounds.JudgmentFileView.as_view(), name="api_judgment_file"),
    path(
        "judgment-files/<int:pk>/content/",
        rounds.JudgmentFileContentView.as_view(),
        name="api_judgment_file_content",
    ),
    re_path(r"^[\s\S]*$", judging.NowhereView.as_view()),
]
