"""All routes, in the order of the loop."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path

from annotate.accounts import views as accounts
from annotate.adjudication import views as adjudication
from annotate.core import health
from annotate.evaluation import comparison_views as comparisons
from annotate.evaluation import views as evaluations
from annotate.gold import views as gold
from annotate.judging import media_views as media
from annotate.judging import views as judge
from annotate.loop import home_views as home
from annotate.loop import state_views as round_states
from annotate.loop import views as rounds
from annotate.people import threshold_views as thresholds
from annotate.people import views as people
from annotate.prompts import run_views as prompt_runs
from annotate.prompts import views as prompts
from annotate.training import launch_views as launch
from annotate.training import run_views as runs

urlpatterns = [
    path("", home.home, name="home"),
    path("login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("people/", people.people_list, name="people"),
    path("people/thresholds/", thresholds.thresholds, name="thresholds"),
    path("people/prompts/", prompt_runs.prompt_runs, name="prompt_runs"),
    path("people/<int:group_id>/", people.person, name="person"),
    path("people/<int:group_id>/describe/", people.describe, name="person_describe"),
    path("people/<int:group_id>/primary/", people.choose_primary, name="person_primary"),
    path("people/<int:group_id>/curate/", people.curate, name="person_curate"),
    path("references/<int:reference_id>/decide/", people.decide, name="reference_decide"),
    path("references/<int:reference_id>/annotation/", people.annotation, name="reference_annotation"),
    path("instances/<int:instance_id>/prompt/", prompts.prompt, name="prompt"),
    path("people/prompts/tokens/", prompts.prompt_tokens, name="prompt_tokens"),
    path("accounts/", accounts.accounts, name="accounts"),
    path("accounts/<int:user_id>/password/", accounts.password, name="account_password"),
    # First, since the track converter is registered by the API's routes.
    path("api/", include("annotate.api.urls")),
    path("", include("annotate.integrations.urls")),
    path("", include("annotate.quality.urls")),
    path("", include("annotate.registry.urls")),
    path("", include("annotate.studies.urls")),
    path("judge/<track:track>/", judge.judge, name="judge"),
    path("qualification/<track:track>/", gold.qualification, name="qualification"),
    path("rounds/", rounds.round_list, name="rounds"),
    path("rounds/<int:round_id>/", rounds.round_detail, name="round"),
    path("rounds/<int:round_id>/advance/", rounds.advance, name="round_advance"),
    path("rounds/<int:round_id>/state/", round_states.round_state, name="round_state"),
    path("rounds/<int:round_id>/choosing/", rounds.choosing, name="round_choosing"),
    path("rounds/<int:round_id>/launch/", launch.launch, name="launch"),
    path("runs/<int:run_id>/", runs.run_detail, name="run"),
    path("runs/<int:run_id>/approve/", runs.approve, name="run_approve"),
    path("runs/<int:run_id>/report/", evaluations.report, name="run_report"),
    path("runs/<int:run_id>/compare/", comparisons.start, name="comparison_start"),
    path("rounds/<int:round_id>/adjudication/", adjudication.queue, name="adjudication"),
    path("pairs/<int:pair_id>/adjudicate/", adjudication.pair, name="adjudicate"),
    path("runs/<int:run_id>/cancel/", runs.cancel, name="run_cancel"),
    path("runs/<int:run_id>/retry/", runs.retry, name="run_retry"),
    path("media/<uuid:lease>/<str:name>", media.leased_media, name="leased_media"),
    path("media/runs/<int:run_id>/<int:step>/<int:pair_id>", media.run_clip_media, name="run_clip"),
    path("media/samples/<int:sample_id>", media.sample_media, name="sample_media"),
    path("media/references/<int:reference_id>/<str:part>", media.reference_media, name="reference_media"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", health.metrics, name="metrics"),
    path("admin/", admin.site.urls),
]
