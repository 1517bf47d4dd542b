#!/usr/bin/env bash
# The results of HEAD against those of BASE, in the job summary and, for a comment, in a file.
#
#   compare.sh BASE HEAD [FILE]
#
# Exits with the status of `context-fbr diff --fail-on-regression`, after both are written. Takes from the
# environment what GitHub sets (GITHUB_STEP_SUMMARY, GITHUB_REPOSITORY, GITHUB_SERVER_URL); needs no token.
set -euo pipefail

base=$1 head=$2 comment=${3:-}
server=${GITHUB_SERVER_URL:-https://github.com}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# shorten FILE BYTES NOTE: whole lines of the file up to a size; the note stands first, where no table or open
# <details> swallows it.
shorten() {
    if [ "$(wc -c <"$1")" -le "$2" ]; then
        cat "$1"
    else
        printf '> %s\n\n' "$3"
        LC_ALL=C awk -v room="$(($2 - 200))" '(size += length($0) + 1) > room {exit} {print}' "$1"
    fi
}

status=0
figures=()
if [ -n "${GITHUB_REPOSITORY:-}" ]; then
    figures=(--image-url "$server/$GITHUB_REPOSITORY/raw/{commit}/{path}")
fi
context-fbr diff "$base" "$head" --markdown "$scratch/diff.md" --fail-on-regression "${figures[@]}" || status=$?
[ -s "$scratch/diff.md" ] || exit "$status" # an error, not a regression: it has been printed

# GitHub takes 1 MiB of summary a step.
shorten "$scratch/diff.md" 1048576 'Shortened to the length of a summary: context-fbr diff prints all of it.' \
    >>"${GITHUB_STEP_SUMMARY:-/dev/stdout}"
# GitHub takes 65,536 characters of a comment; bytes are at least as many.
if [ -n "$comment" ]; then
    shorten "$scratch/diff.md" 64000 'Shortened to the length of a comment: the summary of the job has all of it.' \
        >"$comment"
fi
exit "$status"
