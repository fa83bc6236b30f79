"""The template of recipes: options and stages, with commands that only note how they were called; and setup.sh."""

import fcntl
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

TOP = Path(__file__).resolve().parents[2]
TEMPLATE = TOP / "egs2" / "TEMPLATE" / "slm1"
# The interpreter that runs the tests is the active environment.
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "VIRTUAL_ENV": sys.prefix}
SETTINGS = ("--train_set", "train", "--valid_set", "dev", "--test_sets", "t1 t2", "--foundation", "pair.yaml")

# Stands in for `python3 -m slm_espnet.bin.<name> ...`: notes the call and writes what the next stage looks for.
FAKE_PYTHON = """#!/usr/bin/env bash
shift
command=${1##*.}
shift
[ -z "${FAIL:-}" ] || [ "${command}" != "${FAIL}" ] || { echo "this one is broken"; exit 3; }
echo "${command} $*" >>calls
[ "${command}" != download ] || { echo "$2"; exit 0; }
output=
while [ $# -gt 0 ]; do
    case "$1" in
        --*) option=$1 ;;
        *)
            if [ "${option}" = --output_dir ] || [ "${option}" = --exp_dir ]; then
                mkdir -p "$1"
                touch "$1/index.tsv" "$1/speech_shape"
            fi
            ;;
    esac
    shift
done
"""
FAKE_DATA = """#!/usr/bin/env bash
echo "data $*" >>calls
for name in train dev t1 t2; do mkdir -p "$2/${name}"; echo "u words" >"$2/${name}/text"; done
"""


@pytest.fixture
def recipe(tmp_path):
    """A recipe folder made by setup.sh, with a fake Python and data preparation."""
    folder = tmp_path / "corpus" / "slm1"
    subprocess.run([TEMPLATE / "setup.sh", folder], check=True, capture_output=True)
    (folder / "pair.yaml").write_text("llm: hf_seq2seq\n")
    (folder / "local" / "data.sh").write_text(FAKE_DATA)
    (folder / "fake_python").write_text(FAKE_PYTHON)
    (folder / "fake_python").chmod(0o755)
    return folder


def slm(recipe, *arguments, settings=SETTINGS, **environment):
    """Run slm.sh; returns the finished process and the calls that it made."""
    (recipe / "calls").write_text("")
    done = subprocess.run(
        ["./slm.sh", "--python", "./fake_python", *settings, *arguments],
        cwd=recipe,
        capture_output=True,
        text=True,
        env={**ENVIRONMENT, **environment},
    )
    return done, (recipe / "calls").read_text().splitlines()


def names(calls):
    return [call.split()[0] for call in calls]


def option(call, name):
    """Values of an option in a noted call."""
    return re.search(rf" {name} (.*?)(?= --|$)", call).group(1).split()


def test_all_stages_in_order(recipe):
    done, calls = slm(recipe, "--train_tasks", "asr", "--inference_nj", "1", "--nj", "1", "--seed", "7")
    assert done.returncode == 0, done.stderr
    assert names(calls) == [
        "data", "check_data", "encode", "encode", "stats", "stats", "train", "average",
        "decode", "decode", "decode", "decode", "decode", "decode", "score",
    ]  # fmt: skip
    check, encode, merge = calls[1:4]
    assert option(check, "--audio") == ["header", "data/train", "data/dev", "data/t1", "data/t2"]
    assert option(encode, "--output_dir") == [f"dump/encodings/pair/{name}" for name in ("train", "dev", "t1", "t2")]
    assert option(encode, "--job") == ["1"] and option(merge, "--merge") == ["true"]
    train, average, decodes, score = calls[6], calls[7], calls[8:14], calls[14]
    assert "data/train::dump/encodings/pair/train,speech,slm_rows" in train and option(train, "--seed") == ["7"]
    assert option(average, "--exp_dir") == ["exp/slm_pair_train_asr_seed7"]
    assert [option(call, "--input")[0] for call in decodes[::2]] == ["speech", "ctc", "transcript"]
    assert option(decodes[0], "--output_dir")[0] == "exp/slm_pair_train_asr_seed7/decode_default/t1"
    assert option(score, "--cascade_dir") == ["exp/baseline_pair/ctc_default"]
    assert option(score, "--bound_dir") == ["exp/baseline_pair/transcript_default"]
    assert done.stdout.count("done in") == 7 and "logs are in exp/slm_pair_train_asr_seed7/train.log" in done.stdout


