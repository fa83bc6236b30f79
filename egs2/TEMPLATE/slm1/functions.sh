#!/usr/bin/env bash
# What slm.sh says and does again and again; it sources this after its options are read.
# shellcheck disable=SC2154,SC2046,SC2086,SC2119,SC2120  # variables are slm.sh's; names of sets are split at blanks; digest reads files or its input

log() { echo "$(date '+%F %T') $*"; }
fail() { echo "error: slm.sh: $*" >&2; exit 2; }
words() { xargs -n 1 <<<"$*" | awk 'NF && !seen[$0]++' | xargs; }               # each word once
sanitize() { sed -e 's/--//g' -e 's/[^A-Za-z0-9_.+-]\+/_/g' -e 's/^_*//' -e 's/_*$//' <<<"$*"; }  # as a part of a name
digest() { cat "$@" 2>/dev/null | sha1sum | cut -c 1-12 || true; }  # what is missing, Python names better

# begin N "what": true when the stage is to be run; prints its heading and starts its clock.
begin() {
    [ "${stage}" -le "$1" ] && [ "${stop_stage}" -ge "$1" ] || return 1
    [[ " ${skip_stages} " != *" $1 "* ]] || return 1
    stage_began=${SECONDS}
    log "stage $1: $2"
}
end() { log "stage $1: done in $((SECONDS - stage_began)) s"; }

