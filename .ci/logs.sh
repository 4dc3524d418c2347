#!/usr/bin/env bash
# Looks once more through all logs of an end-to-end run, after every server has ended: for each secret
# that a test knew, and for whatever looks like one, or like a mail address. Says nothing where there
# is nothing. The folder is the one that TENANTRY_TEST_LOGS named during the run.
set -euo pipefail

folder=$1
shopt -s nullglob
logs=("$folder"/*.log)
if [[ ${#logs[@]} -eq 0 ]]; then
    echo "no logs in $folder: was the run kept?" >&2
    exit 1
fi

found=0
look() {
    local what=$1
    shift
    if grep -a -n -H -m 3 "$@" -- "${logs[@]}" >&2; then
        echo "^ $what" >&2
        found=1
    fi
}

[[ -s $folder/known ]] && look "a secret of a test" -F -f "$folder/known"
look "an operator token" -E 'tnto_[A-Za-z0-9]{43}'
look "an access token" -E 'eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}'
look "a password in a URL" -E "postgres(ql)?://[^][:space:]/@:\"']*:[^][:space:]/@\"'*…]+@"
look "a mail address" -E '[[:alnum:]._%+-]@[[:alnum:].-]*[[:alnum:]]\.[[:alpha:]]{2,}'
exit "$found"
