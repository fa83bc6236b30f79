#!/usr/bin/env bash
# To be sourced by scripts whose commands take long: what ends the script then ends the commands, too.
#
#   . utils/end_children.sh
#   run COMMAND ...              as COMMAND ..., but TERM, INT (Ctrl-C) and HUP end it and all that it has started
#   answer NAME COMMAND ...      the same; what it prints becomes the variable NAME
#
# Bash alone does not do so: without a trap it dies and its commands live on; with one, it first waits for the command
# (also for that of a $(...)). A subshell in the background sources this once more, as it has no traps. A signal that is ignored, as HUP under nohup, stays so: bash cannot set a trap for it.

END_CHILDREN_PATIENCE=10 # seconds for what a command itself leaves running; a launcher takes the time it needs

SETSID=$(command -v setsid || true) # macOS has none: there a command is ended, but not what it has left running
[ -e /dev/fd/0 ] || exec </dev/null # a closed input could not be passed on
trap 'end_children TERM' TERM
trap 'end_children INT' INT
trap 'end_children HUP' HUP

# Each command is the leader of a session, so that one signal reaches all that it starts, and a terminal's Ctrl-C only
# this script. Bash has commands in the background ignore INT; they are to know it.
run() {
    (trap - INT QUIT; exec ${SETSID} "$@") <&0 &
    wait $!
}

answer() {
    local status=0
    ANSWER=$(mktemp)
    run "${@:2}" >"${ANSWER}" || status=$?
    printf -v "$1" '%s' "$(cat "${ANSWER}")"
    rm -f "${ANSWER}"
    return "${status}"
}

end_children() { # SIGNAL
    local children child tries
    trap '' TERM INT HUP # a second Ctrl-C leaves nothing half ended
    set +e # nor does a terminal that was closed, to which nothing can be said
    children=$(jobs -p)
    [ -z "${children}" ] || echo "$(basename "$0"): ended by $1; ending what it runs" >&2
    for child in ${children}; do # a moment after its start it does not lead a group yet
        kill -TERM -- "-${child}" 2>/dev/null || kill -TERM "${child}" 2>/dev/null
        kill -CONT -- "-${child}" 2>/dev/null
    done
    wait
    for child in ${children}; do
        for ((tries = 0; tries < END_CHILDREN_PATIENCE * 10; tries++)); do
            kill -0 -- "-${child}" 2>/dev/null || continue 2
            sleep 0.1
        done
        kill -KILL -- "-${child}" 2>/dev/null
    done
    rm -f "${ANSWER:-}"
    trap - "$1"
    kill "-$1" "${BASHPID}" # who called this script sees by which signal it ended, and a loop around it ends, too
}
