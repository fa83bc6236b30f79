#!/usr/bin/env bash
# The table of README.md: each configuration with several seeds, then one page of means and deviations.
#
#   ./run_all.sh --seeds "1 2 3"
#
# Data, encodings, the two bounds and what is complete already are not done again.
set -euo pipefail
cd "$(dirname "$0")"

seeds="1 2 3"          # one training of each configuration for each
output=exp/RESULTS.md  # the page

. utils/parse_options.sh
. ./path.sh

experiments=()

# experiment TASKS CONFIG SEED: one adapter; also decoded on unknown names without the lists that hold them.
experiment() {
    local tag=$2_seed$3
    local settings=(--train_tasks "$1" --slm_config "conf/$2.yaml" --slm_tag "${tag}" --seed "$3")
    ./run.sh "${settings[@]}"
    ./run.sh "${settings[@]}" --stage 5 --test_sets test_names --biasing_dev_sets "" --baselines "" \
        --inference_tag no_lists --inference_args "--biasing none"
    experiments+=("exp/slm_${tag}")
}

for seed in ${seeds}; do
    experiment asr train_asr "${seed}"
    experiment "asr ast" train_asr_ast "${seed}"
    experiment asr train_linear "${seed}"
done
python3 -m slm_espnet.bin.compare "${experiments[@]}" --inference_tag decode --output "${output}"