def test_complete_stages_are_not_done_again_and_changes_are_noticed(recipe):
    slm(recipe)
    done, calls = slm(recipe)
    assert done.returncode == 0
    assert {"data", "check_data", "stats", "train", "average"}.isdisjoint(names(calls))
    with open(recipe / "data/train/text", "a") as file:
        file.write("v more\n")
    done, calls = slm(recipe, "--stage", "3", "--stop_stage", "4")
    assert done.returncode == 2 and names(calls) == ["stats"]
    assert "exp/slm_pair_train_seed1 was begun with other settings" in done.stderr and "--slm_tag" in done.stderr
    done, calls = slm(recipe, "--stage", "4", "--stop_stage", "4", "--overwrite", "true")
    assert done.returncode == 0 and names(calls) == ["train", "average"]
    done, calls = slm(recipe, "--stage", "4", "--stop_stage", "4", "--slm_args", "--max_epoch 3")
    assert "exp/slm_pair_train_max_epoch_3_seed1" in calls[0] and option(calls[0], "--max_epoch") == ["3"]


def test_statistics_are_made_again_when_anything_they_depend_on_changes(recipe):
    slm(recipe, "--stop_stage", "3")
    for number, name in enumerate(("prompt", "utt2task", "context", "prompt")):
        with open(recipe / "data" / "dev" / name, "a") as file:
            file.write(f"u {number}\n")
        for path in (recipe / "exp").rglob(".done"):  # a clock that runs ahead changes nothing
            os.utime(path, (4102444800, 4102444800))
        _, calls = slm(recipe, "--stage", "3", "--stop_stage", "3")
        assert names(calls) == ["stats"] and option(calls[0], "--data_dir") == ["data/dev"], name


def test_tables_edited_by_hand_are_checked_and_counted_again(recipe):
    slm(recipe, "--stop_stage", "3")
    times = os.stat(recipe / "data/dev/text")
    (recipe / "data/dev/text").write_text("u sword\n")  # as long, and as old
    os.utime(recipe / "data/dev/text", ns=(times.st_atime_ns, times.st_mtime_ns))
    done, calls = slm(recipe, "--stop_stage", "3")
    assert [name for name in names(calls) if name != "encode"] == ["check_data", "stats"], "no new preparation"
    assert "the check of data is made again, for something has changed: was: data/dev text " in done.stdout
    assert "exp/slm_stats_pair/dev is made again, for something has changed: was: data/dev text " in done.stdout
    assert "made again" not in slm(recipe, "--stop_stage", "3")[0].stdout


def test_another_model_in_the_same_folder_is_noticed(recipe):
    (recipe / "llm").mkdir()
    (recipe / "llm" / "tokenizer.json").write_text('{"a": 1}')
    (recipe / "pair.yaml").write_text("llm: hf_seq2seq\nllm_conf: {model: llm, dtype: float32}\n")
    slm(recipe)
    (recipe / "llm" / "notes.md").write_text("no part of the model")
    assert {"stats", "train"}.isdisjoint(names(slm(recipe)[1]))
    experiment = recipe / "exp" / "slm_pair_train_seed1"
    for marker, more in (("settings", ""), (".done", " valid.loss.ave.pth")):  # of a version that noted less
        (experiment / marker).write_text((experiment / marker).read_text().splitlines()[0] + more + "\n")
    done, calls = slm(recipe, "--stage", "4", "--stop_stage", "4")
    assert done.returncode == 0 and calls == [], done.stderr
    (recipe / "llm" / "tokenizer.json").write_text('{"a": 2}')
    done, calls = slm(recipe, "--stage", "3")
    assert names(calls) == ["stats", "stats"] and done.stdout.count("was: llm ") == 2
    assert done.returncode == 2 and "begun with other settings: was: llm " in done.stderr


