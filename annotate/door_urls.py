"""Pages of the programmatic doors."""

from django.urls import path

from annotate.views import tokens

urlpatterns = [
    path("account/token/", tokens.token, name="token"),
    path("account/token/revoke/", tokens.revoke, name="token_revoke"),
]
