#!/usr/bin/env bash
# Stages 7 and 8 of slm.sh, which sources this with its options and functions.
# shellcheck disable=SC2154,SC2086  # variables are slm.sh's; options are split at blanks

if begin 7 "packing"; then
    biasing=()
    [ ! -f "${baseline_exp}/biasing.yaml" ] || biasing=(--biasing_config "${baseline_exp}/biasing.yaml")
    run ${python} -m slm_espnet.bin.pack --exp_dir "${slm_exp}" --model_dir "${model_dir}" --foundation "${foundation}" \
        --output_dir "${slm_exp}/package" --tasks_config "${tasks_config}" --inference_tag "${inference_tag}" \
        ${inference_config:+--inference_config "${inference_config}"} "${biasing[@]}" \
        --pack_foundations "${pack_foundations}" --command "${INVOCATION}" ${pack_args}
    end 7
fi

if begin 8 "upload to the Hugging Face Hub"; then
    [ -n "${hf_repo}" ] || fail "stage 8 needs --hf_repo user/name; without it nothing is uploaded"
    run ${python} -m slm_espnet.bin.upload --package "${slm_exp}/package" --hf_repo "${hf_repo}" --hf_private "${hf_private}"
    end 8
fi
