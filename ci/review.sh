#!/usr/bin/env bash
# What a review is told of SQL migrations. Makes in FOLDER a result of each step, lint.sarif, junit files and
# comment.md; ends with the exit code of the first step that failed, after all have run.
# BASE: the branch to merge into (origin/main). FUNCTION: who plans the files, with its alias; nobody where empty.
set -uo pipefail

: "${FOLDER:?where the results go}"
mkdir -p "$FOLDER"
failed=0

step() {
    local name=$1
    shift
    runner "$@" --save "$FOLDER/$name.json" --junit "$FOLDER/$name.xml" || {
        local code=$?
        [ "$failed" -ne 0 ] || failed=$code
    }
}

step lint lint ${BASE:+--base "$BASE"}
runner report "$FOLDER/lint.json" --sarif "$FOLDER/lint.sarif" > /dev/null
step verify verify --sample-rows
[ -z "${FUNCTION:-}" ] || step plan invoke --function "$FUNCTION" --send-files plan

# The first line is how the comment of the last push is found again.
echo '<!-- schema-migrations -->' > "$FOLDER/comment.md"
for name in lint verify plan; do
    [ -f "$FOLDER/$name.json" ] || continue
    runner report "$FOLDER/$name.json" --markdown "$FOLDER/$name.md" > /dev/null
    { cat "$FOLDER/$name.md"; echo; } >> "$FOLDER/comment.md"
done
[ -z "${GITHUB_STEP_SUMMARY:-}" ] || cat "$FOLDER/comment.md" >> "$GITHUB_STEP_SUMMARY"
exit "$failed"
