"""STORAGE_URL: what is understood, and that no secret is taken from it or shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from annotate.core.environment import SettingError, storage_from_url
from annotate.storage.address import BucketAddress, FolderAddress, read_address


def test_it_reads_folders_and_buckets() -> None:
    assert read_address("file:///srv/a%20b") == FolderAddress(Path("/srv/a b"))
    bare = read_address("s3://clips")
    assert bare == BucketAddress(bucket="clips") and str(bare) == "s3://clips"
    assert bare.origin == "https://clips.s3.us-east-1.amazonaws.com"
    own = read_address("s3://clips/lab/one?endpoint=https%3A%2F%2Fs3.lab.org&region=eu-central-1&timeout=5")
    assert own == BucketAddress(
        bucket="clips",
        prefix="lab/one",
        endpoint="https://s3.lab.org",
        region="eu-central-1",
        style="path",
        timeout_s=5,
    )
    assert (str(own), own.origin) == ("s3://clips/lab/one", "https://s3.lab.org")


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("file://host/srv", "write it like file:///srv/anyid"),
        ("s3:///prefix", "write it like"),
        ("http://host/bucket", "s3://bucket/prefix"),
        ("", "write it like"),
        ("s3://bucket?style=virtual", "use path or host"),
        ("s3://bucket?endpoint=s3.lab.org", "write it like https://"),
        ("s3://bucket?regoin=eu", "use endpoint, region, style, timeout"),
        ("s3://bucket?timeout=soon", "for example 60"),
        ("s3://key:hunter2@bucket/prefix", "AWS_SECRET_ACCESS_KEY"),
        ("s3://bucket?secret_access_key=hunter2", "AWS_SECRET_ACCESS_KEY"),
        ("s3://[::1?secret=hunter2", "write it like"),
    ],
)
def test_a_wrong_address_is_refused_in_one_line_without_its_secret(text: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=".") as found:
        read_address(text)
    with pytest.raises(SettingError) as refused:
        storage_from_url("STORAGE_URL", text)
    for said in (str(found.value), str(refused.value)):
        assert remedy in said and "\n" not in said and "hunter2" not in said
