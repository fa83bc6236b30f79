"""A made-up AMI: <meeting>/audio/<meeting>.{Headset-N,Array1-01}.wav and the manual annotations 1.6.2 in NXT's XML."""

from __future__ import annotations

from pathlib import Path

from corpus_harness import write_audio, write_text

MEETINGS = {"train": "ES2002a", "dev": "ES2011a", "test": "ES2004a"}
SPEAKERS = {"A": "MEE00{n}", "B": "FEE00{n}"}
NITE = 'xmlns:nite="http://nite.sourceforge.net/"'
WORDS = (
    (("Okay", 0.5, 0.9), (".", 0.9, 0.9), ("Right", 1.0, 1.4)),
    (("Um", 2.0, 2.3), (",", 2.3, 2.3), ("well", 2.3, 2.6), ("this", 2.6, 2.8), ("is", 2.8, 3.0), ("it", 3.0, 3.3)),
)


def word(text: str, begin: float, end: float) -> str:
    punctuation = ' punc="true"' if not text.isalpha() else ""
    return f'<w nite:id="w" starttime="{begin}" endtime="{end}"{punctuation}>{text}</w>\n'


def make(folder: Path) -> Path:
    """One meeting of two speakers in each part."""
    annotations = folder / "ami_public_manual_1.6.2"
    header = '<?xml version="1.0" encoding="ISO-8859-1" standalone="yes"?>\n'
    entries = []
    for number, meeting in enumerate(MEETINGS.values()):
        write_audio(folder / meeting / "audio" / f"{meeting}.Array1-01.wav", 4.0, 5 * number)
        agents = ""
        for channel, (agent, name) in enumerate(SPEAKERS.items()):
            write_audio(folder / meeting / "audio" / f"{meeting}.Headset-{channel}.wav", 4.0, 5 * number + channel + 1)
            agents += f'<speaker channel="{channel}" nxt_agent="{agent}" global_name="{name.format(n=number)}"/>\n'
            segments, words = "", '<vocalsound nite:id="v" starttime="3.3" endtime="3.5" type="cough"/>\n'
            for group in WORDS:
                begin, end = group[0][1] - 0.1, group[-1][2] + 0.1
                segments += f'<segment transcriber_start="{begin}" transcriber_end="{end}"/>\n'
                words += "".join(word(*w) for w in group)
            for kind, content in (("segments", segments), ("words", words)):
                xml = f"{header}<nite:root {NITE}>\n{content}</nite:root>\n"
                write_text(annotations / kind / f"{meeting}.{agent}.{kind}.xml", xml)
        entries.append(f'<meeting observation="{meeting}">\n{agents}</meeting>\n')
    xml = f"{header}<nite:root {NITE}>\n{''.join(entries)}</nite:root>\n"
    write_text(annotations / "corpusResources/meetings.xml", xml)
    return folder
