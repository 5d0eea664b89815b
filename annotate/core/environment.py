"""Typed readers of the environment. A wrong value ends the start in one line, never later."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from annotate.storage.address import Address, read_address


class SettingError(SystemExit):
    """A setting is wrong. As a SystemExit it prints its one line from any command, without a traceback."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One variable, as the settings table shows it."""

    name: str
    section: str
    type: str
    default: str
    #: The default depends on other settings, so that it stands there in words.
    is_computed: bool
    meaning: str


class Environment:
    """Reads named values from a mapping such as `os.environ`; an empty value counts as not set.

    Every reader takes the sentence that explains its variable and keeps it in `declared`, from which the
    settings table is made. A default that is computed is `shown` in words instead.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = values
        self.section = ""
        self.declared: list[Setting] = []

    def text(self, name: str, default: str, meaning: str, *, shown: str | None = None) -> str:
        self._declare(name, "text", default, meaning, shown)
        return self._value(name) or default

    def path(self, name: str, meaning: str) -> Path | None:
        self._declare(name, "path", "", meaning)
        return Path(self._value(name)) if self._value(name) else None

    def secret(self, name: str, meaning: str, *, shown: str) -> str:
        """The value of `NAME`, or the content of the file that `NAME_FILE` names."""
        self._declare(name, "text", "", meaning, shown)
        return self._value_or_file(name)

    def flag(self, name: str, meaning: str, *, default: bool = False) -> bool:
        self._declare(name, "0 or 1", str(int(default)), meaning)
        value = self._value(name) or str(int(default))
        if value.lower() in ("1", "true", "yes", "on"):
            return True
        if value.lower() in ("0", "false", "no", "off"):
            return False
        raise SettingError(f"{name}={value!r} is not a switch; use 1 or 0")

    def renamed(self, former: str, name: str) -> None:
        """Refuse the former name of a variable, which would be ignored without a word."""
        if self._value(former):
            raise SettingError(f"{former} is called {name} now; rename it")

    def integer(
        self, name: str, default: int, meaning: str, *, low: int, high: int, shown: str | None = None
    ) -> int:
        self._declare(name, f"whole number, {low} to {high}", str(default), meaning, shown)
        value = self._value(name) or str(default)
        if not value.isascii() or not value.isdigit() or not low <= int(value) <= high:
            raise SettingError(
                f"{name}={value!r} is not a whole number from {low} to {high}; for example {default}"
            )
        return int(value)

    def names(self, name: str, default: list[str], meaning: str, *, shown: str) -> list[str]:
        self._declare(name, "list separated by commas", "", meaning, shown)
        return self._parts(name) or default

    def numbers(
        self, name: str, defaults: Mapping[str, float], meaning: str, *, shown: str
    ) -> dict[str, Any]:
        """Named numbers separated by commas, such as a=1,b=2.5; each of its default's type."""
        self._declare(name, "name=number, separated by commas", "", meaning, shown)
        numbers = dict(defaults)
        for part in self._parts(name):
            key, _, value = (text.strip() for text in part.partition("="))
            if key not in defaults:
                raise SettingError(f"{name} names {key!r}, which is not one of {', '.join(defaults)}")
            try:
                numbers[key] = type(defaults[key])(value)
            except ValueError:
                raise SettingError(
                    f"{name} gives {key} as {value!r}; write it like {key}={defaults[key]:g}"
                ) from None
        return numbers

    def one_of(self, name: str, choices: tuple[str, ...], default: str, meaning: str) -> str:
        self._declare(name, "one of " + ", ".join(choices), default, meaning)
        value = self._value(name) or default
        if value not in choices:
            raise SettingError(f"{name}={value!r} is not known; use one of {', '.join(choices)}")
        return value

    def url(self, name: str, schemes: tuple[str, ...], example: str, meaning: str, *, shown: str) -> str:
        """An address, possibly secret, with one of `schemes`; empty when it is not set."""
        self._declare(name, f"address such as {example}", "", meaning, shown)
        value = self._value_or_file(name)
        if value and urlsplit(value).scheme not in schemes:
            raise SettingError(f"{name}={without_password(value)!r} cannot be used; write it like {example}")
        return value

    def _declare(self, name: str, kind: str, default: str, meaning: str, shown: str | None = None) -> None:
        self.declared.append(
            Setting(
                name=name,
                section=self.section,
                type=kind,
                default=default if shown is None else shown,
                is_computed=shown is not None,
                meaning=meaning,
            )
        )

    def _value(self, name: str) -> str:
        return self.values.get(name, "").strip()

    def _parts(self, name: str) -> list[str]:
        return [part.strip() for part in self._value(name).split(",") if part.strip()]

    def _value_or_file(self, name: str) -> str:
        path = self._value(f"{name}_FILE")
        if not path:
            return self._value(name)
        if self._value(name):
            raise SettingError(f"{name} and {name}_FILE are both set; keep one of them")
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SettingError(
                f"{name}_FILE={path!r} cannot be read ({error.strerror}); name a readable file"
            ) from None


