"""An export is killed in the middle: nobody sees the half, and it is made again as it would have been."""

from __future__ import annotations

import pytest

from annotate.exports.freezing import export_round
from annotate.models import Export
from annotate.storage.address import FolderAddress
from annotate.storage.opening import site_storage
from rlhf.export.freezing import read_export
from tests.annotate.conftest import store_clips
from tests.annotate.workers import start_python, wait_until
from tests.versions import judged_round

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

#: They stay where they can be killed: in the middle of the rows, or with the folder stored and no row.
WORKER = """
import sys, time, django
django.setup()
from annotate.exports import freezing
from annotate.models import Round
def stuck(*arguments, **values):
    open(sys.argv[1], "w").close()
    time.sleep(120)
if sys.argv[2] == "rows":
    size_of = freezing.batches
    freezing.batches = lambda rows, *size: size_of(rows, 1)
    freezing.export_round(Round.objects.get(), include_simulated=True, tell=stuck)
else:
    freezing._store = stuck
    freezing.export_round(Round.objects.get(), include_simulated=True)
"""


@pytest.mark.parametrize("place", ["rows", "folder"])
def test_an_export_goes_on_after_a_kill(tmp_path, settings, place):
    settings.STORAGE = FolderAddress(tmp_path / "storage")
    storage = site_storage()
    round = judged_round()
    store_clips(storage)
    reached = tmp_path / "reached"
    process = start_python(WORKER, reached, place, STORAGE_URL=settings.STORAGE.folder.as_uri())
    wait_until(reached.exists, "an export in the middle")
    process.kill()
    process.wait()
    assert not Export.objects.exists()
    stored = {item.key for item in storage.list("exports")}
    assert bool(stored) == (place == "folder")
    export = export_round(round, include_simulated=True)
    again = export_round(round, include_simulated=True)
    assert again == export and export.pairs.count() == export.num_pairs == 2
    assert not stored or stored == {item.key for item in storage.list("exports")}
    with storage.local_folder(export.folder) as folder:
        assert len(list(read_export(folder).rows())) == export.num_pairs
