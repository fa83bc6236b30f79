"""The sentence templates: topic, English, Spanish, the reply and what the speaker says next.

Slots are letters in braces (grammar.SLOTS); {KI} and {KL} in Spanish are noun and colour with agreement. A template
may say "a {I}" or "de {I}" where the Spanish noun has its article: contraction is applied afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Template:
    """One way to say one thing."""

    category: str  # the topic, one English word
    english: str
    spanish: str
    reply: str
    continuation: str
    is_request: bool = False  # whether "please" goes with it

    def needs(self, slot: str) -> bool:
        """Whether the English sentence has this slot."""
        return f"{{{slot}}}" in self.english


# category (with ! where "please" goes with it) | english | spanish | reply | continuation
_ROWS = """
travel | i want to fly from {O} to {C} on {D} | quiero volar de {O} a {C} el {D}
    | okay a flight to {C} on {D} | so i need a flight to {C}
travel! | book me {N} {V} tickets from {O} to {C} | resérvame {N} billetes de {V} de {O} a {C}
    | here are {N} {V} tickets to {C} | i want to leave {O} by {V}
travel | the {V} to {C} leaves at {T} on {D} | el {V} a {C} sale a {T} el {D}
    | then be there on {D} before {T} | i will take the {V} to {C}
travel | when does the {V} from {O} to {C} leave on {D} | cuándo sale el {V} de {O} a {C} el {D}
    | on {D} the {V} leaves {O} at noon | i want to be in {C} on {D}
travel | {P} missed the {V} to {C} | {P} perdió el {V} a {C}
    | {P} can take the next {V} to {C} | now {P} will arrive in {C} late
phone! | call {P} on {D} at {T} | llama a {P} el {D} a {T}
    | i will call {P} at {T} | i have to talk with {P} on {D}
phone! | can you phone {P} and {Q} | puedes telefonear a {P} y a {Q}
    | calling {P} first and then {Q} | i want to invite {P} and {Q}
phone | i would like to speak with {P} about the {I} | me gustaría hablar con {P} sobre {I}
    | connecting you with {P} | {P} has seen the {I}
phone | my {M} called from {C} at {T} | mi {M} llamó desde {C} a {T}
    | i will call your {M} back in {C} | my {M} is staying in {C}
message! | tell {P} that i will be {N} minutes late | dile a {P} que llegaré {N} minutos tarde
    | i told {P} about the {N} minutes | {P} has to wait for me
message! | send {P} a message about the trip to {C} | envía a {P} un mensaje sobre el viaje a {C}
    | the message about {C} was sent to {P} | {P} also wants to see {C}
message! | write to {P} that the {I} is {K} | escribe a {P} que {I} es de color {K}
    | i wrote that the {I} is {K} | {P} asked me about the {I}
message | {P} has not answered my letter since {D} | {P} no ha respondido a mi carta desde el {D}
    | maybe {P} was busy on {D} | i am waiting for an answer from {P}
restaurant! | book a table for {N} people at {T} | reserva una mesa para {N} personas a {T}
    | a table for {N} is booked at {T} | we will be hungry at {T}
restaurant | {P} would like some {F} and some {J} | {P} quisiera {F} y {J}
    | {F} and {J} for {P} coming soon | please bring the {F} to {P}
restaurant | we ordered {F} for {N} guests | pedimos {F} para {N} invitados
    | the {F} for {N} guests is coming | all {N} guests like {F}
restaurant | today i prefer {F} instead of {J} | hoy prefiero {F} en lugar de {J}
    | one portion of {F} without {J} | i do not like {J}
hotel | i need a room in {C} for {N} nights | necesito una habitación en {C} por {N} noches
    | a room for {N} nights is free in {C} | so i will stay {N} nights
hotel! | reserve a {H} hotel in {C} for {P} | reserva un hotel {H} en {C} para {P}
    | the {H} hotel in {C} is reserved | {P} likes {H} hotels
hotel | the hotel in {C} was {H} and we stayed {N} days | el hotel de {C} era {H} y nos quedamos {N} días
    | {N} days in {C} sound nice | we want to go back to {C}
