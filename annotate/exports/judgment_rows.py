"""Judgments as rows of a file, and the two formats of it. `docs/judgments_export.md` says what they mean."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from django.db.models import BooleanField, Exists, ExpressionWrapper, F, OuterRef, Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.utils.crypto import salted_hmac

from annotate.judging.queries import disqualified
from annotate.models import FileFormat, Judgment, JudgmentFile

#: Rows that are in memory at once.
CHUNK = 5_000
_TIME = pa.timestamp("us", tz="UTC")
#: Name, where its value comes from, its type. JSON columns are text here, and stay what the database wrote.
COLUMNS: tuple[tuple[str, Any, pa.DataType], ...] = (
    ("judgment_id", F("id"), pa.int64()),
    ("round_id", F("slot__round_id"), pa.int64()),
    ("pair_id", F("slot__pair_id"), pa.int64()),
    ("instance_id", F("slot__pair__instance_id"), pa.int64()),
    ("identity_id", F("slot__pair__instance__group_id"), pa.int64()),
    ("first_sample_id", F("slot__pair__first_id"), pa.int64()),
    ("second_sample_id", F("slot__pair__second_id"), pa.int64()),
    ("first_model_id", F("slot__pair__first__model_version_id"), pa.int64()),
    ("second_model_id", F("slot__pair__second__model_version_id"), pa.int64()),
    ("track", F("slot__track"), pa.string()),
    ("annotator", F("slot__annotator_id"), pa.string()),
    ("is_simulated", F("is_simulated"), pa.bool_()),
    ("is_disqualified", disqualified("slot__annotator"), pa.bool_()),
    ("is_gold", ExpressionWrapper(Q(slot__pair__gold__isnull=False), BooleanField()), pa.bool_()),
    ("revision", F("revision"), pa.int32()),
    (
        "is_latest",
        ~Exists(Judgment.objects.filter(slot=OuterRef("slot"), revision__gt=OuterRef("revision"))),
        pa.bool_(),
    ),
    ("verdict", F("verdict"), pa.string()),
    ("strength", F("strength"), pa.string()),
    ("first_side", F("slot__first_side"), pa.string()),
    ("leased_at", F("slot__leased_at"), _TIME),
    ("judged_at", F("created_at"), _TIME),
    ("note", F("note"), pa.string()),
    ("reasons", Cast("reasons", TextField()), pa.string()),
    ("breaks", Cast("breaks", TextField()), pa.string()),
    ("evidence", Cast("evidence", TextField()), pa.string()),
)
NAMES = tuple(name for name, _, _ in COLUMNS)
_ANNOTATOR = NAMES.index("annotator")
_JSON = NAMES[-3:]

Row = tuple[Any, ...]


def wanted_judgments(file: JudgmentFile) -> QuerySet[Judgment]:
    of_round = Q(slot__round=file.round_id) if file.round_id else Q()
    of_track = Q(slot__track=file.track) if file.track else Q()
    of_people = Q() if file.includes_simulated else Q(is_simulated=False)
    return Judgment.objects.filter(of_round, of_track, of_people)


def judgment_rows(file: JudgmentFile) -> Iterator[list[Row]]:
    """Chunks of rows in the order of `judgment_id`, through a cursor that the database server keeps.

    One statement is one snapshot: votes that come meanwhile are not in it.
    """
    annotator = F("slot__annotator__username") if file.includes_names else F("slot__annotator_id")
    values = {f"column_{name}": annotator if name == "annotator" else source for name, source, _ in COLUMNS}
    rows = wanted_judgments(file).order_by("id").annotate(**values).values_list(*values)
    name = str if file.includes_names else pseudonym
    named = (
        (*row[:_ANNOTATOR], name(row[_ANNOTATOR]), *row[_ANNOTATOR + 1 :])
        for row in rows.iterator(chunk_size=CHUNK)
    )
    while chunk := list(islice(named, CHUNK)):
        yield chunk


@lru_cache(10_000)
def pseudonym(user_id: int) -> str:
    """The same for a person in every file of this site; nobody without its secret key can go back."""
    return "annotator-" + salted_hmac("annotate.pseudonym", str(user_id), algorithm="sha256").hexdigest()[:12]


class JsonLines:
    """One object a line, gzipped; the same rows are the same bytes."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("wb")
        self.packed = gzip.GzipFile(filename="", mode="wb", compresslevel=3, fileobj=self.file, mtime=0)

    def write(self, rows: Sequence[Row]) -> None:
        self.packed.write("".join(map(_line, rows)).encode())

    def close(self) -> None:
        self.packed.close()
        self.file.close()


def _line(row: Row) -> str:
    values = dict(zip(NAMES, row[: -len(_JSON)], strict=False))
    plain = json.dumps(values, default=datetime.isoformat, ensure_ascii=False)
    parts = [f', "{name}": {text}' for name, text in zip(_JSON, row[-len(_JSON) :], strict=True)]
    return f"{plain[:-1]}{''.join(parts)}}}\n"


class Parquet:
    def __init__(self, path: Path) -> None:
        self.schema = pa.schema([(name, kind) for name, _, kind in COLUMNS])
        self.writer = pq.ParquetWriter(path, self.schema, compression="zstd")

    def write(self, rows: Sequence[Row]) -> None:
        self.writer.write_table(pa.table([*zip(*rows, strict=True)], schema=self.schema))

    def close(self) -> None:
        self.writer.close()


def open_writer(file_format: str, path: Path) -> JsonLines | Parquet:
    return Parquet(path) if file_format == FileFormat.PARQUET else JsonLines(path)
