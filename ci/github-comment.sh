#!/usr/bin/env bash
# Write FOLDER/comment.md as the one comment of PULL_REQUEST, in place of that of an earlier push.
set -euo pipefail

comments=repos/${GITHUB_REPOSITORY:?}/issues/${PULL_REQUEST:?}/comments
ours='.[] | select(.body | startswith("<!-- schema-migrations -->")) | .id'
id=$(gh api --paginate "$comments" --jq "$ours" | head -n 1)
if [ -n "$id" ]; then
    gh api --method PATCH "repos/$GITHUB_REPOSITORY/issues/comments/$id" -F "body=@$FOLDER/comment.md" > /dev/null
else
    gh api --method POST "$comments" -F "body=@$FOLDER/comment.md" > /dev/null
fi