def test_training_knows_the_tables_that_it_read(recipe):
    slm(recipe)
    (recipe / "data/train/prompt").write_text("u translate\n")
    done, _ = slm(recipe, "--stage", "4")
    assert done.returncode == 2 and "begun with other settings: was: data/train text " in done.stderr


def test_a_set_that_got_recordings_of_its_own_is_not_encoded_into_another(recipe):
    (recipe / "data" / "t2").mkdir(parents=True)
    (recipe / "data/t2/same_audio_as").write_text("t1\n")
    slm(recipe, "--stop_stage", "2")
    link = recipe / "dump/encodings/pair/t2"
    assert link.is_symlink()
    (recipe / "data/t2/same_audio_as").unlink()
    _, calls = slm(recipe, "--stage", "2", "--stop_stage", "2")
    assert str(link.relative_to(recipe)) in option(calls[0], "--output_dir") and not link.is_symlink()


def test_two_preparations_of_one_folder_are_refused(recipe):
    (recipe / "data").mkdir()
    (recipe / "data" / ".lock").write_text("process 7 on far")
    with open(recipe / "data" / ".lock") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        done, calls = slm(recipe, "--stop_stage", "1")
        assert done.returncode == 2 and calls == [] and "another slm.sh (process 7 on far)" in done.stderr
    done, calls = slm(recipe, "--stop_stage", "1")
    assert done.returncode == 0 and names(calls) == ["data", "check_data"], "a lock whose process is gone is none"


def test_stages_and_sets_can_be_left_out(recipe):
    _, calls = slm(recipe, "--stop_stage", "2", "--skip_eval", "true", "--nj", "1")
    assert names(calls) == ["data", "check_data", "encode", "encode"]
    assert option(calls[2], "--data_dir") == ["data/train", "data/dev"]
    _, calls = slm(recipe, "--skip_stages", "2 4 5 6")
    assert names(calls) == ["check_data", "stats", "stats"]
    _, calls = slm(recipe, "--skip_data_prep", "true", "--skip_train", "true", "--baselines", "", "--inference_nj", "1")
    assert names(calls) == ["decode", "decode", "score"]


def test_biasing_is_tuned_once_and_used_for_every_input(recipe):
    biasing = ("--biasing_dev_sets", "dev_names dev", "--skip_train", "true", "--inference_nj", "1")
    settings = (*SETTINGS[4:], "--stage", "5", "--stop_stage", "5")
    for name in ("dev_names", "dev"):
        for folder in (recipe / "data" / name, recipe / "dump" / "encodings" / "pair" / name):
            folder.mkdir(parents=True)
        for file in ("text", "context"):
            (recipe / "data" / name / file).write_text("u words\n")
        (recipe / "dump" / "encodings" / "pair" / name / "index.tsv").touch()
    done, calls = slm(recipe, *biasing, settings=settings)
    assert done.returncode == 0, done.stderr
    assert names(calls) == ["tune_biasing", *["decode"] * 6]
    for call in calls[1::2]:  # speech and its two bounds
        assert option(call, "--biasing_config") == ["exp/baseline_pair/biasing.yaml"]
    _, calls = slm(recipe, *biasing, "--biasing_list", "names.txt", settings=settings)
    assert "tune_biasing" not in names(calls)
    assert all(option(call, "--biasing_list") == ["names.txt"] for call in calls)


def test_sets_that_share_recordings_are_encoded_once(recipe):
    """A set whose file same_audio_as names another gets a link to its encodings, also where that is not asked for."""
    settings = (*SETTINGS[:4], "--test_sets", "t1_long t1_short", *SETTINGS[6:], "--nj", "1", "--stage", "2")
    for name in ("t1_long", "t1_short"):
        (recipe / "data" / name).mkdir(parents=True)
        (recipe / "data" / name / "same_audio_as").write_text("t1\n")
    for _ in range(2):
        done, calls = slm(recipe, "--stop_stage", "2", settings=settings)
        assert done.returncode == 0, done.stderr
        assert option(calls[0], "--data_dir") == ["data/train", "data/dev", "data/t1"]
        for name in ("t1_long", "t1_short"):
            assert (recipe / "dump/encodings/pair" / name).readlink() == Path("t1")


