"""How a person is struck out of records, and who stays."""

from __future__ import annotations

import json

import pytest
from django.db import connection

from annotate.privacy.traces import STRUCK, Traces, strike_out
from annotate.storage.address import FolderAddress

HER = Traces(
    texts=("references/0a1b", "c0ffee"),
    identities=("person-7", "tests/zephyrine"),
    instances=("12", "3"),
    samples=("40",),
)
HERS = [
    {"instance_id": "12", "why": "dark"},
    {"sample_id": "40"},
    {"sample_id": "3-0", "system": "baseline"},
    {"identity": "person-7"},
    {"identity": "tests/zephyrine"},
    {"references": [{"path": "../../../references/0a1b/media.png"}]},
    {"deep": {"deeper": ["c0ffee"]}},
]
OTHERS = [
    {"instance_id": "121"},
    {"sample_id": "400"},
    {"sample_id": "4"},
    {"sample_id": "13-0"},
    {"sample_id": "4-12"},
    {"identity": "person-71"},
    {"seed": 12, "step": 40},
    {"references": [{"path": "../../../references/0a1c/media.png"}]},
]


@pytest.mark.parametrize("record", HERS, ids=str)
def test_a_record_of_hers_goes(record):
    assert HER.strike({"records": [OTHERS[0], record], "total": 2}) == {"records": [OTHERS[0]], "total": 2}
    assert HER.names(record)


@pytest.mark.parametrize("record", OTHERS, ids=str)
def test_a_record_of_somebody_else_stays(record):
    assert HER.strike({"records": [record]}) == {"records": [record]}
    assert not HER.names(record)


def test_nobody_is_struck_out_of_anything():
    assert Traces().strike({"records": HERS}) == {"records": HERS}
    assert Traces().strike_text("whoever") == "whoever"


@pytest.mark.django_db
@pytest.mark.parametrize("record", [*HERS, *OTHERS], ids=str)
def test_the_database_finds_the_same_records(record):
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::jsonb::text ~ %s", [json.dumps(record), HER.regex])
        assert cursor.fetchone()[0] is HER.names(record)
        cursor.execute("SELECT %s::jsonb::text ~ %s", [json.dumps(record), Traces().regex])
        assert cursor.fetchone()[0] is False


def test_files_are_struck_in_their_own_form(tmp_path, settings):
    settings.STORAGE = FolderAddress(tmp_path)
    request, log, binary = (tmp_path / name for name in ("request.json", "log.txt", "x.txt"))
    request.write_text(json.dumps({"samples": [HERS[2], OTHERS[1]], "reference": "references/0a1b/x.png"}))
    log.write_text("begin\nreferences/0a1b/x.png is torn\nend\n")
    binary.write_bytes(b"\xff nobody")
    for path in (request, log, binary, tmp_path / "missing.json"):
        strike_out(path.name, HER)
        strike_out(path.name, HER)
    assert json.loads(request.read_text()) == {"samples": [OTHERS[1]]}
    assert log.read_text() == f"begin\n{STRUCK}\nend\n"
    assert binary.read_bytes() == b"\xff nobody"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.txt", "request.json", "x.txt"]
