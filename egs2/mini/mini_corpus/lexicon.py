"""Words of the miniature grammar: one Spanish phrase for each English one, and the other way round.

Every table maps English to Spanish one to one, so that a translation is a function of the words in both directions.
Nouns carry their article where the sentence needs one; Spanish adjectives that agree are (masculine, feminine).
"""

from __future__ import annotations

import random

COMMON_NAMES = tuple(
    """james mary robert patricia john jennifer michael linda david elizabeth william barbara richard susan joseph
    jessica thomas sarah karen christopher nancy daniel lisa matthew betty anthony margaret mark sandra donald
    ashley steven kimberly paul emily andrew donna joshua michelle kenneth carol kevin amanda brian melissa
    george deborah timothy arthur rebecca edward sharon jeffrey laura ryan cynthia jacob kathleen gary amy
    nicholas angela eric shirley jonathan anna martin brenda larry pamela justin emma scott nicole brandon helen
    benjamin samantha samuel katherine gregory christine frank rachel raymond carolyn alexander janet patrick
    maria jack heather dennis diane jerry olivia tyler julie aaron victoria""".split()
)

RARE_NAMES = tuple(
    """abigail adrian agatha albert beatrice bernard camilla clarence clifford cordelia dominic dorothy edmund
    eleanor ernest felicity fernando fiona frederick gabriel gertrude gilbert gloria harriet harold hector
    ingrid isabel jasmine leonard lorenzo lucinda magnus marcus matilda miranda natalie oscar penelope philip
    priscilla quentin rosalind roxanne rupert sebastian sylvia theodore valerie vincent walter winston yolanda
    zachary""".split()
)

CITIES = {
    "london": "londres", "paris": "parís", "berlin": "berlín", "madrid": "madrid", "rome": "roma", "vienna": "viena",
    "boston": "boston", "chicago": "chicago", "moscow": "moscú", "tokyo": "tokio", "lisbon": "lisboa",
    "dublin": "dublín", "geneva": "ginebra", "munich": "múnich", "athens": "atenas", "sydney": "sídney",
    "toronto": "toronto", "denver": "denver", "miami": "miami", "houston": "houston", "prague": "praga",
    "warsaw": "varsovia", "oslo": "oslo", "milan": "milán", "venice": "venecia", "florence": "florencia",
    "edinburgh": "edimburgo", "delhi": "delhi", "dallas": "dallas", "brussels": "bruselas", "budapest": "budapest",
    "hamburg": "hamburgo", "seville": "sevilla", "stockholm": "estocolmo", "istanbul": "estambul",
    "singapore": "singapur",
}  # fmt: skip

NUMBERS = {
    "two": "dos", "three": "tres", "four": "cuatro", "five": "cinco", "six": "seis", "seven": "siete", "eight": "ocho",
    "nine": "nueve", "ten": "diez", "eleven": "once", "twelve": "doce", "fifteen": "quince", "twenty": "veinte",
    "thirty": "treinta", "forty": "cuarenta", "fifty": "cincuenta",
}  # fmt: skip

HOURS = {english: NUMBERS[english] for english in list(NUMBERS)[:11]}

TIMES = {
    phrase.format(hour): spoken.format(word)
    for hour, word in HOURS.items()
    for phrase, spoken in (
        ("{} o'clock", "las {}"),
        ("half past {}", "las {} y media"),
        ("a quarter past {}", "las {} y cuarto"),
        ("a quarter to {}", "las {} menos cuarto"),
    )
}

DAYS = {
    "monday": "lunes", "tuesday": "martes", "wednesday": "miércoles", "thursday": "jueves", "friday": "viernes",
    "saturday": "sábado", "sunday": "domingo",
}  # fmt: skip

MONTHS = {
    "january": "enero", "february": "febrero", "march": "marzo", "april": "abril", "june": "junio", "july": "julio",
    "august": "agosto", "september": "septiembre", "october": "octubre", "november": "noviembre",
    "december": "diciembre",
}  # fmt: skip

