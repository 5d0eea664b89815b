"""Pages of the programmatic doors."""

from django.urls import path

from annotate.accounts import token_views as tokens
from annotate.exports import download_views as downloads
from annotate.integrations import views as webhooks
from annotate.studies import entry_link_views as entry_links
from annotate.studies import entry_views as entries

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
    path("enter/<slug:token>/", entries.enter, name="entry"),
    path("enter/<slug:token>/finish/", entries.finish, name="entry_finish"),
    path("enter/<slug:token>/decline/", entries.decline, name="entry_decline"),
    path("entry-links/", entry_links.entry_links, name="entry_links"),
    path("entry-links/<int:link_id>/", entry_links.entry_link, name="entry_link"),
    path("entry-links/<int:link_id>/end/", entry_links.end, name="entry_link_end"),
]
