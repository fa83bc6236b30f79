#!/usr/bin/env bash
# To be sourced after a script has set its variables: each lower-case variable that is set becomes an option.
#
#   nj=4; skip_train=false
#   . utils/parse_options.sh
#
# then takes --nj 8, --nj=8, --skip_train true and --skip-train true. Variables that are true or false take only those
# two. --help prints the comment at the head of the script and its variables with their comments. What is left after
# the options stays in "$@". Names of its own begin with parse_options_.

parse_options_fail() {
    echo "error: $(basename "$0"): $1" >&2
    exit 2
}

parse_options_is_option() {
    [[ $1 =~ ^[a-z][a-z0-9_]*$ && $1 != parse_options_* && -v $1 ]]
}

# The option that looks most like $1, if any is near.
parse_options_near() {
    compgen -v | grep -E '^[a-z][a-z0-9_]*$' | grep -v '^parse_options_' | "${PYTHON:-python3}" -c '
import difflib, sys
print(*difflib.get_close_matches(sys.argv[1], sys.stdin.read().split(), 1))' "$1" 2>/dev/null || true
}

while [[ $# -gt 0 ]]; do
    case "$1" in
        --help | -h)
            sed -n '2,${/^#/!q; s/^# \{0,1\}//; p}' "$0"
            echo
            sed -n '/parse_options\.sh/q; s/^\([a-z][a-z0-9_]*\)=\(.*\)$/  --\1 \2/p' "$0"
            exit 0
            ;;
        --)
            shift
            break
            ;;
        --*)
            parse_options_name=${1#--}
            parse_options_name=${parse_options_name%%=*}
            parse_options_name=${parse_options_name//-/_}
            if ! parse_options_is_option "${parse_options_name}"; then
                parse_options_guess=$(parse_options_near "${parse_options_name}")
                parse_options_guess=${parse_options_guess:+ (did you mean --${parse_options_guess}?)}
                parse_options_fail "unknown option ${1%%=*}${parse_options_guess}; --help lists the options"
            fi
            if [[ $1 == *=* ]]; then
                parse_options_value=${1#*=}
                shift
            else
                [[ $# -ge 2 ]] || parse_options_fail "option $1 needs a value"
                parse_options_value=$2
                if [[ $2 =~ ^--[a-z][a-z0-9_-]*$ ]]; then
                    parse_options_next=${2#--}
                    if parse_options_is_option "${parse_options_next//-/_}"; then
                        parse_options_fail "option $1 needs a value, found the option $2"
                    fi
                fi
                shift 2
            fi
            if [[ ${!parse_options_name} =~ ^(true|false)$ && ! ${parse_options_value} =~ ^(true|false)$ ]]; then
                parse_options_fail "option --${parse_options_name} takes true or false, not '${parse_options_value}'"
            fi
            printf -v "${parse_options_name}" '%s' "${parse_options_value}"
            ;;
        *)
            break
            ;;
    esac
done
unset parse_options_name parse_options_value parse_options_guess parse_options_next
