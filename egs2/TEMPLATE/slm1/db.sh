#!/usr/bin/env bash
# To be sourced by local/data.sh: where corpora are. Edit a line, or set it from outside (AN4=/corpora/an4 ./run.sh).
# `downloads` is a folder in the recipe that its data preparation may fill; an empty value has to be set by you.
export ALPACA=${ALPACA:-}              # folder with alpaca_data.json
export AMI=${AMI:-}
export AN4=${AN4:-downloads}
export BROADCAST_NEWS=${BROADCAST_NEWS:-}
export COMMONVOICE4=${COMMONVOICE4:-}    # its release 4, for CoVoST 2
export COMMONVOICE=${COMMONVOICE:-}
export COVOST2=${COVOST2:-}
export EVAL2000=${EVAL2000:-}
export FISHER=${FISHER:-}
export FLEURS=${FLEURS:-}
export GIGASPEECH=${GIGASPEECH:-}
export LIBRISPEECH=${LIBRISPEECH:-}
export LIBRISPEECH_BIASING=${LIBRISPEECH_BIASING:-}  # is21_deep_bias, optional
export MLS=${MLS:-}
export OWN_DATA=${OWN_DATA:-}          # folder of recordings with a table
export SGD=${SGD:-}                    # dstc8-schema-guided-dialogue: folder with train, dev, test
export SQUAD=${SQUAD:-}                # folder with train-v1.1.json, dev-v1.1.json
export SWITCHBOARD=${SWITCHBOARD:-}
export TEDLIUM3=${TEDLIUM3:-}
export VOXPOPULI=${VOXPOPULI:-}
export WSJ0=${WSJ0:-}
export WSJ1=${WSJ1:-}
export YOUTUBE=${YOUTUBE:-}            # folder of recordings with .vtt or .srt captions

# What speaks in corpora that are made of text: empty is espeak-ng; or a program, in which {text} (without it the text
# comes on standard input), {output}, {voice} and {language} are replaced, as in "piper --model en.onnx --output_file {output}".
export TTS_COMMAND=${TTS_COMMAND:-}
