#!/usr/bin/env bash
# The text model of the miniature: ./run.sh [--stage 1] [--stop_stage 4] [--lj folder] [--expdir exp] [--output folder]
#     [--threads 1] [--count 500]
# 1 tokenizer, 2 training (continues where it was killed), 3 export to ../foundations/llm, 4 scores and model card.
set -euo pipefail
cd "$(dirname "$0")"

stage=1
stop_stage=4
lj=""                       # LJ Speech folder with metadata*.csv[.gz] (optional; its text is public domain)
expdir=exp
output=../foundations/llm
config=conf/train.yaml
tasks=../slm1/conf/tasks.yaml
threads=1
count=500                   # held-out sentences per task in stage 4
python=${PYTHON:-python3}

while [ $# -gt 0 ]; do
    case $1 in
        --stage | --stop_stage | --lj | --expdir | --output | --config | --tasks | --threads | --count)
            [ $# -gt 1 ] || { echo "error: $1 needs a value" >&2; exit 2; }
            printf -v "${1#--}" '%s' "$2"
            shift 2 ;;
        --help) sed -n '2,4s/^# //p' "$0"; exit 0 ;;
        *) echo "error: unknown option $1 (see --help)" >&2; exit 2 ;;
    esac
done

root=$(cd ../../.. && pwd)
export PYTHONPATH="$root:$root/egs2/mini${PYTHONPATH:+:$PYTHONPATH}" OMP_NUM_THREADS="$threads" TRANSFORMERS_OFFLINE=1
mkdir -p "$expdir"
. "$root/utils/end_children.sh"
text=()
[ -z "$lj" ] || text=(--lj "$lj")

if [ "$stage" -le 1 ] && [ "$stop_stage" -ge 1 ]; then
    run "$python" local/train_tokenizer.py --config "$config" --tasks "$tasks" "${text[@]}" --output "$expdir/spiece.model"
fi
if [ "$stage" -le 2 ] && [ "$stop_stage" -ge 2 ]; then
    run "$python" local/train_lm.py --config "$config" --tasks "$tasks" --tokenizer "$expdir/spiece.model" "${text[@]}" \
        --expdir "$expdir" --threads "$threads" > >(tee -a "$expdir/train.log") 2>&1
fi
if [ "$stage" -le 3 ] && [ "$stop_stage" -ge 3 ]; then
    run "$python" local/export_lm.py --config "$config" --expdir "$expdir" --output "$output"
fi
if [ "$stage" -le 4 ] && [ "$stop_stage" -ge 4 ]; then
    run "$python" local/evaluate_lm.py --model "$output" --tasks "$tasks" --output "$expdir/scores.json" \
        --threads "$threads" --count "$count"
    run "$python" local/model_card.py --config "$config" --expdir "$expdir" --lj "$lj" --output "$output/README.md"
fi
