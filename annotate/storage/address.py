"""What STORAGE_URL says: a folder (`file:///srv/anyid`), or a bucket (`s3://bucket/prefix?region=...`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

#: How long a bucket's server may say nothing, unless the address says otherwise.
TIMEOUT_S = 60
#: What may follow the ? of a bucket's address.
_OPTIONS = ("endpoint", "region", "style", "timeout")
_STYLES = ("path", "host")
_CREDENTIALS = ("key", "secret", "token", "password")


@dataclass(frozen=True)
class FolderAddress:
    """A folder of this machine, or one that several machines mount."""

    folder: Path
    #: Browsers cannot be sent to it.
    origin: str = field(default="", init=False)

    def __str__(self) -> str:
        return self.folder.as_uri()


@dataclass(frozen=True, kw_only=True)
class BucketAddress:
    """A bucket, or what lies under `prefix` in it; `endpoint` is empty for Amazon's own servers."""

    bucket: str
    prefix: str = ""
    endpoint: str = ""
    region: str = "us-east-1"
    #: Whether the bucket is named in the path (path) or in the host name (host).
    style: str = "host"
    timeout_s: int = TIMEOUT_S

    def __str__(self) -> str:
        return f"s3://{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")

    @property
    def origin(self) -> str:
        """Scheme and host that the addresses of its objects begin with."""
        url = urlsplit(self.endpoint or f"https://s3.{self.region}.amazonaws.com")
        host = url.netloc if self.style == "path" else f"{self.bucket}.{url.netloc}"
        return f"{url.scheme}://{host}"


Address = FolderAddress | BucketAddress


def read_address(text: str) -> Address:
    """The address that a text names.

    Raises:
        ValueError: it names none; the message says how to write one, and repeats no secret.
    """
    try:
        url = urlsplit(text)
        has_secret = url.username is not None or url.password is not None
    except ValueError as error:
        raise ValueError(f"it cannot be read ({error}); write it like file:///srv/anyid") from None
    if has_secret:
        raise ValueError(
            "it holds credentials, which do not belong in an address; "
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and leave out what stands before the @"
        )
    if url.scheme == "file" and url.netloc in ("", "localhost") and url.path.startswith("/"):
        return FolderAddress(Path(unquote(url.path)))
    if url.scheme == "s3" and url.netloc:
        return _bucket(url.netloc, unquote(url.path).strip("/"), url.query)
    raise ValueError("write it like file:///srv/anyid, or like s3://bucket/prefix?region=eu-central-1")


def _bucket(bucket: str, prefix: str, query: str) -> BucketAddress:
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name in options:
        if any(word in name.lower() for word in _CREDENTIALS):
            raise ValueError(
                f"{name} does not belong in an address; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        if name not in _OPTIONS:
            raise ValueError(f"{name!r} is not known after the ?; use {', '.join(_OPTIONS)}")
    endpoint = options.pop("endpoint", "").rstrip("/")
    if endpoint and urlsplit(endpoint).scheme not in ("http", "https"):
        raise ValueError(f"endpoint={endpoint!r} is no web address; write it like https://s3.example.org")
    # Servers other than Amazon's seldom have a host name for every bucket.
    style = options.pop("style", "path" if endpoint else "host")
    if style not in _STYLES:
        raise ValueError(f"style={style!r} is not known; use {' or '.join(_STYLES)}")
    timeout = options.pop("timeout", str(TIMEOUT_S))
    if not (timeout.isascii() and timeout.isdigit() and 1 <= int(timeout) <= 3600):
        raise ValueError(f"timeout={timeout!r} is not a number of seconds from 1 to 3600; for example 60")
    region = options.pop("region", "us-east-1")
    return BucketAddress(
        bucket=bucket, prefix=prefix, endpoint=endpoint, region=region, style=style, timeout_s=int(timeout)
    )
