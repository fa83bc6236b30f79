#!/usr/bin/env bash
# Encoding, training and decoding at real size on one GPU: random weights of published sizes, nothing is downloaded.
#
#   benchmarks/gpu.sh                                   # 2 B, 3 B and 8 B language models behind a 0.6 B encoder, bfloat16
#   benchmarks/gpu.sh parakeet_gemma_2b                 # one of the pairs of benchmarks/pairs
#   DEVICE=cpu SIZE=1 benchmarks/gpu.sh tiny_t5         # a try of the script itself
#
# Prints tables for doc/PERFORMANCE.md, and goes on where one of the measurements fails. Status 1 if any did.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")" || exit

device=${DEVICE:-cuda}
size=${SIZE:-64} # utterances in a batch of decoding; the others follow
pairs=("$@")
[ $# -gt 0 ] || pairs=(parakeet_gemma_2b parakeet_flan_t5_xl parakeet_llama_8b)
status=0

measure() { # SCRIPT OPTIONS: one table under its command
    printf '\n## %s\n\n' "$*"
    python3 "$1.py" "${@:2}" --device "${device}" --threads "$(nproc)" ||
        { echo "failed with status $?: $*" >&2; status=1; }
}

measure encoding --pair "${pairs[0]}" --utterances $((16 * size)) --batch_size "${size}" --batch_seconds $((10 * size))
for pair in "${pairs[@]}"; do
    for claim in encoder_in_loop no_tricks memory floor; do
        measure training --pair "${pair}" --claim "${claim}" --utterances $((4 * size)) --budget $((256 * size))
    done
    measure decoding --pair "${pair}" --utterances "${size}" --batch_size "${size}" --seconds 12
done
exit "${status}"
