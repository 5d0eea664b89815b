"""Messages between the site and its workers are signed, each as what it is."""

from __future__ import annotations

import logging

import pytest

from annotate.fleet.messages import ForgedMessage, Kind, Report, ShardMessage, Stop, seal, unseal
from annotate.jobs import tasks

KEY = "k" * 32
REPORT = Report(kind=Kind.MADE, worker="gpu-0@here", shard=7, ticket="t", claim="c", item="12")


def test_what_is_sealed_is_read_again():
    message = ShardMessage(
        shard=1, number=2, ticket="t", folder="runs/x", start=0, stop=4, parts="p", software="1"
    )
    for one in (message, REPORT, Stop(claim="c", ticket="t")):
        assert unseal(KEY, seal(KEY, one), type(one)) == one


@pytest.mark.parametrize(
    "forged",
    [
        seal("o" * 32, REPORT),
        seal(KEY, REPORT).replace('"shard": 7', '"shard": 8'),
        seal(KEY, REPORT).partition(" ")[2],
        seal(KEY, Stop(claim="c", ticket="t")),
        "",
        None,
        7,
        ["a"],
        {"sealed": "x"},
        "é " + seal(KEY, REPORT),
    ],
)
def test_what_is_altered_unsigned_or_another_message_is_refused(forged):
    with pytest.raises(ForgedMessage) as refused:
        unseal(KEY, forged, Report)
    assert "refused a" in str(refused.value) and "\n" not in str(refused.value)


def test_the_site_refuses_it_in_one_line(caplog):
    with caplog.at_level(logging.WARNING):
        tasks.take_report(seal("o" * 32, REPORT))
    (line,) = [record.getMessage() for record in caplog.records]
    assert "signature is wrong" in line and "FLEET_KEY" in line
