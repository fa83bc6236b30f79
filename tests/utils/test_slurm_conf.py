"""conf/slurm.conf: options become flags of sbatch; whose file is used; mistakes."""

import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "utils"))

from launcher import slurm_conf  # noqa: E402
from launcher.job import UsageError, parse  # noqa: E402
from launcher.slurm import job_name, split  # noqa: E402

# As ESPnet's recipes have it.
ESPNET = """
# Default configuration
command sbatch --export=PATH
option name=* --job-name $0
option time=* --time $0
option mem=* --mem-per-cpu $0
option mem=0
option num_threads=* --cpus-per-task $0
option num_threads=1 --cpus-per-task 1
option num_nodes=* --nodes $0
default gpu=0
option gpu=0 -p cpu
option gpu=* -p gpu --gres=gpu:$0 -c $0   # -c too
"""


@pytest.fixture
def flags(tmp_path):
    """Flags that a configuration gives a command line."""

    def read(text, *options):
        (tmp_path / "slurm.conf").write_text(text)
        conf = slurm_conf.read(tmp_path / "slurm.conf")
        return conf.flags(parse([*options, "x.log", "true"], slurm_conf.more_options(conf)))

    return read


def test_a_file_of_espnet_is_understood(flags):
    assert flags(ESPNET) == ["sbatch", "--export=PATH", "-p", "cpu", "--cpus-per-task", "1"]
    given = flags(ESPNET, "--gpu", "2", "--mem", "1.5G", "--time", "90:00", "--num_nodes", "2", "--num_threads", "3")
    assert given == ["sbatch", "--export=PATH", "-p", "gpu", "--gres=gpu:2", "-c", "2", "--cpus-per-task", "3",
                     "--nodes", "2", "--mem-per-cpu", "1536M", "--time", "0-01:30:00"]  # fmt: skip


def test_options_of_the_file(flags):
    assert flags(ESPNET + "option partition=* -p $0\n", "--partition", "long")[-2:] == ["-p", "long"]
    with pytest.raises(UsageError, match="unknown option --partition; known: --gpu"):
        flags(ESPNET, "--partition", "long")


def test_an_option_without_a_line_is_not_dropped(flags):
    with pytest.raises(UsageError, match=r"has no line `option mem=\* …`, which --mem 8192M needs"):
        flags("command sbatch\noption num_threads=* -c $0\n", "--mem", "8G")


@pytest.mark.parametrize(
    "line",
    ["options gpu=* -p $0", "option gpu", "command", "default gpu=0 -p cpu", "set wait=3", "set file_delay=soon"],
)
def test_wrong_lines_are_named(flags, line):
    with pytest.raises(UsageError, match=r"slurm\.conf:2: expected `command sbatch …`, .*found '" + line.split()[0]):
        flags(f"# mine\n{line}\n")


def test_the_recipes_own_file_goes_before_the_shared_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shared = slurm_conf.read(slurm_conf.find(None))
    assert shared.path == TOP / "conf" / "slurm.conf"
    training = shared.flags(parse(["--gpu", "2", "--num_nodes", "2", "--time", "4:00:00", "x.log", "true"]))
    assert {"--gres=gpu:2", "--nodes=2", "--ntasks-per-node=1", "--signal=B:USR1@120"} <= set(training)
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "slurm.conf").write_text("command sbatch -A mine\noption num_threads=*\n")
    assert slurm_conf.read(slurm_conf.find(None)).flags(parse(["x.log", "true"])) == ["sbatch", "-A", "mine"]


def test_ranges_larger_than_an_array_are_split():
    assert split(range(1, 11), 1001) == [(0, list(range(1, 11)))]
    assert split([1, 2, 3, 4, 5, 6, 7, 8, 20], 4) == [(0, [1, 2, 3]), (4, [4, 5, 6, 7]), (8, [8]), (20, [20])]
    assert all(0 <= n - offset < 12 for offset, part in split(range(0, 100, 3), 12) for n in part)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["JOB=1:2", "/r/dump/encodings/mini/log/job.JOB.log", "true"], "mini/job.JOB"),
        (["/r/exp/slm_a/train.log", "true"], "slm_a/train"),
        (["--name", "mine", "/r/exp/slm_a/train.log", "true"], "mine"),
    ],
)
def test_names_in_slurms_lists(arguments, name):
    assert job_name(parse(arguments)) == name
