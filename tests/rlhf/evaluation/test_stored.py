"""What versions up to 0.1.0 stored, which called a system an arm, opens as if it were of today."""

import json

from generator.rundir import RunDir
from rlhf.evaluation.report.page import main, write_report
from rlhf.evaluation.stored import in_current_keys
from tests.rlhf.evaluation.planted_result import planted_run


def former(item):
    text = json.dumps(item)
    return json.loads(text.replace('"systems":', '"arms":').replace('"system":', '"arm":'))


def test_a_stored_result_has_todays_keys(tmp_path):
    result = planted_run(tmp_path)
    assert in_current_keys(former(result)) == in_current_keys(result) == json.loads(json.dumps(result))


def test_a_system_keeps_its_name_even_if_it_is_called_arm():
    stored = {"arms": {"arm": {"label": "arm"}}, "table": {"arm": {}}, "failed": [{"arm": "arm"}]}
    current = {"systems": {"arm": {"label": "arm"}}, "table": {"arm": {}}, "failed": [{"system": "arm"}]}
    assert in_current_keys(stored) == current


def test_its_report_is_the_same(tmp_path):
    result = planted_run(tmp_path)
    page = write_report(tmp_path, result).read_bytes()
    RunDir(tmp_path).write_result(former(result))
    main(RunDir(tmp_path), False)
    assert (tmp_path / "report.html").read_bytes() == page