def test_a_given_adapter_replaces_training(recipe):
    done, calls = slm(recipe, "--download_model", "nobody/nothing", FAIL="download")
    assert done.returncode == 3 and calls == []
    settings = ("--test_sets", "t1", "--foundation", "pair.yaml", "--nj", "1", "--inference_nj", "1")
    done, calls = slm(recipe, "--download_model", "given", "--baselines", "ctc", settings=settings)
    assert done.returncode == 0, done.stderr
    assert names(calls) == [
        "download", "data", "check_data", "encode", "encode", "decode", "decode", "decode", "decode", "score"
    ]  # fmt: skip
    assert option(calls[3], "--data_dir") == ["data/t1"] and option(calls[5], "--model_dir") == ["given"]
    assert option(calls[-1], "--exp_dir") == ["exp/slm_given"]


def test_a_model_is_packed_and_uploaded_only_where_that_is_asked_for(recipe):
    done, calls = slm(recipe, "--stage", "7", "--pack_args", "--license mit", "--pack_foundations", "true")
    assert done.returncode == 0 and names(calls) == ["pack"], done.stderr
    assert option(calls[0], "--output_dir") == ["exp/slm_pair_train_seed1/package"]
    assert option(calls[0], "--license") == ["mit"] and option(calls[0], "--pack_foundations") == ["true"]
    assert option(calls[0], "--inference_tag") == ["default"] and "--biasing_config" not in calls[0]
    done, calls = slm(recipe, "--stage", "8")
    assert done.returncode == 2 and "stage 8 needs --hf_repo" in done.stderr and calls == []
    done, calls = slm(recipe, "--stage", "7", "--hf_repo", "me/model", "--hf_private", "true")
    assert done.returncode == 0 and names(calls) == ["pack", "upload"]
    assert option(calls[1], "--hf_repo") == ["me/model"] and option(calls[1], "--hf_private") == ["true"]
    done, calls = slm(recipe, "--stage", "8", "--hf_repo", "me/model")
    assert names(calls) == ["upload"] and option(calls[0], "--package") == ["exp/slm_pair_train_seed1/package"]
    assert slm(recipe, "--stage", "8", "--hf_repo", "me/model", FAIL="upload")[0].returncode == 3


def test_a_failing_job_stops_the_recipe_and_shows_its_log(recipe):
    done, calls = slm(recipe, FAIL="encode")
    assert done.returncode == 1 and names(calls) == ["data", "check_data"]
    assert "2 of 2 job(s) failed: 1, 2" in done.stderr and "this one is broken" in done.stderr
    assert "JOB=1:2" in done.stderr.splitlines()[-1]
    done, calls = slm(recipe, FAIL="train")
    assert done.returncode == 1 and "train" not in names(calls)
    _, calls = slm(recipe, "--stage", "4", "--stop_stage", "4")
    assert names(calls) == ["train", "average"]  # an interrupted training goes on


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--trian_set", "x"), "unknown option --trian_set (did you mean --train_set?)"),
        (("stray",), "unexpected argument 'stray'"),
        (("--foundation", "no.yaml"), "no.yaml: no such file (--foundation)"),
        (("--inference_config", "no.yaml"), "no.yaml: no such file (--inference_config)"),
        (("--slm_config", "no.yaml", "--stage", "4"), "no.yaml: no such file (--slm_config)"),
        (("--valid_set", ""), "--valid_set is needed"),
        (("--baselines", "oracle"), "--baselines takes ctc and transcript, not 'oracle'"),
    ],
)
def test_mistakes_are_named(recipe, arguments, message):
    done, calls = slm(recipe, *arguments)
    assert done.returncode == 2 and message in done.stderr.splitlines()[-1] and calls == []


def test_every_option_is_documented():
    script = (TEMPLATE / "slm.sh").read_text()
    assert len(script.splitlines()) < 300
    options = re.findall(r"^([a-z]\w*)=", script.split(". utils/parse_options.sh")[0], re.MULTILINE)
    readme = (TEMPLATE / "README.md").read_text()
    assert len(options) > 30
    assert [name for name in options if f"`--{name}`" not in readme] == []