# is_done FILE SETTINGS: true when FILE says that the work was completed with these settings.
is_done() { ! ${overwrite} && [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }
# mark_done FILE SETTINGS: at once, and by a name of its own, as another machine may write the same file.
mark_done() {
    local temporary
    temporary=$(mktemp -u "$1.XXXXXXXX")
    echo "$2" >"${temporary}" && mv "${temporary}" "$1"
}
# unchanged FILE WHAT SETTINGS: as is_done; where WHAT was made of something else, says of what.
unchanged() {
    ! is_done "$1" "$3" || return 0
    ${overwrite} || [ ! -f "$1" ] || log "$2 is made again, for something has changed: $(changed "$1" "$3")"
    return 1
}
# renew FILE OLDER SETTINGS: a marker that says OLDER, of a version that noted less, says SETTINGS from now on.
renew() { [ ! -f "$1" ] || [ "$(cat "$1")" != "$2" ] || mark_done "$1" "$3"; }
# made_of: what stage 1 is made of, a line each: its scripts, its options, and the corpora of db.sh that local/ names. Of a
# folder count the names in it, the sizes of its files, and the contents of its tables; times do not.
made_of() (
    echo "local/ $(find -L local -maxdepth 1 -type f -exec sha1sum {} + | sort | digest)"
    echo "--local_data_opts ${local_data_opts}"
    if [ -f ./db.sh ]; then
        . ./db.sh
        sed -n 's/^export \([A-Z0-9_]*\)=.*/\1/p' ./db.sh | while read -r name; do
            ! grep -rqw "${name}" local/ || echo "${name}=${!name} $(lies_in "${!name}" | digest)"
        done
    fi
    echo "--dumpdir ${dumpdir}"
)
lies_in() { # PATH: what made_of looks at
    [ -n "$1" ] && [ -e "$1" ] || return 0
    find -L "$1" -maxdepth 1 \( -type f -printf '%f %s\n' -o -printf '%f\n' \) | sort
    contents_in "$1" 'tsv\|csv\|jsonl?\|txt'
}
contents_in() { # PATH ENDINGS: contents of its files; of those of 64 MiB and more size, head, middle and tail
    local files=(-maxdepth 1 -type f -regex ".*\.\($2\)") size file
    find -L "$1" "${files[@]}" -size -64M -print0 | sort -z | xargs -0 -r cat
    find -L "$1" "${files[@]}" ! -size -64M -printf '%s %p\0' | sort -z -k 2 | while read -r -d '' size file; do
        echo "${size}"
        head -c 1M "${file}"
        dd if="${file}" bs=1M skip=$((size >> 21)) count=1 status=none
        tail -c 1M "${file}"
    done
}
# frozen: the YAML of the pair, and the folders that its models are in; a name on the Hub goes by its revision.
frozen() {
    local name folder
    echo "${foundation} $(digest "${foundation}")"
    sed -n "s/^.*\bmodel: *['\"]\?\([^'\"#,}]*[^'\"#,} ]\).*/\1/p" "${foundation}" | sort -u | while read -r name; do
        folder=${name/#\~/${HOME}}
        [[ ${folder} = /* ]] || folder="$(dirname "${foundation}")/${name}"
        [ ! -d "${folder}" ] || echo "${name} $(contents_in "${folder}" "${model_files}" | digest)"
    done
}
model_files='json\|txt\|jinja\|yaml\|model\|safetensors\|bin\|pth'
# tables_of SETS, data_of SETS: digests of their tables, a line each set; and of what their encodings hold.
tables_of() {
    local name table
    for name in $(words "$*"); do
        echo -n "${datadir}/${name}"
        for table in wav.scp segments text prompt context references transcript utt2task utt2lang utt2target_lang \
            further_audio history; do
            [ ! -f "${datadir}/${name}/${table}" ] || echo -n " ${table} $(digest "${datadir}/${name}/${table}")"
        done
        echo
    done
}
data_of() {
    local name
    tables_of "$@"
    for name in $(words "$*"); do # fingerprint, keys and checksums: where they lie does not count
        echo "${encodings}/${name} $({ cut -f 1,8 "${encodings}/${name}/index.tsv" 2>/dev/null || true; } | digest)"
    done
}
# changed FILE SETTINGS: which lines of what FILE says differ now; nothing where there is no such file.
changed() { [ ! -f "$1" ] || { diff "$1" <(echo "$2") || true; } | sed -n 's/^< /was: /p; s/^> /is:  /p'; }
# alone FOLDER: stop where another slm.sh prepares this folder; the lock goes with this script, however it ends.
alone() {
    { mkdir -p "$1" && : >>"$1/.lock"; } 2>/dev/null || fail "$1 cannot be written here; lay the recipe out elsewhere" \
        "(slm-espnet recipe), or give --datadir, --dumpdir and --expdir"
    exec {lock}>>"$1/.lock"
    flock -n "${lock}" || fail "$1 is being prepared by another slm.sh ($(cat "$1/.lock")); wait for it, or end it"
    echo "process $$ on $(hostname)" >"$1/.lock"
}

# paths FOLDER: FOLDER/<set> for each set of the rest; pairs: <data directory>::<encodings> of each, in one line.
paths() { local folder=$1 name; shift; for name in "$@"; do echo "${folder}/${name}"; done; }
pairs() { local name; for name in "$@"; do echo "${datadir}/${name}::${encodings}/${name}"; done | xargs; }
# joined SET...: one name for several sets, as a file's name of a bearable length.
joined() { set -- "$(words "$*" | tr ' ' +)"; [ ${#1} -le 120 ] || set -- "${1:0:100}+$(digest <<<"$1")"; echo "$1"; }
heard_in() { for name in "$@"; do cat "${datadir}/${name}/same_audio_as" 2>/dev/null || echo "${name}"; done; } # sets

# array LOGDIR NJ OPTIONS -- COMMAND: run a job array over all sets, then join what the jobs wrote.
array() {
    local logdir=$1 jobs=$2 options=()
    shift 2
    while [ "$1" != -- ]; do options+=("$1"); shift; done
    shift
    log "logs are in ${logdir}"
    run ${decode_cmd} --num_threads "${num_threads}" "${options[@]}" JOB=1:"${jobs}" "${logdir}/job.JOB.log" \
        "$@" --job JOB --num_jobs "${jobs}" --overwrite "${overwrite}"
    run "$@" --num_jobs "${jobs}" --merge true
}
