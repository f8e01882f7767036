from __future__ import annotations

import json
import re
import subprocess
import sys

SCRIPT = """
import logging
from ominix import logs
logs.to_stderr(as_json={as_json})
log = logging.getLogger("ominix.x")
log.info("begins")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("fails")
"""


def lines(as_json: bool) -> str:
    script = SCRIPT.format(as_json=as_json)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30).stderr


def test_lines_have_time_and_level():
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO ominix\.x: begins\n", lines(False))


def test_as_json_each_record_is_one_line_with_its_traceback():
    first, second = map(json.loads, lines(True).splitlines())
    assert first.keys() == {"time", "level", "logger", "message"}
    assert (second["level"], "ZeroDivisionError" in second["exception"]) == ("ERROR", True)