def test_setup_makes_a_recipe_and_keeps_what_is_there(tmp_path):
    folder = tmp_path / "slm1"
    (folder / "local").mkdir(parents=True)
    (folder / "local" / "data.sh").write_text("mine\n")
    for _ in range(2):
        subprocess.run([TEMPLATE / "setup.sh", folder], check=True, capture_output=True)
    for name in ("slm.sh", "path.sh", "db.sh", "utils"):
        assert (folder / name).is_symlink() and (folder / name).exists()
    for name in ("cmd.sh", "run.sh", "conf/train.yaml", "conf/tasks.yaml", "conf/decode.yaml", "local/prepare.py"):
        assert (folder / name).is_file() and not (folder / name).is_symlink()
    assert (folder / "local" / "data.sh").read_text() == "mine\n"
    assert os.access(folder / "run.sh", os.X_OK)
    assert subprocess.run([TEMPLATE / "setup.sh", TEMPLATE], capture_output=True).returncode == 2


def test_example_data_preparation(tmp_path):
    folder = tmp_path / "slm1"
    subprocess.run([TEMPLATE / "setup.sh", folder], check=True, capture_output=True)
    (folder / "downloads").mkdir()
    for name in ("b1", "a1"):
        soundfile.write(folder / f"downloads/{name}.wav", np.zeros(1600), 16000)
    rows = ("set id audio language speaker text", "train b-1 b1.wav en b ONE", "train a-1 a1.wav en a two", "train c-1")
    (folder / "downloads/table.tsv").write_text("".join("\t".join(row.split()) + "\n" for row in rows))
    command = ["local/data.sh", "--datadir", "data", "--dumpdir", "dump", "--max_failed", "0.4"]
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert (folder / "data/train/text").read_text() == "a-1 two\nb-1 one\n"
    assert "wrong column count" in (folder / "data/train/left_out.tsv").read_text()


