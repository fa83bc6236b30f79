"""A recipe folder outside of the toolkit."""

from __future__ import annotations

import re
import subprocess

import pytest

from slm_espnet import recipes
from slm_espnet.errors import UserError


@pytest.mark.parametrize("corpus", recipes.names())
def test_every_path_of_a_laid_out_recipe_leads_somewhere(tmp_path, corpus):
    written, kept = recipes.lay_out(corpus, tmp_path / "mine")
    assert {"run.sh", "cmd.sh", "README.md"} <= set(written) and not kept
    folder = tmp_path / "mine"
    assert (folder / "utils" / "parse_options.sh").exists() and (folder / "slm.sh").exists()
    for path in [*folder.glob("*.sh"), *folder.glob("local/*.sh"), *folder.glob("conf/*.yaml")]:
        base = folder if path.suffix == ".sh" else path.parent
        if path.is_symlink():
            continue
        text = path.read_text(encoding="utf-8")
        for name in re.findall(r"(?:\.\./)*toolkit/[\w/.-]+\w", text):
            assert (base / name).exists(), (path, name)
        assert not re.search(r"(?:\.\./){2,}", text), f"{path} leads out of the folder"


def test_a_laid_out_recipe_runs_up_to_its_first_question(tmp_path):
    recipes.lay_out("librispeech", tmp_path / "mine")
    done = subprocess.run(["./slm.sh", "--help"], cwd=tmp_path / "mine", capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "--foundation" in done.stdout


def test_own_files_stay_and_links_are_renewed(tmp_path):
    recipes.lay_out("an4", tmp_path)
    (tmp_path / "run.sh").write_text("mine")
    (tmp_path / "toolkit").unlink()
    (tmp_path / "toolkit").symlink_to("/moved/away")
    written, kept = recipes.lay_out("an4", tmp_path)
    assert not written and "run.sh" in kept
    assert (tmp_path / "run.sh").read_text() == "mine"
    assert (tmp_path / "slm.sh").exists()


def test_unknown_recipe_and_occupied_place_are_named(tmp_path):
    with pytest.raises(UserError, match="no recipe 'libri'; there are .*librispeech"):
        recipes.lay_out("libri", tmp_path)
    (tmp_path / "utils").mkdir()
    with pytest.raises(UserError, match="utils is in the way"):
        recipes.lay_out("an4", tmp_path)
