"""The list of where a person can be names every table, every column of text and every place for files."""

from __future__ import annotations

from django.apps import apps
from django.db.models import Model

from annotate.models import IdentityGroup
from annotate.models.personal_data import COLUMNS, JOINS, NAMING, NOTES, PLACES, ROWS
from annotate.privacy.personal_file_queries import FILES

TEXTS = {"CharField", "TextField", "JSONField", "ArrayField", "EmailField", "URLField", "SlugField"}
#: Its rows hang on instances, so that it is reached the other way round.
REACHED_BACKWARDS = {"DifferentialPrompt"}


def tables() -> list[type[Model]]:
    return list(apps.get_app_config("annotate").get_models(include_auto_created=True))


def texts_of(table: type[Model]) -> set[str]:
    return {f.name for f in table._meta.local_concrete_fields if f.get_internal_type() in TEXTS}


def about_people() -> set[str]:
    """Every table whose rows go with a person's row."""
    found = {IdentityGroup}
    while True:
        relations = [
            field
            for table in found
            for field in table._meta.get_fields(include_hidden=True)
            if field.auto_created and not field.concrete
        ]
        more = {r.related_model for r in relations if getattr(r.on_delete, "__name__", "") == "CASCADE"}
        if more <= found:
            return {table.__name__ for table in found}
        found |= more


def listed() -> set[str]:
    nobody = IdentityGroup(pk=0)
    return {rows(nobody).model.__name__ for rows in ROWS.values()}


def test_every_table_that_goes_with_a_person_is_listed():
    joins = {through.__name__ for through in JOINS}
    assert about_people() == listed() - REACHED_BACKWARDS | joins | {"IdentityGroup"}


def test_every_column_of_text_of_the_other_tables_is_listed():
    others = [table for table in tables() if table.__name__ not in listed() | {"IdentityGroup"}]
    expected = {table.__name__: texts_of(table) for table in others if texts_of(table)}
    assert {name: set(columns) for name, columns in COLUMNS.items()} == expected


def test_every_place_is_searched_unless_it_is_named_as_out_of_reach():
    reached = {place.name for place in PLACES if place.is_reached}
    assert set(FILES) == reached - {"run records"}, "records are struck, not removed"
    assert len({place.name for place in PLACES}) == len(PLACES)


def test_every_column_that_names_a_file_keeps_it():
    """A column is one of these when it is called so."""
    called = {"path", "shown_path", "poster", "folder", "adapter_path"}
    # A run's folder may go while its row stays; a journal's paths are what is to go.
    without = {("Run", "folder"), ("FileRemoval", "path")}
    there = {(table.__name__, name) for table in tables() for name in texts_of(table) & called} - without
    assert {(rows.model.__name__, column) for rows, column in NAMING} == there


def test_notes_are_those_of_the_tables():
    nobody = IdentityGroup(pk=0)
    notes = {(ROWS[rows](nobody).model.__name__, column) for rows, column in NOTES}
    assert notes == {
        (t.__name__, "note") for t in tables() if t.__name__ in listed() and "note" in texts_of(t)
    }
