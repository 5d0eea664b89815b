"""Pages of the programmatic doors."""

from django.urls import path

from annotate.views import downloads, tokens, webhooks

urlpatterns = [
    path("account/token/", tokens.token, name="token"),
    path("account/token/revoke/", tokens.revoke, name="token_revoke"),
    path("judgments/", downloads.judgment_files, name="judgment_files"),
    path("judgments/<int:file_id>/cancel/", downloads.cancel, name="judgment_file_cancel"),
    path("judgments/<int:file_id>/content/", downloads.content, name="judgment_file_content"),
    path("webhooks/", webhooks.endpoints, name="webhooks"),
    path("webhooks/<int:endpoint_id>/", webhooks.endpoint, name="webhook"),
    path("webhooks/<int:endpoint_id>/end/", webhooks.end, name="webhook_end"),
    path("webhooks/messages/<int:message_id>/resend/", webhooks.resend, name="webhook_resend"),
]