def test_path_sh_says_what_is_missing(tmp_path):
    fake = tmp_path / "python3"
    fake.write_text(f'#!/bin/sh\nPYTHONPATH=$PYTHONPATH exec "{sys.executable}" -S "$@"\n')  # no installed packages
    fake.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:/usr/bin:/bin", "VIRTUAL_ENV": "/none", "PYTHONPATH": ""}
    done = subprocess.run(
        ["bash", "-c", f". '{TEMPLATE}/path.sh'"], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert done.returncode == 1 and "run `make install`" in done.stderr and len(done.stderr.splitlines()) == 1


def test_what_was_trained_is_read_from_the_model(recipe):
    """A list made from the options was wrong for a downloaded model."""
    _, calls = slm(recipe)
    assert option(calls[-1], "--model_dir") == ["exp/slm_pair_train_seed1"] and "--train_tasks" not in calls[-1]


def test_several_training_sets_are_one_training(recipe):
    done, calls = slm(recipe, "--train_set", "train t1", "--stop_stage", "4", "--test_sets", "t2", "--nj", "1")
    assert done.returncode == 0, done.stderr
    _, _, encode, _, statistics, of_valid, train, _ = calls
    assert option(encode, "--data_dir") == ["data/train", "data/t1", "data/dev", "data/t2"]
    assert option(statistics, "--data_dir") == ["data/train", "data/t1"]
    assert option(statistics, "--encodings_dir") == ["dump/encodings/pair/train", "dump/encodings/pair/t1"]
    assert option(statistics, "--output_dir") == ["exp/slm_stats_pair/train+t1"]
    assert option(of_valid, "--output_dir") == ["exp/slm_stats_pair/dev"]
    pairs = ["data/train::dump/encodings/pair/train", "data/t1::dump/encodings/pair/t1,speech,slm_rows"]
    assert option(train, "--train_data_path_and_name_and_type") == pairs
    assert option(train, "--train_shape_file") == ["exp/slm_stats_pair/train+t1/speech_shape"]
    with open(recipe / "data/t1/text", "a") as file:
        file.write("v more\n")
    _, calls = slm(recipe, "--train_set", "train t1", "--stage", "3", "--stop_stage", "3")
    assert names(calls) == ["stats"], "a change in any of the sets is noticed"
    sets = [f"{'long' * 25}{n}" for n in range(3)]
    for name in sets:
        for path in (recipe / "data" / name / "text", recipe / "dump/encodings/pair" / name / "index.tsv"):
            path.parent.mkdir(parents=True)
            path.write_text("u words\n")
    done, calls = slm(recipe, "--train_set", " ".join(sets), "--stage", "3", "--stop_stage", "3")
    (output,) = option(calls[0], "--output_dir")
    assert done.returncode == 0 and len(Path(output).name) < 200, "a file system takes no more than 255 bytes"


def test_processes_and_nodes_reach_the_launcher_and_the_training(recipe):
    launcher = recipe / "launcher"
    launcher.write_text(
        '#!/usr/bin/env bash\necho "launcher $*" >>calls\nwhile [[ $1 == --* ]]; do shift 2; done\n"${@:2}"\n'
    )
    launcher.chmod(0o755)
    (recipe / "cmd.sh").write_text((recipe / "cmd.sh").read_text() + 'export cuda_cmd="./launcher"\n')
    slm(recipe, "--stop_stage", "3", "--nj", "1")
    options = ("--stage", "4", "--stop_stage", "4", "--ngpu", "4", "--num_nodes", "2", "--train_num_threads", "3")
    done, calls = slm(recipe, *options)
    assert done.returncode == 0, done.stderr
    asked, train = calls[:2]
    assert option(asked, "--gpu") == ["4"] and option(asked, "--num_nodes")[0] == "2"
    assert option(asked, "--num_threads")[0] == "12", "three for each process"
    assert option(train, "--num_threads") == ["3"]
    assert [option(train, name) for name in ("--ngpu", "--num_nodes", "--num_procs")] == [["4"], ["2"], ["1"]]
    _, calls = slm(recipe, "--stage", "4", "--stop_stage", "4", "--num_procs", "2", "--overwrite", "true")
    assert "--num_nodes" not in calls[0].split("train.log")[0], "launchers that know one node only are not asked"
    assert option(calls[1], "--num_procs") == ["2"] and option(calls[0], "--num_threads")[0] == "2"


def test_gpus_of_a_decoding_job_reach_the_launcher_and_the_command(recipe):
    launcher = recipe / "launcher"
    launcher.write_text(
        '#!/usr/bin/env bash\necho "launcher $*" >>calls\n'
        'while [[ $1 == --* || $1 == JOB=* ]]; do [[ $1 == JOB=* ]] || shift; shift; done\n"${@:2}"\n'
    )
    launcher.chmod(0o755)
    (recipe / "cmd.sh").write_text((recipe / "cmd.sh").read_text() + 'export decode_cmd="./launcher"\n')
    slm(recipe, "--stop_stage", "4", "--nj", "1")
    only_decode = ("--stage", "5", "--stop_stage", "5", "--inference_nj", "1", "--baselines", "", "--overwrite", "true")
    for options, expected in (((), "0"), (("--gpu_inference", "true"), "1"),
                              (("--gpu_inference", "true", "--decode_ngpu", "2"), "2")):  # fmt: skip
        done, calls = slm(recipe, *only_decode, *options)
        assert done.returncode == 0, done.stderr
        asked, decode = ([call for call in calls if call.startswith(name)] for name in ("launcher", "decode"))
        assert {option(call, "--gpu")[0] for call in asked} == {expected}
        assert {option(call, "--ngpu")[0] for call in decode} == {expected}
    done, _ = slm(recipe, *only_decode, "--decode_ngpu", "2")
    assert done.returncode and "--decode_ngpu 2 needs --gpu_inference true" in done.stderr
    done, _ = slm(recipe, *only_decode, "--decode_ngpu", "none")
    assert done.returncode and "--decode_ngpu takes a number of GPUs, at least 1, not 'none'" in done.stderr


def test_a_folder_that_cannot_be_written_is_said_with_the_cure(recipe, tmp_path):
    (tmp_path / "file").touch()
    done, calls = slm(recipe, "--stop_stage", "1", "--datadir", str(tmp_path / "file" / "data"))
    assert done.returncode and calls == []
    assert "file/data cannot be written here; lay the recipe out elsewhere" in done.stderr