def without_password(url: str) -> str:
    """An address that may be printed: whatever stands before its last @ is left out."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}***@{rest.rpartition('@')[2]}" if "@" in rest else url


def database_from_url(name: str, url: str) -> dict[str, Any]:
    """Django's description of the PostgreSQL database that `url` names.

    The query holds libpq parameters (`sslmode`, `host` for a socket's folder, ...), and four of ours for
    poolers, which win over the settings' own: `prepare_threshold` (a number of uses, or none),
    `server_side_binding`, `server_side_cursors` (true or false), and `conn_max_age` (seconds).
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise SettingError(f"{name}={without_password(url)!r} cannot be used: {error}") from None
    query: dict[str, str] = dict(parse_qsl(parts.query, keep_blank_values=True))
    ours = {key: _pooler_option(name, key, query.pop(key)) for key in _POOLER_OPTIONS if key in query}
    options: dict[str, Any] = dict(query)
    database = unquote(parts.path.removeprefix("/"))
    if not database or "/" in database:
        raise SettingError(f"{name}={without_password(url)!r} names no database; end it with /NAME")
    return {
        "ENGINE": "annotate.database",
        "NAME": database,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", unquote(host)),
        "PORT": str(port or options.pop("port", "")),
        **({"CONN_MAX_AGE": ours["conn_max_age"]} if "conn_max_age" in ours else {}),
        "DISABLE_SERVER_SIDE_CURSORS": not ours.get("server_side_cursors", True),
        "OPTIONS": options
        | {key: ours[key] for key in ("prepare_threshold", "server_side_binding") if key in ours},
    }


def _whole(text: str) -> int | None:
    if text == "none":
        return None
    if not re.fullmatch(r"[0-9]{1,6}", text):
        raise ValueError(text)
    return int(text)


_SWITCHES = {"true": True, "1": True, "false": False, "0": False}
#: What an option of DATABASE_URL may be, and how it is read.
_POOLER_OPTIONS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "prepare_threshold": ("none, or a number such as 2", _whole),
    "conn_max_age": ("a number of seconds such as 60, or none", _whole),
    "server_side_binding": ("true or false", _SWITCHES.__getitem__),
    "server_side_cursors": ("true or false", _SWITCHES.__getitem__),
}


def _pooler_option(name: str, key: str, value: str) -> Any:
    says, read = _POOLER_OPTIONS[key]
    try:
        return read(value.lower())
    except (KeyError, ValueError):
        raise SettingError(f"{name} says {key}={value!r}, which cannot be used; write {says}") from None


def cache_from_broker(url: str) -> str:
    """The same Redis in the words of Django's cache: redis-py spells a socket `unix://`, Celery `redis+socket://`."""
    parts = urlsplit(url)
    if parts.scheme == "redis+socket":
        return f"unix://{parts.path}?db=0"
    return url


def broker_tls(url: str) -> dict[str, Any] | None:
    """What Celery needs to check a broker's certificate and name, which it does not do by itself.

    `ssl_ca_certs` in the query names the file of an authority that the system does not know.
    """
    parts = urlsplit(url)
    authority = dict(parse_qsl(parts.query)).get("ssl_ca_certs")
    if parts.scheme == "rediss":
        checks = {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True}
        return checks | ({"ssl_ca_certs": authority} if authority else {})
    if parts.scheme == "amqps":
        named = {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": parts.hostname}
        return named | ({"ca_certs": authority} if authority else {})
    return None


def storage_from_url(name: str, url: str) -> Address:
    """The folder or the bucket that an address names."""
    try:
        return read_address(url)
    except ValueError as error:
        shown = without_password(url).partition("?")[0]
        raise SettingError(f"{name}={shown!r} cannot be used: {error}") from None
