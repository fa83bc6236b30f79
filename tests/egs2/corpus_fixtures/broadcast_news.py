"""A made-up HUB4 1997: LDC98S71/*.sph and LDC98T28/*.sgml, whose <time> tags are never closed."""

from __future__ import annotations

from pathlib import Path

from corpus_harness import write_audio, write_text

EPISODES = ("ea970801", "eb970802", "ec970803", "ed970804")
TRANSCRIPT = """<episode filename={name} program="CNN_Headline_News" language=English version=1>
<section type=filler startTime=0.000 endTime=4.500 id={name}.1>
<turn speaker=Peter_Jennings spkrtype=male dialect=native startTime=0.200 endTime=2.500 mode=planned channel=wide>
<time sec=0.200>
 from ^Washington, this is _C_N_N. {{breath
<time sec=1.400>
 %uh good evening --
</turn>
<turn speaker="spkr_1" spkrtype=female dialect=native startTime=2.500 endTime=4.500 mode=spontaneous channel=wide>
<overlap startTime=2.500 endTime=3.500>
<time sec=2.500>
 thanks [[pause]] @newsish
</overlap>
<time sec=3.500>
 [[noise]]
</turn>
</section>
<section type=nontrans startTime=4.500 endTime=5.900 id={name}.2>
</section>
</episode>
"""


def make(folder: Path) -> Path:
    """Four episodes."""
    for number, name in enumerate(EPISODES):
        audio = folder / f"LDC98S71/h4e_97_d1/{name}.sph"
        write_audio(audio, 6.0, number, format="NIST", subtype="PCM_16")
        text = TRANSCRIPT.format(name=name).replace("{breath", "{breath}").replace("[[", "[").replace("]]", "]")
        write_text(folder / f"LDC98T28/hub4e97_trans/transcrp/{name}.sgml", text)
    return folder
