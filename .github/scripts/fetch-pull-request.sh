#!/usr/bin/env bash
# Fetch the merge of a pull request as git's objects, none of which is checked out or run.
#
#   fetch-pull-request.sh COMMIT
#
# COMMIT is the head of its branch, as the event of the finished workflow names it. Prints `number=N`, for
# GITHUB_OUTPUT, and leaves the merge in FETCH_HEAD; prints nothing if there is no open pull request of this
# commit, or its branch has moved on: then a later run compares it. Takes the number from git's refs and
# never from what the run of the pull request wrote.
set -euo pipefail

commit=$1
[[ $commit =~ ^[0-9a-f]{40}$ ]] || { echo "error: $commit: expected a full hash" >&2 && exit 1; }
while read -r hash ref; do
    [ "$hash" = "$commit" ] && [[ $ref =~ ^refs/pull/([0-9]+)/head$ ]] || continue
    number=${BASH_REMATCH[1]}
    # The branch as merged into its base, and its parents, the first of which is the base.
    git fetch --quiet --no-tags --depth 2 origin "refs/pull/$number/merge" 2>/dev/null || continue # it is closed
    if [ "$(git rev-parse --verify --quiet FETCH_HEAD^2)" = "$commit" ]; then
        echo "number=$number"
        exit
    fi
done < <(git ls-remote origin 'refs/pull/*/head')
echo "$commit: the head of no open pull request" >&2
