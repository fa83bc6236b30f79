"""Another corpus, or a table that was changed, is prepared again; stage 1 used to keep the first one silently."""

import os
import subprocess

import pytest

DATA_SH = """#!/usr/bin/env bash
. ./db.sh
mkdir -p data/test && cp "${OWN_DATA}/data.tsv" data/test/text && echo run >>runs
"""
SLM = ("--foundation", "pair.yaml", "--skip_train", "true", "--test_sets", "test", "--stage", "1", "--stop_stage", "1")


@pytest.fixture
def recipe(top, tmp_path):
    """Function (OWN_DATA, *options) → (what stage 1 said, times that it has prepared data so far)."""
    folder = tmp_path / "recipe/slm1"
    subprocess.run([top / "egs2/TEMPLATE/slm1/setup.sh", folder], check=True, capture_output=True)
    (folder / "local/data.sh").write_text(DATA_SH, encoding="utf-8")
    (folder / "pair.yaml").write_text("llm: hf_seq2seq\n", encoding="utf-8")
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "checker").write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")  # in place of check_data
    (tools / "checker").chmod(0o755)

    def run(corpus, *options):
        command = ["./slm.sh", *SLM, "--python", str(tools / "checker"), *options]
        environment = {**os.environ, "OWN_DATA": str(corpus)}
        done = subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout, len((folder / "runs").read_text(encoding="utf-8").split())

    return run


def test_stage_1_knows_what_it_was_made_of(recipe, tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "data.tsv").write_text(f"{name} one\n", encoding="utf-8")
    assert recipe(tmp_path / "a")[1] == 1
    said, runs = recipe(tmp_path / "a")
    assert runs == 1 and "is complete" in said
    said, runs = recipe(tmp_path / "b")
    assert runs == 2 and f"was: OWN_DATA={tmp_path / 'a'}" in said and f"is:  OWN_DATA={tmp_path / 'b'}" in said
    times = os.stat(tmp_path / "b/data.tsv")
    (tmp_path / "b/data.tsv").write_text("c two\n", encoding="utf-8")  # as long, and as old
    os.utime(tmp_path / "b/data.tsv", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert recipe(tmp_path / "b")[1] == 3


def write_at(path, place, content):
    """Write into a file; its size and its times stay."""
    times = os.stat(path)
    with open(path, "r+b") as file:
        file.seek(place)
        file.write(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_large_table_counts_by_more_than_its_size(recipe, tmp_path):
    size = 70 << 20
    (tmp_path / "data.tsv").write_text("one\n", encoding="utf-8")
    with open(tmp_path / "all.tsv", "wb") as file:
        file.truncate(size)  # sparse: takes no room
    assert recipe(tmp_path)[1] == recipe(tmp_path)[1] == 1
    for runs, place in enumerate((0, size // 2, size - 1), start=2):
        write_at(tmp_path / "all.tsv", place, b"x")
        assert recipe(tmp_path)[1] == runs
    assert recipe(tmp_path)[1] == runs


def test_the_folder_for_dumps_is_part_of_what_was_prepared(recipe, tmp_path):
    (tmp_path / "data.tsv").write_text("one\n", encoding="utf-8")
    recipe(tmp_path)
    marker = tmp_path / "recipe/slm1/data/.prepared"
    older = [line for line in marker.read_text().splitlines(keepends=True) if not line.startswith("--dumpdir")]
    marker.write_text("".join(older))
    assert recipe(tmp_path)[1] == 1, "a marker from before it was noted is valid"
    said, runs = recipe(tmp_path, "--dumpdir", "other")
    assert runs == 2 and "was: --dumpdir dump\n" in said and "is:  --dumpdir other\n" in said
