#!/usr/bin/env bash
# The tables of RESULTS.md: three configurations with several seeds, what each of our additions is worth alone and what
# other losses do to seen and unseen tasks (first seed), then one page of means and deviations.
#
#   ./run_all.sh --seeds "1 2 3" --jobs 2
#
# Data, encodings, the two bounds and what is complete already are not done again.
set -euo pipefail
cd "$(dirname "$0")"

seeds="1 2 3"          # one training of each configuration for each
output=exp/RESULTS.md  # the page
expdir=exp             # experiments
jobs=1                 # adapters at a time, after the first
run_opts=              # more options for run.sh, such as "--inference_nj 1"

. utils/parse_options.sh
. utils/end_children.sh
. ./path.sh

experiments=() # one line of settings each, quoted for the shell

# experiment NAME SEED TASKS CONFIG ARGUMENTS [OPTIONS]: one adapter.
experiment() {
    local settings=(--train_tasks "$3" --slm_config "conf/$4.yaml" --slm_args "$5" --slm_tag "$1_seed$2" --seed "$2")
    # shellcheck disable=SC2206  # several options
    settings+=(--expdir "${expdir}" --train_num_threads 1 ${run_opts} "${@:6}")
    experiments+=("$(printf '%q ' "${settings[@]}")")
    results+=("${expdir}/slm_$1_seed$2")
}
results=()

# recipe SETTINGS OPTIONS: run.sh with a line of settings.
recipe() {
    local settings
    eval "settings=($1)"
    shift
    run ./run.sh "${settings[@]}" "$@"
}

# adapter SETTINGS: trained, decoded and scored; also on unknown names without the lists that hold them.
adapter() {
    recipe "$1"
    recipe "$1" --stage 5 --test_sets test_names --biasing_dev_sets "" --baselines "" \
        --inference_tag no_lists --inference_args "--biasing none"
}

first=${seeds%% *}
for seed in ${seeds}; do
    experiment asr "${seed}" asr train_asr ""
    experiment asr_ast "${seed}" "asr ast" train_asr_ast ""
    experiment linear "${seed}" asr train_linear ""
done
experiment linear_ctc "${first}" asr train_linear \
    "--adapter_output_conf ctc_head=true --model_conf ctc_weight=1.0 --model_conf ctc_only_steps=1600"
experiment no_convolution "${first}" asr train_asr "--adapter_conf convolution=0"
experiment frames "${first}" asr train_asr "--adapter_output_conf collapse=false"
experiment mixture_ce "${first}" asr train_asr \
    "--adapter_output_conf collapse=false --model_conf ctc_weight=0.0 --model_conf ctc_only_steps=0"
# what keeps instruction following alive, with our output and with the paper's
self_targets=(--self_instructions conf/self_instructions.yaml)
experiment kl "${first}" asr train_kl ""
experiment ce_kl "${first}" asr train_ce_kl ""
experiment self_target "${first}" asr train_self_target "" "${self_targets[@]}"
experiment linear_kl "${first}" asr train_linear \
    "--model_conf ce_weight=0.0 --model_conf kl_weight=1.0 --model_conf kl_temperature=2.0"
experiment linear_self_target "${first}" asr train_linear "--max_epoch 15" "${self_targets[@]}"

# What several adapters share is made by one at a time: data, encodings, statistics, then the bounds.
for settings in "${experiments[@]}"; do recipe "${settings}" --stop_stage 3; done
adapter "${experiments[0]}"
for settings in "${experiments[@]:1}"; do
    while [ "$(jobs -rp | wc -l)" -ge "${jobs}" ]; do wait -n; done
    (. utils/end_children.sh && adapter "${settings}") &
done
while [ -n "$(jobs -rp)" ]; do wait -n; done
run python3 -m slm_espnet.bin.compare "${results[@]}" --inference_tag default --output "${output}" --html "${output%.md}.html"
