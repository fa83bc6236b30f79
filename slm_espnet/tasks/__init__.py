"""The tasks of a recipe, read from YAML: how each is asked for (prompt wordings) and how its answers are scored.

Wordings are data: training draws one of several paraphrases, evaluation always uses one fixed wording. The file reads

    include: ../../../../conf/tasks/speech.yaml     # tasks of other files, relative to this one (optional; or a list)
    languages: {de: german}                         # other names for language codes in wordings (optional)
    tasks:
      asr:
        scorer: wer                                 # a name in slm_espnet.scoring.metrics.SCORERS
        normalizer: {default: basic, en: english}   # before scoring; one name, or by language of the target
        prompts: {default: ["Recognize this speech in {language}", "Write down this {language} speech"]}
        eval_prompt: {default: "Recognize this speech in {language}"}

The keys under `prompts` are the task's variants: a language, a language pair such as en_es, a kind of question, or
`default`. A task that an included file has too takes the given keys and keeps the others. A target may have parts, as
a chain of thought has:

      asr_then_ast:
        parts:
          transcript: {marker: "Transcript:", scorer: wer, normalizer: basic}
          translation: {marker: "Translation:", scorer: bleu, normalizer: none}

which are written one after the other behind their markers, and scored one by one.
"""

from slm_espnet.tasks.load import load_tasks
from slm_espnet.tasks.task import DEFAULT_VARIANT, Part, Task

__all__ = ["DEFAULT_VARIANT", "Part", "Task", "load_tasks"]
