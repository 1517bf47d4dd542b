#!/usr/bin/env bash
# Runs a profile as a DVC experiment, pushes its data to the DVC remote and its results to git as a new branch.
#
#   run-profile.sh PROFILE BRANCH
#
# PROFILE is a name in profiles/, or `params.yaml` for the study as it is committed. What the remote holds is not
# run again. GH_TOKEN, if set, is git's password; DVC_REMOTE_URL, if set, is the address of the remote in this run;
# RUN_TIME_LIMIT (22h) ends the run while there is time to push what it has finished.
set -euo pipefail

profile=$1 branch=$2
experiment=run-$(date -u +%Y%m%d-%H%M%S)

fail() {
    echo "error: $*" >&2
    exit 1
}
case $branch in
@ | HEAD | -*) fail "$branch: is no name for a branch" ;;
esac
git check-ref-format "refs/heads/$branch" || fail "$branch: is no name for a branch"
case $profile in
*/* | -*) fail "$profile: is no profile" ;;
esac
[ "$profile" = params.yaml ] || [ -f "profiles/$profile.yaml" ] || fail "$profile: is no profile"
# Git asks the helper for a password: the token is neither in an argument nor in a file.
remote_git() {
    if [ -z "${GH_TOKEN:-}" ]; then
        git "$@"
        return
    fi
    # shellcheck disable=SC2016 # git's shell expands it
    git -c credential.helper= \
        -c credential.helper='!f() { echo username=x-access-token; echo "password=$GH_TOKEN"; }; f' "$@"
}
theirs=$(remote_git ls-remote --heads origin) ||
    fail "origin cannot be asked for its branches, see above; nothing was run"
ours=$(git for-each-ref --format='%(objectname)%09%(refname)' refs/heads)
while IFS=$'\t' read -r _ ref; do
    known=${ref#refs/heads/}
    # A branch is a file for git: beside a/b there can be no branch a.
    case $known in
    "") ;;
    "$branch") fail "$branch: is a branch already; name a new one" ;;
    "$branch"/*) fail "$branch: there is a branch $known, beside which git takes none of this name" ;;
    *) case $branch in "$known"/*) fail "$branch: there is a branch $known, beside which git takes none of this name" ;; esac ;;
    esac
done <<<"$theirs
$ours"
config=.dvc/config.local # git ignores it
if [ -n "${DVC_REMOTE_URL:-}" ]; then
    before=$(mktemp)
    if [ -e "$config" ]; then cp -p "$config" "$before"; else rm "$before"; fi
    restore() {
        if [ -e "$before" ]; then mv "$before" "$config"; else rm -f "$config"; fi
    }
    trap restore EXIT
    (umask 077 && touch "$config")
    chmod 600 "$config" # the address may hold a password
    dvc remote modify --local local url "$DVC_REMOTE_URL"
elif [ -e "$config" ]; then
    chmod 600 "$config"
fi
if [ "$profile" != params.yaml ]; then
    context-fbr profile "$profile"
fi
context-fbr check
# A runner has no identity of its own, and DVC commits an experiment.
git config user.name >/dev/null || git config user.name 'github-actions[bot]'
git config user.email >/dev/null || git config user.email '41898282+github-actions[bot]@users.noreply.github.com'

# --pull: what dvc.lock or the run-cache knows is fetched from the remote instead of run.
status=0
timeout --signal=INT --kill-after=10m "${RUN_TIME_LIMIT:-22h}" \
    dvc exp run --pull --name "$experiment" || status=$?
# Objects first, then the run-cache that names them: whoever pulls in between finds what it names.
if [ "$status" -ne 0 ]; then
    dvc push || true # complains of what is missing, and pushes the rest
    dvc push --run-cache || true
    fail "the run failed or was out of time, see above; finished cells are in the remote, the next run goes on from there"
fi
context-fbr check-lock
dvc push
dvc push --run-cache
dvc exp branch "$experiment" "$branch"
if git diff --quiet HEAD "refs/heads/$branch" --; then
    echo "The results of $profile are those of this commit: no branch was pushed."
    exit 0
fi
remote_git push origin "refs/heads/$branch:refs/heads/$branch"
echo "Pushed $branch: \`git fetch && git checkout $branch && dvc pull\`." | tee -a "${GITHUB_STEP_SUMMARY:-/dev/null}"
