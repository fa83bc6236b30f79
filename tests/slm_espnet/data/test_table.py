"""Kaldi tables: joint reading and atomic writing."""

import subprocess
import sys
from pathlib import Path

from slm_espnet.data.table import Line, join, write_table

TOP = Path(__file__).resolve().parents[3]


def test_join_walks_all_tables_together():
    def table(name, keys):
        return iter([Line(f"{name}:{key}", key, f"{name}{key}") for key in keys])

    joined = list(join({"x": table("x", "abd"), "y": table("y", "bcd"), "z": table("z", "")}))
    assert [(key, "".join(lines)) for key, lines in joined] == [("a", "x"), ("b", "xy"), ("c", "y"), ("d", "xy")]
    assert joined[3][1]["y"].value == "yd"


def test_a_full_disk_is_named_and_the_old_file_stays(tmp_path):
    path = tmp_path / "text"
    write_table(path, [("a", "old")])
    code = """
import resource, sys
from pathlib import Path
from slm_espnet.data.table import write_table
from slm_espnet.errors import UserError
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    write_table(Path(sys.argv[1]), ((f"u{i}", "words") for i in range(10000)))
except UserError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code, path], cwd=TOP, capture_output=True, text=True)
    assert f"cannot write {path} (File too large); make room" in done.stdout, done.stderr
    assert path.read_text() == "a old\n" and list(tmp_path.iterdir()) == [path]
