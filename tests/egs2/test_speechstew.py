"""The mixture of corpora, made of the recipes of four of them, on their made-up miniatures."""

from corpus_fixtures import speechstew


def test_all_stages(recipes, tmp_path):
    options = ("--corpora", "ami librispeech tedlium3 wsj", "--local_data_opts", "--subset 4")
    work = recipes.run("speechstew", tmp_path, options=options, **speechstew.make(tmp_path / "corpora"))
    assert {row["set"] for row in work.scores()} == {
        "ami_test_ihm", "ami_test_sdm", "librispeech_test_clean", "librispeech_test_other", "tedlium3_test",
        "wsj_test_eval92", "wsj_test_eval93",
    }  # fmt: skip
    (table,) = work.folder.glob("exp/slm_tiny/examples_seen.tsv")
    seen = {line.split("\t")[1] for line in table.read_text().splitlines()[1:]}
    trained = {"ami_train_ihm", "ami_train_sdm", "librispeech_train", "tedlium3_train", "wsj_train_si284"}
    assert seen and seen <= trained
    assert all(len(work.rows(name)) == 4 for name in trained), "--subset is for every set"


def test_a_corpus_that_is_not_set_stops_the_preparation(recipes, tmp_path):
    folders = speechstew.make(tmp_path / "corpora")
    work = recipes.data("speechstew", tmp_path, "--corpora", "wsj,broadcast_news", check=False, **folders)
    assert work.status == 2 and "set BROADCAST_NEWS= in db.sh" in work.output
    work = recipes.data("speechstew", tmp_path, "--corpora", "wsj,nothing", check=False, **folders)
    assert work.status == 2 and "nothing is no recipe" in work.output
