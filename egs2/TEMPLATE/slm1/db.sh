#!/usr/bin/env bash
# To be sourced by local/data.sh: where corpora are. Edit a line, or set it from outside (AN4=/corpora/an4 ./run.sh).
# `downloads` is a folder in the recipe that its data preparation may fill; an empty value has to be set by you.
export AN4=${AN4:-downloads}
export LIBRISPEECH=${LIBRISPEECH:-}
export MUST_C=${MUST_C:-}
export COVOST2=${COVOST2:-}
