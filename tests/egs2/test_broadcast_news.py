"""The Broadcast News recipe on a made-up miniature of HUB4 in LDC's layout."""

from corpus_fixtures import broadcast_news
from corpus_harness import cut_file, write_audio, write_text

ONE = "--held_out=1"


def test_all_stages(recipes, tmp_path):
    corpus = broadcast_news.make(tmp_path / "corpus")
    work = recipes.run("broadcast_news", tmp_path, options=("--local_data_opts", ONE), BROADCAST_NEWS=corpus)
    assert {row["set"] for row in work.scores()} == {"dev", "test"}
    assert {name: len({row.audio.path for row in work.rows(name).values()}) for name in work.sets} == {
        "train": 2, "dev": 1, "test": 1
    }  # fmt: skip
    rows = work.rows("dev").values()
    assert [row.text for row in rows] == ["from washington this is c n n", "uh good evening", "thanks newsish"]
    assert [(row.audio.start, row.audio.stop) for row in rows] == [(0.2, 1.4), (1.4, 2.5), (2.5, 3.5)]
    assert work.left_out("dev") == {"no words": [f"{list(work.rows('dev'))[0][:8]}_0003500_0004500"]}


def test_everything_unusable_is_named(recipes, tmp_path):
    corpus = broadcast_news.make(tmp_path / "corpus")
    transcripts = corpus / "LDC98T28/hub4e97_trans/transcrp"
    (corpus / "LDC98S71/h4e_97_d1/ea970801.sph").unlink()
    cut_file(corpus / "LDC98S71/h4e_97_d1/ed970804.sph", 1500)
    good = (transcripts / "ea970801.sgml").read_text()
    for number, text in enumerate((
        good.replace("good evening", "caf\xe9").encode("latin-1"),
        good.replace("endTime=4.500", "endTime=late"),
        good.replace("endTime=4.500 mode", "endTime=8.500 mode").replace("[noise]", "words"),
        "no episode at all",
    )):  # fmt: skip
        name = f"ne97090{number}"
        write_text(transcripts / f"{name}.sgml", text)
        write_audio(corpus / f"LDC98S71/h4e_97_d1/{name}.sph", 6.0, number, format="NIST", subtype="PCM_16")
    write_audio(corpus / "LDC98S71/h4e_97_d1/zz.sph", 1.0, format="NIST", subtype="PCM_16")
    work = recipes.data("broadcast_news", tmp_path, "--held_out", "0", "--max_failed", "0.9", BROADCAST_NEWS=corpus)
    found = {r: sorted(ids) for r, ids in work.left_out("train").items() if r != "no words"}
    assert found == {
        "missing audio": ["ea970801"],
        "unreadable audio": ["ed970804"],
        "malformed transcript": ["ne970901", "ne970903"],
        "segment past the end": ["ne970902_0003500_0008500"],
        "recording without transcript": ["zz"],
    }
    assert "uh café" in [row.text for row in work.rows("train").values()], "the first pressings are Latin-1"


def test_too_few_episodes_are_an_error(recipes, tmp_path):
    corpus = broadcast_news.make(tmp_path / "corpus")
    work = recipes.data("broadcast_news", tmp_path, BROADCAST_NEWS=corpus, check=False)
    assert work.status == 2 and "has 4 episodes, of which 6 each are to be dev and test" in work.output
