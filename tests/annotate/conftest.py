"""Personas: Ana and Ben annotate, Lea leads, and everybody else is a stranger."""

from __future__ import annotations

import pytest
from django.test import Client
from rest_framework.test import APIClient

from annotate.models import User
from tests.factories import make_user


@pytest.fixture
def ana(db: None) -> User:
    return make_user("ana")


@pytest.fixture
def ben(db: None) -> User:
    return make_user("ben")


@pytest.fixture
def lea(db: None) -> User:
    return make_user("lea", role=User.Role.LEAD)


def browser_of(user: User | None) -> Client:
    client = Client()
    if user is not None:
        client.force_login(user)
    return client


def machine_of(user: User | None) -> APIClient:
    client = APIClient()
    if user is not None:
        client.force_authenticate(user)
    return client
