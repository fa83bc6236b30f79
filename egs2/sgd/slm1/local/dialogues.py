"""Schema-Guided Dialogue in its publisher's layout: `<split>/schema.json` and `<split>/dialogues_*.json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slm_espnet.data.json_files import JsonRecord, read_json_list
from slm_espnet.data.table import Problem
from slm_espnet.errors import UserError
from slm_espnet.scoring.dialog_state import ServiceState, Slot

SCHEMA_FORMS = ("full", "names", "none")


@dataclass(frozen=True)
class Service:
    """One service of a schema."""

    name: str
    description: str
    slots: Mapping[str, tuple[str, tuple[str, ...]]]  # name → description, closed list of values (or none)
    intents: Mapping[str, str]  # name → description

    def described(self, form: str, with_slots: bool) -> str:
        """The service in a prompt: with descriptions (full) or names alone; slots are for state tracking."""
        full = form == "full"
        intents = [f"{name} ({text})" if full and text else name for name, text in self.intents.items()]
        text = f"{self.name}{f' ({self.description})' if full and self.description else ''}, intents: "
        text += ", ".join(intents)
        if with_slots:
            slots = []
            for name, (description, values) in self.slots.items():
                notes = ([description] if full and description else []) + ([" or ".join(values)] if values else [])
                slots.append(f"{name} ({': '.join(notes)})" if notes else name)
            text += f"; slots: {', '.join(slots)}"
        return f"{text}."


@dataclass(frozen=True)
class Turn:
    """One turn of a dialogue."""

    by_user: bool
    words: str
    states: Mapping[str, ServiceState] = field(default_factory=dict)  # of the user's turns, by service


@dataclass(frozen=True)
class Dialogue:
    """One dialogue."""

    where: str
    name: str
    services: tuple[str, ...]
    turns: tuple[Turn, ...]


def read_schema(path: Path) -> dict[str, Service]:
    """Services by name.

    Raises:
        UserError: missing or broken; a service that is not right is named.
    """
    services = {}
    for record in read_json_list(path):
        if isinstance(record, Problem):
            raise record.error()
        try:
            service = _service(record.values)
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{record.where}: not a service of a schema ({_missing(error)}); copy it again") from error
        services[service.name] = service
    return services


def read_dialogues(folder: Path, schema: Mapping[str, Service]) -> Iterator[Dialogue | Problem]:
    """Dialogues of a split in the order of its files; one that is not right becomes a problem.

    Raises:
        UserError: there is no file, or a file is not JSON.
    """
    files = sorted(folder.glob("dialogues_*.json"))
    if not files:
        raise UserError(f"{folder}: no dialogues_*.json; is SGD= in db.sh the folder with train, dev and test?")
    for path in files:
        for record in read_json_list(path):
            yield record if isinstance(record, Problem) else _dialogue(record, schema)


def _service(values: Mapping[str, Any]) -> Service:
    slots = {}
    for slot in values["slots"]:
        closed = tuple(map(str, slot.get("possible_values", ()))) if slot.get("is_categorical") else ()
        slots[slot["name"]] = (slot.get("description", ""), closed)
    intents = {intent["name"]: intent.get("description", "") for intent in values["intents"]}
    return Service(values["service_name"], values.get("description", ""), slots, intents)


def _dialogue(record: JsonRecord, schema: Mapping[str, Service]) -> Dialogue | Problem:
    values = record.values
    try:
        name, services = values["dialogue_id"], tuple(values["services"])
        unknown = [service for service in services if service not in schema]
        if unknown:
            message = f"dialogue {name}: service {unknown[0]} is not in schema.json; take both from one release"
            return Problem("service without schema", record.where, message)
        turns = tuple(_turn(turn, schema) for turn in values["turns"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        message = f"dialogue {values.get('dialogue_id', '?')}: {_missing(error)}; copy the file again"
        return Problem("malformed dialogue", record.where, message)
    return Dialogue(record.where, str(name), services, turns)


def _turn(values: Mapping[str, Any], schema: Mapping[str, Service]) -> Turn:
    speaker, words = values["speaker"], values["utterance"]
    if speaker not in ("USER", "SYSTEM") or not isinstance(words, str):
        raise ValueError(f"a turn by {speaker!r}, expected USER or SYSTEM and their words")
    states = {}
    for frame in values["frames"] if speaker == "USER" else ():
        service = schema[frame["service"]]
        slots = {
            name: Slot(tuple(map(str, right)), exact=bool(service.slots[name][1]))
            for name, right in frame["state"]["slot_values"].items()
            if right
        }
        states[service.name] = ServiceState(frame["state"]["active_intent"], slots)
    return Turn(speaker == "USER", words, states)


def _missing(error: Exception) -> str:
    return f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
