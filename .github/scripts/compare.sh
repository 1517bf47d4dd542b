#!/usr/bin/env bash
# The results of HEAD against those of BASE, in the job summary and in one comment of the pull request.
#
#   compare.sh BASE HEAD
#
# Exits with the status of `context-fbr diff --fail-on-regression`, after both are written. Takes from the
# environment what GitHub sets (GITHUB_STEP_SUMMARY, GITHUB_REPOSITORY, GITHUB_SERVER_URL) and what the workflow
# gives (GH_TOKEN; PULL_REQUEST, its number; COMMENT_AUTHOR, whose comment is updated). Without a number, or with
# a token that may not write (a pull request from a fork), there is the summary alone.
set -euo pipefail

base=$1 head=$2
marker='<!-- context-fbr diff -->'
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
[ -n "${PULL_REQUEST:-}" ] || exit "$status"

# GitHub takes 65,536 characters of a comment; bytes are at least as many.
{
    printf '%s\n' "$marker"
    shorten "$scratch/diff.md" 65000 'Shortened to the length of a comment: the summary of the job has all of it.'
} >"$scratch/comment.md"
export marker COMMENT_AUTHOR=${COMMENT_AUTHOR:-github-actions[bot]} # read by the filter
filter='.[] | select(.user.login == env.COMMENT_AUTHOR and (.body | startswith(env.marker))) | .id'
comments=repos/$GITHUB_REPOSITORY/issues/$PULL_REQUEST/comments
write() {
    local found
    found=$(gh api --paginate "$comments" --jq "$filter") || return
    if [ -n "$found" ]; then
        gh api --method PATCH "repos/$GITHUB_REPOSITORY/issues/comments/${found%%$'\n'*}" \
            --field "body=@$scratch/comment.md" --silent
    else
        gh api --method POST "$comments" --field "body=@$scratch/comment.md" --silent
    fi
}
if ! write 2>"$scratch/problem"; then
    cat "$scratch/problem" >&2
    if ! grep -q 'Resource not accessible by' "$scratch/problem"; then
        echo "error: the comment could not be written, see above; the summary has it" >&2
        exit 1
    fi
    echo "This token may not comment: the comparison is in the job summary alone."
fi
exit "$status"
