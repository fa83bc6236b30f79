"""What the page asks for: every task of every recipe can be asked with it."""

import pytest

from slm_espnet.api.instructions import Instructions
from slm_espnet.demo.forms import IN_WORDS, form_of, forms_of, task_label, text_fields, values_of
from slm_espnet.errors import UserError
from slm_espnet.tasks import load_tasks


def test_wordings_are_languages_pairs_of_them_or_what_is_asked(top):
    tasks = load_tasks(top / "egs2/mini/slm1/conf/tasks.yaml")
    assert form_of(tasks["asr"]).wordings == {"en": "English", "es": "Spanish"}
    assert form_of(tasks["ast"]).wordings == {"en_es": "English → Spanish", "es_en": "Spanish → English"}
    assert form_of(tasks["qa"]).wordings["second_person"] == "who is mentioned second"
    assert not form_of(tasks["dialog"]).has_choice
    assert task_label(tasks["dialog"]) == "dialog: answer the speaker"
    assert values_of(form_of(tasks["ast"]), "es_en", {"target": "de"}) == {"variant": "es_en"}
    assert values_of(form_of(tasks["dialog"]), None, {}) == {}
    assert values_of(forms_of(tasks)[IN_WORDS], "en", {"language": "en"}) == {}


def test_fields_are_those_of_the_wording(top):
    tasks = load_tasks(top / "conf/tasks/speech.yaml")
    forms = forms_of(tasks)
    given = {"language": "de", "source": "en", "target": "es", "question": " who   is it? "}
    assert values_of(forms["ast"], None, given) == {"source": "en", "target": "es"}
    assert values_of(forms["qa"], None, given) == {"question": "who is it?"}
    assert not forms["dialog"].has_choice, "its other wording is for a dialog, and taken by itself"
    assert text_fields(forms) == ["question"]
    assert values_of(forms["instruction"], None, given) == {"variant": "spoken"}, "the other is an instruction in words"
    with pytest.raises(UserError, match="fill in question:"):
        values_of(forms["qa"], None, {"question": " "})


def test_every_task_of_every_recipe_can_be_asked(top):
    count = 0
    for path in (*top.glob("conf/tasks/*.yaml"), *top.glob("egs2/*/slm1/conf/tasks*.yaml")):
        tasks = load_tasks(path)
        given = {name: f"some {name}" for name in text_fields(forms_of(tasks))}
        given |= {"language": "en", "source": "en", "target": "es"}
        for task in tasks.values():
            form = form_of(task)
            for variant in form.wordings:
                values = values_of(form, variant, given)
                asked = Instructions(tasks).resolve(task.name, **values)
                assert asked and all(given[name] in asked for name in text_fields({"": form}) if name in values), path
                count += 1
    assert count > 50
