"""Pages of accounts and tokens."""

from django.urls import path

from annotate.accounts import views

urlpatterns = [
    path("accounts/", views.accounts, name="accounts"),
    path("accounts/<int:user_id>/password/", views.password, name="account_password"),
    path("account/token/", views.token, name="token"),
    path("account/token/revoke/", views.revoke, name="token_revoke"),
]
