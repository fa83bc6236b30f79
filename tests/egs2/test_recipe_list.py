"""egs2/README.md names every recipe, and none that is not there."""

import re

from corpus_harness import TOP


def test_every_recipe_is_listed_once_with_its_results():
    text = (TOP / "egs2" / "README.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| \[(\w+)\]\((\S+)\)(.*)$", text, re.MULTILINE)
    recipes = sorted(path.parent.name for path in (TOP / "egs2").glob("*/slm1") if path.parent.name != "TEMPLATE")
    assert sorted(name for name, _, _ in table) == recipes
    for name, link, rest in table:
        assert link == f"{name}/slm1/README.md" and (TOP / "egs2" / link).is_file()
        assert rest.count("|") == 7, f"{name}: a cell is missing"
        assert (f"({name}/slm1/RESULTS.md)" in rest) == (TOP / "egs2" / name / "slm1" / "RESULTS.md").is_file(), name
