"""What the API answers where a request cannot be done."""

from __future__ import annotations

from rest_framework import status
from rest_framework.exceptions import APIException


class Conflict(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


class Unfit(APIException):
    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_code = "unfit"
