"""Pages of webhooks."""

from django.urls import path

from annotate.integrations import views

urlpatterns = [
    path("webhooks/", views.endpoints, name="webhooks"),
    path("webhooks/<int:endpoint_id>/", views.endpoint, name="webhook"),
    path("webhooks/<int:endpoint_id>/end/", views.end, name="webhook_end"),
    path("webhooks/messages/<int:message_id>/resend/", views.resend, name="webhook_resend"),
]
