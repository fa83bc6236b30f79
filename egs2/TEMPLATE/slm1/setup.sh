#!/usr/bin/env bash
# Make a new recipe folder:
#
#   egs2/TEMPLATE/slm1/setup.sh egs2/<corpus>/slm1
#
# Links slm.sh, path.sh, db.sh and utils; copies cmd.sh, conf/ and an example of local/, which are yours to edit;
# writes run.sh. Files that are already there are left as they are.
set -euo pipefail

if [ $# -ne 1 ] || [[ $1 == -* ]]; then
    sed -n '2,${/^#/!q; s/^# \{0,1\}//; p}' "$0"
    [[ ${1:-} == -h || ${1:-} == --help ]] && exit 0
    exit 2
fi
template=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
mkdir -p "$1"
recipe=$(cd "$1" && pwd)
[ "${recipe}" != "${template}" ] || { echo "error: setup.sh: give the folder of a new recipe" >&2; exit 2; }
top=$(cd "${template}/../../.." && pwd)

link() { # link TARGET NAME: relative inside of the toolkit, so that the whole can be moved
    [ -e "${recipe}/$2" ] || ln -sr "$1" "${recipe}/$2"
}
for name in slm.sh path.sh db.sh; do
    link "${template}/${name}" "${name}"
done
link "${top}/utils" utils
mkdir -p "${recipe}/conf" "${recipe}/local"
if [ ! -e "${recipe}/conf/tasks.yaml" ]; then # what it includes is found from there
    shared=$(realpath -m --relative-to "${recipe}/conf" "${top}/conf/tasks/speech.yaml")
    sed "s|^include: .*|include: ${shared}|" "${template}/conf/tasks.yaml" >"${recipe}/conf/tasks.yaml"
fi
for name in cmd.sh conf/train.yaml conf/decode.yaml local/data.sh local/prepare.py; do
    [ -e "${recipe}/${name}" ] || cp -L "${template}/${name}" "${recipe}/${name}"
done

if [ ! -e "${recipe}/run.sh" ]; then
    foundation=$(realpath -m --relative-to "${recipe}" "${top}/conf/foundation/mini.yaml")
    cat >"${recipe}/run.sh" <<END
#!/usr/bin/env bash
# All stages: ./run.sh; some of them: ./run.sh --stage 4 --stop_stage 6. Any option of slm.sh may follow.
set -euo pipefail
cd "\$(dirname "\$0")"

exec ./slm.sh \\
    --train_set train \\
    --valid_set dev \\
    --test_sets "test" \\
    --train_tasks "asr" \\
    --foundation ${foundation} \\
    --slm_config conf/train.yaml \\
    --inference_config conf/decode.yaml \\
    --nj 2 \\
    --inference_nj 2 \\
    --ngpu 0 \\
    "\$@"
END
    chmod +x "${recipe}/run.sh"
fi
echo "${recipe}: write local/data.sh, look through run.sh and conf/, then ./run.sh"
