#!/usr/bin/env bash
# Write the comment of a pull request, or update the one that is there.
#
#   comment.sh NUMBER FILE
#
# Takes from the environment what GitHub sets (GITHUB_REPOSITORY) and what the workflow gives (GH_TOKEN;
# COMMENT_AUTHOR, whose comment is updated).
set -euo pipefail

number=$1 file=$2
[[ $number =~ ^[0-9]+$ ]] || { echo "error: $number: expected the number of a pull request" >&2 && exit 1; }
marker='<!-- context-fbr diff -->'
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
{
    printf '%s\n' "$marker"
    cat "$file"
} >"$scratch/comment.md"
export marker COMMENT_AUTHOR=${COMMENT_AUTHOR:-github-actions[bot]} # read by the filter
filter='.[] | select(.user.login == env.COMMENT_AUTHOR and (.body | startswith(env.marker))) | .id'
comments=repos/$GITHUB_REPOSITORY/issues/$number/comments
found=$(gh api --paginate "$comments" --jq "$filter")
if [ -n "$found" ]; then
    gh api --method PATCH "repos/$GITHUB_REPOSITORY/issues/comments/${found%%$'\n'*}" \
        --field "body=@$scratch/comment.md" --silent
else
    gh api --method POST "$comments" --field "body=@$scratch/comment.md" --silent
fi
