#!/usr/bin/env bash
# Runs a profile as a DVC experiment, pushes its data to the DVC remote and its results to git as a new branch.
#
#   run-profile.sh PROFILE BRANCH
#
# PROFILE is a name in profiles/, or `params.yaml` for the study as it is committed. What the remote holds is not
# run again. GH_TOKEN, if set, is git's password; DVC_REMOTE_URL, if set, is the address of the remote; RUN_TIME_LIMIT
# (22h) ends the run while there is time to push what it has finished.
set -euo pipefail

profile=$1 branch=$2
experiment=run-$(date -u +%Y%m%d-%H%M%S)

fail() {
    echo "error: $*" >&2
    exit 1
}
git check-ref-format --branch "$branch" >/dev/null 2>&1 || fail "$branch: is no name for a branch"
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
known=0
remote_git ls-remote --exit-code --heads origin "refs/heads/$branch" >/dev/null || known=$?
case $known in
0) fail "$branch: is a branch already; name a new one" ;;
2) ;; # git's word for: there is none
*) fail "origin cannot be asked for its branches, see above; nothing was run" ;;
esac
if [ -n "${DVC_REMOTE_URL:-}" ]; then
    dvc remote modify --local local url "$DVC_REMOTE_URL" # --local: in .dvc/config.local, which git ignores
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
if git diff --quiet HEAD "$branch"; then
    echo "The results of $profile are those of this commit: no branch was pushed."
    exit 0
fi
remote_git push origin "refs/heads/$branch"
echo "Pushed $branch: \`git fetch && git checkout $branch && dvc pull\`." | tee -a "${GITHUB_STEP_SUMMARY:-/dev/null}"
