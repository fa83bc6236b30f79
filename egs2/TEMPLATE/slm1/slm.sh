#!/usr/bin/env bash
# From a corpus to a trained adapter and its table of results.
#
# Stages: 1 data preparation (local/data.sh)   2 encoding by the frozen speech encoder   3 statistics
#         4 training of the adapter            5 decoding                                6 scoring
#         7 packing                            8 upload to the Hugging Face Hub
# A stage that is complete is not done again; one that was interrupted goes on where it stopped. README.md beside this
# script explains the options.
# shellcheck source-path=SCRIPTDIR disable=SC2046,SC2086  # names of sets and options are split at blanks
set -euo pipefail

# General
stage=1               # first stage
stop_stage=           # last stage; empty: 6, or 8 with --hf_repo, and never before --stage
skip_stages=          # stages to leave out, "3 4"
skip_data_prep=false  # leave out stages 1 and 2
skip_train=false      # leave out stages 3 and 4, and do not encode the training sets
skip_eval=false       # leave out stages 5 and 6, and do not encode the test sets
overwrite=false       # do the chosen stages again from nothing, even where they are complete
max_failed=0.01       # largest share of utterances that a stage may leave out
nj=2                  # jobs of stage 2
inference_nj=2        # jobs of stage 5
ngpu=0                # GPUs for training, on each node; more than 0: encoding uses one per job, too
num_nodes=1           # nodes for training
num_procs=1           # processes of a training without GPUs, on each node: for tests and CPU clusters
gpu_inference=false   # decode on GPUs
decode_ngpu=1         # GPUs of each decoding job; more than 1 where the LLM does not fit on one
num_threads=1         # CPU threads of each job
train_num_threads=    # CPU threads of each process of stage 4; empty: as num_threads
python=python3        # Python interpreter

# Data
datadir=data          # Kaldi data directories
dumpdir=dump          # encodings
expdir=exp            # trained adapters, decodings, results
train_set=            # names of the training sets, "train_a train_b"; mixed as mixing_conf in slm_config says
valid_set=            # names of the validation sets
test_sets=            # names of the test sets, "test_clean test_noisy"
local_data_opts=      # more options for local/data.sh, which is given --datadir and --dumpdir
audio_check=header    # how far stage 1 looks at recordings: none, header, full
tasks_config=conf/tasks.yaml  # wordings and scorers of the tasks
train_tasks=          # tasks to train on, "asr ast"; empty: all in the training set
self_instructions=    # YAML of instructions: the language model's own answers to them are trained on, too
eval_tasks=           # tasks to decode and score; empty: all in the test sets

# Model
foundation=           # YAML of the frozen pair: speech encoder, length reduction, language model, prompt
encode_args=          # more options for stage 2, such as "--batch_seconds 200"
stats_args=           # more options for stage 3, such as "--max_frames 1000"
slm_config=conf/train.yaml  # YAML of the training
slm_args=             # more options for the training, such as "--max_epoch 3"
slm_tag=              # name of the experiment; empty: made of foundation, configuration, arguments and seed
seed=1                # seed of the training
download_model=       # a trained adapter in place of stages 3 and 4: a directory, or a Hub name (name@revision)

# Decoding
inference_config=     # YAML of the decoding; empty: the defaults of the command
inference_args=       # more options for the decoding, such as "--beam_size 4"
inference_tag=        # name of the decoding; empty: made of configuration and arguments
inference_model=valid.loss.ave.pth  # which weights of the training are used
baselines="ctc transcript"  # what the frozen LLM also answers alone: the encoder's transcript, the true one
biasing_dev_sets=     # sets on which the threshold of contextual biasing is tuned before decoding
score_args=           # more options for stage 6, such as "--report false"
biasing_list=         # file with a list of phrases for all utterances, in place of the sets' own lists

# Sharing
pack_foundations=false  # also pack the two frozen models
pack_args=            # more options for stage 7, such as "--license apache-2.0 --datasets user/corpus"
hf_repo=              # where stage 8 uploads to, "user/name" on the Hugging Face Hub; empty: nowhere
hf_private=           # true or false: who sees a repository that stage 8 makes; empty: everyone

INVOCATION=$(printf '%q ' "$0" "$@") # upper case: no option
. utils/parse_options.sh
. utils/end_children.sh
. ./path.sh
. ./cmd.sh

# shellcheck source=functions.sh
. "$(dirname "$(readlink -f "$0")")/functions.sh"