OBJECTS = {
    "jacket": "la chaqueta", "hat": "el sombrero", "dress": "el vestido", "shirt": "la camisa", "lamp": "la lámpara",
    "table": "la mesa", "chair": "la silla", "car": "el coche", "bicycle": "la bicicleta", "watch": "el reloj",
    "umbrella": "el paraguas", "suitcase": "la maleta", "wallet": "la cartera", "camera": "la cámara",
    "mirror": "el espejo", "pencil": "el lápiz", "sweater": "el suéter", "blanket": "la manta", "basket": "la cesta",
    "carpet": "la alfombra", "scarf": "la bufanda", "tie": "la corbata", "pillow": "la almohada", "vase": "el jarrón",
    "bottle": "la botella", "box": "la caja", "radio": "la radio", "ring": "el anillo", "belt": "el cinturón",
    "notebook": "el cuaderno",
}  # fmt: skip

COLORS = {
    "red": ("rojo", "roja"), "white": ("blanco", "blanca"), "black": ("negro", "negra"),
    "yellow": ("amarillo", "amarilla"), "green": ("verde", "verde"), "blue": ("azul", "azul"),
    "brown": ("marrón", "marrón"), "purple": ("morado", "morada"), "pink": ("rosa", "rosa"), "gray": ("gris", "gris"),
}  # fmt: skip

ROOMS = {
    "kitchen": "la cocina", "bedroom": "el dormitorio", "bathroom": "el baño", "garage": "el garaje",
    "garden": "el jardín", "living room": "el salón", "office": "la oficina", "hallway": "el pasillo",
    "basement": "el sótano", "library": "la biblioteca", "attic": "el desván",
}  # fmt: skip

OPENINGS = {"door": "la puerta", "window": "la ventana", "curtain": "la cortina", "gate": "la verja"}

TASKS = {
    "water the plants": "regar las plantas", "feed the dog": "alimentar al perro",
    "wash the dishes": "lavar los platos", "buy some milk": "comprar leche", "pay the rent": "pagar el alquiler",
    "clean the windows": "limpiar las ventanas", "take the medicine": "tomar la medicina",
    "visit the dentist": "visitar al dentista", "read the newspaper": "leer el periódico",
    "pick up the children": "recoger a los niños", "write a letter": "escribir una carta",
    "do the homework": "hacer los deberes", "cook dinner": "cocinar la cena", "fix the roof": "arreglar el techo",
    "return the books": "devolver los libros", "go to the bank": "ir al banco",
    "iron the shirts": "planchar las camisas", "sell the old computer": "vender el ordenador viejo",
    "learn english": "aprender inglés", "paint the fence": "pintar la valla", "bake a cake": "hornear un pastel",
    "sign the contract": "firmar el contrato", "charge the phone": "cargar el teléfono",
    "make the bed": "hacer la cama", "empty the dishwasher": "vaciar el lavavajillas",
    "ride the horse": "montar a caballo", "swim in the lake": "nadar en el lago",
    "finish the report": "terminar el informe", "move the furniture": "mover los muebles",
    "cut the grass": "cortar la hierba", "wrap the presents": "envolver los regalos",
    "look for the keys": "buscar las llaves",
}  # fmt: skip

GENRES = {
    "jazz": "de jazz", "rock": "de rock", "classical": "clásica", "dance": "de baile", "folk": "folclórica",
    "blues": "de blues", "pop": "de pop", "opera": "de ópera", "electronic": "electrónica", "romantic": "romántica",
}  # fmt: skip

INSTRUMENTS = {
    "piano": "el piano", "guitar": "la guitarra", "violin": "el violín", "trumpet": "la trompeta", "flute": "la flauta",
    "cello": "el violonchelo", "harp": "el arpa", "drums": "la batería", "saxophone": "el saxofón",
}  # fmt: skip

