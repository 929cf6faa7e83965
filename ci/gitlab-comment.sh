#!/usr/bin/env bash
# Write FOLDER/comment.md as the one note of the merge request, in place of that of an earlier push.
# COMMENT_TOKEN: a project's access token of scope api, for a job's own may not write notes.
set -euo pipefail

notes=${CI_API_V4_URL:?}/projects/${CI_PROJECT_ID:?}/merge_requests/${CI_MERGE_REQUEST_IID:?}/notes
call() {
    # The token is no argument, which everybody on the machine could read.
    curl --fail --silent --show-error --config <(printf 'header = "PRIVATE-TOKEN: %s"\n' "${COMMENT_TOKEN:?}") "$@"
}
find_ours='
import json, sys
ours = [note["id"] for note in json.load(sys.stdin) if note["body"].startswith("<!-- schema-migrations -->")]
print(*ours[:1])
'
id=$(call "$notes?per_page=100&order_by=created_at&sort=asc" | python3 -c "$find_ours")
if [ -n "$id" ]; then
    call --request PUT --data-urlencode "body@$FOLDER/comment.md" "$notes/$id" > /dev/null
else
    call --request POST --data-urlencode "body@$FOLDER/comment.md" "$notes" > /dev/null
fi