[ $# -eq 0 ] || fail "unexpected argument '$1' (options begin with --; --help lists them)"
[ -n "${foundation}" ] || fail "--foundation is needed: a YAML such as conf/foundation/mini.yaml"
[ -f "${foundation}" ] || fail "${foundation}: no such file (--foundation)"
[ -n "${train_set}${download_model}" ] || ${skip_train} || fail "--train_set is needed (or --skip_train true)"
[ -n "${valid_set}${download_model}" ] || ${skip_train} || fail "--valid_set is needed (or --skip_train true)"
[ -n "${test_sets}" ] || ${skip_eval} || fail "--test_sets is needed (or --skip_eval true)"
[ -f "${inference_config:-${foundation}}" ] || fail "${inference_config}: no such file (--inference_config)"
[[ ${decode_ngpu} =~ ^[1-9][0-9]*$ ]] || fail "--decode_ngpu takes a number of GPUs, at least 1, not '${decode_ngpu}'"
[ "${decode_ngpu}" = 1 ] || ${gpu_inference} || fail "--decode_ngpu ${decode_ngpu} needs --gpu_inference true"
for kind in ${baselines}; do
    [[ ${kind} =~ ^(ctc|transcript)$ ]] || fail "--baselines takes ctc and transcript, not '${kind}'"
done

foundation_tag=$(basename "${foundation%.*}")
config_tag=$(basename "${slm_config%.*}")
if [ -z "${slm_tag}" ]; then
    slm_tag="${foundation_tag}_${config_tag}${slm_args:+_$(sanitize "${slm_args}")}"
    slm_tag+="${train_tasks:+_$(sanitize "${train_tasks}")}${self_instructions:+_self}_seed${seed}"
    [ -z "${download_model}" ] || slm_tag=$(sanitize "$(basename "${download_model}")")
fi
if [ -z "${inference_tag}" ]; then
    inference_tag=$(basename "${inference_config:-default}" .yaml | sed -e 's/^decode_\?//' -e 's/^$/default/')
    inference_tag+=${inference_args:+_$(sanitize "${inference_args}")}${eval_tasks:+_$(sanitize "${eval_tasks}")}
fi
encodings="${dumpdir}/encodings/${foundation_tag}"
stats="${expdir}/slm_stats_${foundation_tag}${train_tasks:+_$(sanitize "${train_tasks}")}"
slm_exp="${expdir}/slm_${slm_tag}"
baseline_exp="${expdir}/baseline_${foundation_tag}"
model_dir="${slm_exp}"

train_sets=$(words "${train_set} ${valid_set}")
if ${skip_train} || [ -n "${download_model}" ]; then train_sets=; fi
eval_sets=$(words "${test_sets} ${biasing_dev_sets}")
if ${skip_eval}; then eval_sets=; fi
sets=$(words "${train_sets} ${eval_sets}")
self_sets= # the training sets whose targets are the language model's own answers
[ -z "${self_instructions}" ] || [ -z "${train_sets}" ] || self_sets=$(words "${train_set}" | sed 's/[^ ]\+/&_self/g')
decode_gpu=$(${gpu_inference} && echo "${decode_ngpu}" || echo 0)
${skip_data_prep} && skip_stages+=" 1 2"
if ${skip_train} || [ -n "${download_model}" ]; then skip_stages+=" 3 4"; fi
${skip_eval} && skip_stages+=" 5 6"
: "${train_num_threads:=${num_threads}}"
: "${stop_stage:=$([ -n "${hf_repo}" ] && echo 8 || echo $((stage > 6 ? stage : 6)))}"

[ -z "${download_model}" ] || answer model_dir ${python} -m slm_espnet.bin.download --model "${download_model}"

if begin 1 "data preparation"; then
    [ -x local/data.sh ] || fail "local/data.sh is missing or not executable: it prepares ${datadir}/<set>"
    settings=$(made_of)
    prepared="${datadir}/.prepared"
    renew "${prepared}" "$(sed '/^--dumpdir /d' <<<"${settings}")" "${settings}" # made before it was noted
    if unchanged "${prepared}" "${datadir}" "${settings}"; then
        log "${datadir} is complete (--overwrite true prepares it again)"
    else
        alone "${datadir}"
        rm -f "${datadir}/.checked" "${prepared}"
        run local/data.sh --datadir "${datadir}" --dumpdir "${dumpdir}" ${local_data_opts}
        settings=$(made_of) # it may have filled a folder of downloads
        mark_done "${prepared}" "${settings}"
    fi
    checked_with="sets ${sets}, --audio_check ${audio_check}, --max_failed ${max_failed}"
    settings="${checked_with}"$'\n'"$(tables_of ${sets})"
    if ! unchanged "${datadir}/.checked" "the check of ${datadir}" "${settings}"; then
        run ${python} -m slm_espnet.bin.check_data --fix true --max_failed "${max_failed}" --audio "${audio_check}" \
            $(paths "${datadir}" ${sets})
        mark_done "${datadir}/.checked" "${checked_with}"$'\n'"$(tables_of ${sets})" # which it may have mended
    fi
    for name in ${self_sets}; do
        array "${datadir}/${name}/log" "${inference_nj}" --gpu "${decode_gpu}" -- \
            ${python} -m slm_espnet.bin.self_target --foundation "${foundation}" --ngpu "${decode_gpu}" \
            --instructions "${self_instructions}" --tasks_config "${tasks_config}" --num_threads "${num_threads}" \
            --data_dir "${datadir}/${name%_self}" --output_dir "${datadir}/${name}" --when_changed remake
    done
    end 1
fi
train_set+=${self_sets:+ ${self_sets}}
sets+=" ${self_sets}"

if begin 2 "encoding by the frozen speech encoder"; then
    encoded=$(words "$(heard_in ${sets})")
    for set in ${sets}; do [ ! -L "${encodings}/${set}" ] || rm "${encodings}/${set}"; done # it may have its own now
    array "${encodings}/log" "${nj}" --gpu "$((ngpu > 0))" -- \
        ${python} -m slm_espnet.bin.encode --foundation "${foundation}" --ngpu "$((ngpu > 0))" \
        --num_threads "${num_threads}" --max_failed "${max_failed}" \
        --data_dir $(paths "${datadir}" ${encoded}) --output_dir $(paths "${encodings}" ${encoded}) ${encode_args}
    for set in ${sets}; do [ -e "${encodings}/${set}" ] || ln -sfn "$(heard_in "${set}")" "${encodings}/${set}"; done
    end 2
fi

if begin 3 "statistics"; then
    for names in "${train_set}" "${valid_set}"; do
        settings="$(frozen; data_of ${names}; echo "tasks ${train_tasks}"; echo "options ${stats_args}")"
        output="${stats}/$(joined "${names}")"
        if unchanged "${output}/.done" "${output}" "${settings}"; then
            log "${output} is complete"
            continue
        fi
        run ${train_cmd} "${output}/stats.log" \
            ${python} -m slm_espnet.bin.stats --foundation "${foundation}" --data_dir $(paths "${datadir}" ${names}) \
            --encodings_dir $(paths "${encodings}" ${names}) --output_dir "${output}" \
            --tasks "${train_tasks}" --max_failed "${max_failed}" ${stats_args}
        mark_done "${output}/.done" "${settings}"
        sed '/^#/d' "${output}/stats.log"
    done
    end 3
fi

if begin 4 "training of the adapter"; then
    [ -f "${slm_config}" ] || fail "${slm_config}: no such file (--slm_config)"
    settings="foundation $(digest "${foundation}"), ${slm_config} $(digest "${slm_config}"), seed ${seed}"
    settings+=", arguments '${slm_args}', data"
    for names in "${train_set}" "${valid_set}"; do
        settings+=" ${names} $(digest $(paths "${datadir}" ${names} | sed 's|$|/text|') "${stats}/$(joined ${names})/speech_shape")"
    done
    older=${settings} # all that was noted before
    settings+=$'\n'"$(frozen; data_of ${train_set} ${valid_set})"
    renew "${slm_exp}/settings" "${older}" "${settings}"
    renew "${slm_exp}/.done" "${older} ${inference_model}" "${settings} ${inference_model}"
    if is_done "${slm_exp}/.done" "${settings} ${inference_model}"; then
        log "${slm_exp} is complete"
    else
        if ${overwrite}; then rm -rf "${slm_exp}"; fi
        if [ -f "${slm_exp}/settings" ] && [ "$(cat "${slm_exp}/settings")" != "${settings}" ]; then
            fail "${slm_exp} was begun with other settings: $(changed "${slm_exp}/settings" "${settings}")." \
                "Give another --slm_tag, or --overwrite true"
        fi
        mkdir -p "${slm_exp}"
        mark_done "${slm_exp}/settings" "${settings}"
        log "logs are in ${slm_exp}/train.log"
        shapes=()
        for name in speech_shape target_shape prompt_shape; do
            for names in "${train_set}" "${valid_set}"; do # older statistics have no prompt_shape
                [ "${name}" != prompt_shape ] || [ -f "${stats}/$(joined "${names}")/${name}" ] || continue 2
            done
            shapes+=(--train_shape_file "${stats}/$(joined "${train_set}")/${name}")
            shapes+=(--valid_shape_file "${stats}/$(joined "${valid_set}")/${name}")
        done
        run ${cuda_cmd} --gpu "${ngpu}" --num_threads "$((train_num_threads * (ngpu > num_procs ? ngpu : num_procs)))" \
            $([ "${num_nodes}" -eq 1 ] || echo "--num_nodes ${num_nodes}") --name "${slm_tag}" "${slm_exp}/train.log" \
            ${python} -m slm_espnet.bin.train --config "${slm_config}" --foundation "${foundation}" \
            --train_data_path_and_name_and_type "$(pairs ${train_set}),speech,slm_rows" \
            --valid_data_path_and_name_and_type "$(pairs ${valid_set}),speech,slm_rows" \
            "${shapes[@]}" --output_dir "${slm_exp}" --resume true \
            --ngpu "${ngpu}" --num_nodes "${num_nodes}" --num_procs "${num_procs}" \
            --num_threads "${train_num_threads}" --seed "${seed}" ${slm_args}
        run ${python} -m slm_espnet.bin.average --exp_dir "${slm_exp}" --inference_model "${inference_model}"
        mark_done "${slm_exp}/.done" "${settings} ${inference_model}"
    fi
    end 4
fi

# decode INPUT OUTPUT_DIR OPTIONS: all test sets; INPUT is speech, ctc or transcript.
decode() {
    local input=$1 output=$2
    shift 2
    array "${output}/log" "${inference_nj}" --gpu "${decode_gpu}" -- \
        ${python} -m slm_espnet.bin.decode ${inference_config:+--config "${inference_config}"} --input "${input}" \
        --tasks_config "${tasks_config}" \
        --foundation "${foundation}" --ngpu "${decode_gpu}" --num_threads "${num_threads}" --max_failed "${max_failed}" \
        --data_dir $(paths "${datadir}" ${test_sets}) --encodings_dir $(paths "${encodings}" ${test_sets}) \
        --output_dir $(paths "${output}" ${test_sets}) --tasks "${eval_tasks}" --when_changed remake \
        "$@" ${inference_args}
}

if begin 5 "decoding"; then
    biasing=(${biasing_list:+--biasing_list "${biasing_list}"})
    if [ -n "${biasing_dev_sets}" ]; then
        mkdir -p "${baseline_exp}"
        biasing+=(--biasing_config "${baseline_exp}/biasing.yaml") # the same for every adapter
        settings="sets ${biasing_dev_sets}"$'\n'"$(data_of ${biasing_dev_sets})"
        unchanged "${baseline_exp}/.biasing" "${baseline_exp}/biasing.yaml" "${settings}" ||
            run ${python} -m slm_espnet.bin.tune_biasing --datadir "${datadir}" --dev_sets "${biasing_dev_sets}" \
                --encodings_dir "${encodings}" --output "${baseline_exp}/biasing.yaml"
        mark_done "${baseline_exp}/.biasing" "${settings}"
    fi
    decode speech "${slm_exp}/decode_${inference_tag}" --model_dir "${model_dir}" "${biasing[@]}"
    for kind in ${baselines}; do
        decode "${kind}" "${baseline_exp}/${kind}_${inference_tag}" "${biasing[@]}"
    done
    end 5
fi

if begin 6 "scoring"; then
    options=()
    [[ " ${baselines} " != *" ctc "* ]] || options+=(--cascade_dir "${baseline_exp}/ctc_${inference_tag}")
    [[ " ${baselines} " != *" transcript "* ]] || options+=(--bound_dir "${baseline_exp}/transcript_${inference_tag}")
    run ${python} -m slm_espnet.bin.score --exp_dir "${slm_exp}" --inference_tag "${inference_tag}" --datadir "${datadir}" \
        --test_sets "${test_sets}" --encodings_dir "${encodings}" --tasks_config "${tasks_config}" \
        --model_dir "${model_dir}" --eval_tasks "${eval_tasks}" --seed "${seed}" \
        --command "${INVOCATION}" "${options[@]}" ${score_args}
    log "results are in ${slm_exp}: RESULTS.md, results.json, decode_${inference_tag}/report.html"
    end 6
fi

# shellcheck source=share.sh
. "$(dirname "$(readlink -f "$0")")/share.sh" # stages 7 and 8
log "done in ${SECONDS} s"