FOODS = {
    "chicken soup": "sopa de pollo", "fried rice": "arroz frito", "apple pie": "tarta de manzana",
    "fresh bread": "pan fresco", "orange juice": "zumo de naranja", "black coffee": "café solo",
    "green tea": "té verde", "grilled fish": "pescado a la parrilla", "potato salad": "ensalada de patata",
    "tomato sauce": "salsa de tomate", "chocolate cake": "pastel de chocolate", "roast beef": "carne asada",
    "cold water": "agua fría", "lemon ice cream": "helado de limón", "mushroom pizza": "pizza de champiñones",
    "cheese": "queso", "scrambled eggs": "huevos revueltos", "vegetable curry": "curry de verduras", "honey": "miel",
    "smoked salmon": "salmón ahumado", "onion rings": "aros de cebolla", "strawberry yogurt": "yogur de fresa",
    "spicy noodles": "fideos picantes", "peanut butter": "mantequilla de cacahuete",
}  # fmt: skip

VEHICLES = {"train": "tren", "bus": "autobús", "plane": "avión", "ferry": "ferry", "taxi": "taxi"}

HOTEL_KINDS = {
    "quiet": "tranquilo", "cheap": "barato", "small": "pequeño", "modern": "moderno", "clean": "limpio",
    "big": "grande", "beautiful": "bonito", "fancy": "elegante", "famous": "famoso", "comfortable": "cómodo",
}  # fmt: skip

RELATIVES = {
    "brother": "hermano", "sister": "hermana", "mother": "madre", "father": "padre", "uncle": "tío", "aunt": "tía",
    "grandmother": "abuela", "grandfather": "abuelo", "neighbor": "vecino", "cousin": "primo", "boss": "jefe",
    "teacher": "profesor", "friend": "amigo", "daughter": "hija", "husband": "marido", "nephew": "sobrino",
}  # fmt: skip

ANIMALS = {
    "horse": "caballo", "cat": "gato", "dog": "perro", "bird": "pájaro", "rabbit": "conejo", "snake": "serpiente",
    "cow": "vaca", "turtle": "tortuga", "duck": "pato", "mouse": "ratón",
}  # fmt: skip
FEMININE_ANIMALS = frozenset({"snake", "cow", "turtle"})

BODY_PARTS = {
    "head": "la cabeza", "back": "la espalda", "knee": "la rodilla", "shoulder": "el hombro", "foot": "el pie",
    "hand": "la mano", "stomach": "el estómago", "neck": "el cuello", "ear": "el oído", "elbow": "el codo",
    "arm": "el brazo", "leg": "la pierna", "finger": "el dedo",
}  # fmt: skip

CLIMATES = {"cold": "frío", "hot": "calor", "windy": "viento", "sunny": "sol", "cool": "fresco"}

RAINS = {"rain": "llover", "snow": "nevar", "hail": "granizar"}

SWITCHES = {"turn on": "enciende", "turn off": "apaga"}

# what may stand around a sentence; the REQUEST ones only around a request
OPENERS = {
    "hello": "hola", "excuse me": "disculpe", "okay": "vale", "good morning": "buenos días",
    "good evening": "buenas noches", "hey": "oye", "listen": "escucha", "well": "bueno", "by the way": "por cierto",
    "dear friend": "querido amigo",
}  # fmt: skip
REQUEST_OPENERS = {"please": "por favor"}
CLOSERS = {
    "thank you": "gracias", "as usual": "como siempre", "my friend": "amigo mío", "and that is all": "y eso es todo",
}  # fmt: skip
REQUEST_CLOSERS = {"please": "por favor", "if possible": "si es posible", "as soon as possible": "lo antes posible"}


class NameModel:
    """Names that nobody has: letters drawn from a trigram model of given names (4 to 9 letters)."""

    def __init__(self, names: tuple[str, ...], forbidden: frozenset[str]) -> None:
        self._next: dict[str, list[str]] = {}
        self._forbidden = forbidden | frozenset(names)
        for name in names:
            padded = f"^^{name}$"
            for i in range(2, len(padded)):
                self._next.setdefault(padded[i - 2 : i], []).append(padded[i])

    def sample(self, rng: random.Random) -> str:
        """One lower-case name that is neither a known name nor a word of the grammar."""
        while True:
            letters = "^^"
            while not letters.endswith("$"):
                letters += rng.choice(self._next[letters[-2:]])
            name = letters[2:-1]
            if 4 <= len(name) <= 9 and name not in self._forbidden:
                return name
