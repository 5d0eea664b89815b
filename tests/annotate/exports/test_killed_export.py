"""An export is killed in the middle: nobody sees the half, and it is made again as it would have been."""

from __future__ import annotations

import pytest

from annotate.exports import freezing
from annotate.exports.freezing import export_round
from annotate.models import Export, Round
from annotate.storage.address import FolderAddress
from annotate.storage.opening import site_storage
from rlhf.export.freezing import read_export
from tests.annotate.conftest import store_clips
from tests.annotate.copies import Stay, killed_where_it_stays
from tests.versions import judged_round

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def in_the_rows(stay: Stay) -> None:
    size_of = freezing.batches
    freezing.batches = lambda rows, *size: size_of(rows, 1)
    export_round(Round.objects.get(), include_simulated=True, tell=stay)


def with_the_folder_stored_and_no_row(stay: Stay) -> None:
    freezing._store = stay
    export_round(Round.objects.get(), include_simulated=True)


@pytest.mark.parametrize("work", [in_the_rows, with_the_folder_stored_and_no_row])
def test_an_export_goes_on_after_a_kill(tmp_path, settings, work):
    settings.STORAGE = FolderAddress(tmp_path / "storage")
    storage = site_storage()
    round = judged_round()
    store_clips(storage)
    killed_where_it_stays(work)
    assert not Export.objects.exists()
    stored = {item.key for item in storage.list("exports")}
    assert bool(stored) == (work is with_the_folder_stored_and_no_row)
    export = export_round(round, include_simulated=True)
    again = export_round(round, include_simulated=True)
    assert again == export and export.pairs.count() == export.num_pairs == 2
    assert not stored or stored == {item.key for item in storage.list("exports")}
    with storage.local_folder(export.folder) as folder:
        assert len(list(read_export(folder).rows())) == export.num_pairs