shopping | how much does the {K} {I} cost | cuánto cuesta {KI}
    | the {K} {I} costs ten dollars | i want to buy the {K} {I}
shopping | {P} bought the {K} {I} for {N} dollars | {P} compró {KI} por {N} dólares
    | {N} dollars is a good price for the {I} | now the {K} {I} belongs to {P}
shopping | i am looking for the {K} {I} from {C} | estoy buscando {KI} de {C}
    | the {K} {I} is on the shelf | my {I} must be from {C}
shopping! | add {F} and {J} to the shopping list | añade {F} y {J} a la lista de la compra
    | {F} and {J} are on the list | we have run out of {F}
weather | what will the weather be like in {C} on {D} | qué tiempo hará en {C} el {D}
    | it will be sunny in {C} on {D} | i want to visit {C} on {D}
weather | will it {X} in {C} at {T} | va a {X} en {C} a {T}
    | it will not {X} in {C} | i will walk in {C} at {T}
weather | in {C} it was {W} on {D} | en {C} hizo {W} el {D}
    | {C} is often {W} | so on {D} we left {C}
reminder! | remind me to {A} on {D} | recuérdame {A} el {D}
    | i will remind you to {A} on {D} | i often forget to {A}
reminder! | wake me up at {T} on {D} | despiértame a {T} el {D}
    | the alarm is set for {T} on {D} | i have to get up on {D}
reminder! | do not forget to {A} at {T} | no olvides {A} a {T}
    | i will {A} at {T} | it is important to {A}
home! | {U} the lights in the {R} at {T} | {U} las luces de {R} a {T}
    | okay i will {U} the lights at {T} | i will be in the {R} at {T}
home | the {K} {I} is in the {R} | {KI} está en {R}
    | i will look for the {I} in the {R} | please bring me the {I}
home! | paint the {R} {K} in {E} | pinta {R} de color {K} en {E}
    | the {R} will be {K} in {E} | i like {K} rooms
home! | open the {B} of the {R} at {T} | abre {B} de {R} a {T}
    | the {B} will be open at {T} | we need fresh air in the {R}
music! | play some {G} music in the {R} | pon música {G} en {R}
    | playing {G} music in the {R} | i love {G} music
music | {P} plays the {S} in {C} on {D} | {P} toca {S} en {C} el {D}
    | i will listen to {P} on {D} | the concert in {C} is on {D}
music | who sings this {G} song from {C} | quién canta esta canción {G} de {C}
    | i have never heard this {G} song | i heard it in {C}
health | my {Y} has been hurting since {D} | me duele {Y} desde el {D}
    | a doctor should look at your {Y} | i need a doctor for my {Y}
health | i have an appointment with doctor {P} on {D} at {T} | tengo una cita con el doctor {P} el {D} a {T}
    | doctor {P} expects you at {T} | i will be at the hospital on {D}
health | my {M} has to take {N} pills at {T} | mi {M} tiene que tomar {N} pastillas a {T}
    | i will remind your {M} at {T} | the doctor gave my {M} the pills
story | {P} went to {C} with {Q} on {D} | {P} fue a {C} con {Q} el {D}
    | i hope {P} and {Q} liked {C} | {Q} came back from {C} tired
story | yesterday {P} and {Q} wanted to {A} | ayer {P} y {Q} querían {A}
    | did {P} really {A} | but {Q} had no time to {A}
story | my {M} saw a {K} {L} in {C} | mi {M} vio {KL} en {C}
    | i have never seen a {K} {L} | the {L} ran away from my {M}
story | in {E} {P} wants to {A} | en {E} {P} quiere {A}
    | so {P} has time in {E} | every day {P} talks about {E}
"""


def _parse(row: str) -> Template:
    category, english, spanish, reply, continuation = (part.strip() for part in row.split("|"))
    return Template(category.rstrip("!"), english, spanish, reply, continuation, category.endswith("!"))


TEMPLATES = tuple(_parse(row) for row in _ROWS.strip().replace("\n    |", " |").splitlines())
