"""Made-up corpora of text in their publishers' layouts: Alpaca, Schema-Guided Dialogue, SQuAD."""

from __future__ import annotations

import json
from pathlib import Path

from corpus_harness import write_text

ALPACA = [
    ("Give a synonym.", "big", "large"),
    ("Name three colors", "", "red,\ngreen,\nblue"),
    ("Correct the sentence", "he go home", "He goes home."),
    ("What is the capital of France?", "<noinput>", "Paris"),
    ("Say it shorter:", "a very long day", "a long day"),
    ("Count to two.", "", "One, two."),
    ("Classify the animal", "dog", "mammal"),
    ("Finish the line", 'so "quoted"\tis this', "it ends"),
    ("Give a synonym", "small", "little"),
]

SERVICE = {
    "service_name": "Restaurants_2",
    "description": "Find places to eat",
    "slots": [
        {"name": "city", "description": "City of the restaurant", "is_categorical": False, "possible_values": []},
        {"name": "seats", "description": "Number of seats", "is_categorical": True, "possible_values": ["1", "2"]},
    ],
    "intents": [
        {"name": "ReserveRestaurant", "description": "Reserve a table", "is_transactional": True,
         "required_slots": ["city"], "optional_slots": {"seats": "2"}, "result_slots": ["city"]},
    ],
}  # fmt: skip

PASSAGE = "The cat sat on the mat. It was grey."


def alpaca(folder: Path, records=None) -> Path:
    """A folder with alpaca_data.json."""
    if records is None:
        records = [dict(zip(("instruction", "input", "output"), values, strict=True)) for values in ALPACA]
    write_text(folder / "alpaca_data.json", json.dumps(records, ensure_ascii=False, indent=4))
    return folder


def user(words: str, slots: dict, service: str = "Restaurants_2") -> dict:
    """A turn of the user."""
    state = {"active_intent": "ReserveRestaurant", "requested_slots": [], "slot_values": slots}
    frame = {"actions": [], "service": service, "slots": [], "state": state}
    return {"frames": [frame], "speaker": "USER", "utterance": words}


def system(words: str, service: str = "Restaurants_2") -> dict:
    """A turn of the system."""
    return {"frames": [{"actions": [], "service": service, "slots": []}], "speaker": "SYSTEM", "utterance": words}


def dialogue(name: str) -> dict:
    """A dialogue of two exchanges."""
    turns = [
        user("a table for 2 please", {"seats": ["2"]}),
        system("In which city?"),
        user("in San Jose", {"seats": ["2"], "city": ["San Jose", "SJ"]}),
        system("I have reserved it."),
    ]
    return {"dialogue_id": name, "services": ["Restaurants_2"], "turns": turns}


def sgd(folder: Path, dialogues: int = 3) -> Path:
    """train, dev and test of Schema-Guided Dialogue."""
    for split in ("train", "dev", "test"):
        write_text(folder / split / "schema.json", json.dumps([SERVICE]))
        found = [dialogue(f"1_{number:05d}") for number in range(dialogues)]
        write_text(folder / split / "dialogues_001.json", json.dumps(found))
    return folder


def question(name: str, text: str = "Where did the cat sit?", answers=("on the mat", "the mat", "the mat")) -> dict:
    """A question of SQuAD."""
    found = [{"answer_start": PASSAGE.find(answer), "text": answer} for answer in answers]
    return {"answers": found, "question": text, "id": name}


def article(title: str, questions: list[dict], passage: str = PASSAGE) -> dict:
    """An article with one passage."""
    return {"title": title, "paragraphs": [{"context": passage, "qas": questions}]}


def squad(folder: Path, train=None, dev=None) -> Path:
    """train-v1.1.json and dev-v1.1.json."""
    if train is None:
        passages = [f"{PASSAGE} Number {a}." for a in range(6)]
        train = [article(f"Article_{a}", [question(f"{a}-{q}") for q in range(2)], p) for a, p in enumerate(passages)]
    if dev is None:
        dev = [article("Other", [question("t-0"), question("t-1", "What colour is it?", ("grey", "grey", "gray"))])]
    for name, articles in (("train", train), ("dev", dev)):
        write_text(folder / f"{name}-v1.1.json", json.dumps({"data": articles, "version": "1.1"}))
    return folder
