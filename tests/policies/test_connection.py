"""What the pipeline of a repository behind a connection is made of."""

import json
from typing import Any

from ansible.template import Templar, trust_as_template

from tests.policies.rendered import CONNECTION, ROOT, prepared, variables

SOURCE = {"connection_arn": CONNECTION, "repository": "o/n", "branch": "main"}


def rendered(expression: str) -> Any:
    """Return what an expression is worth to the role `pipeline` with a connection."""
    loader = prepared()
    watch = {"__pipeline_alarms": {"topic_arn": "arn:aws:sns:eu-central-1:111122223333:topic"}}
    package = {"__pipeline_package": {"sha256": "0" * 64}}
    values = {**variables(loader, "dev"), **watch, **package, "pipeline_source": SOURCE}
    found = Templar(loader=loader, variables=values).template(trust_as_template(expression))
    return json.loads(json.dumps(found))


def test_the_source_brings_its_history_and_the_linter_a_base() -> None:
    path = ROOT / "roles/pipeline/templates/stages.yml.j2"
    stages = rendered(f"{{{{ lookup('ansible.builtin.template', '{path}') | from_yaml }}}}")
    actions = {a["name"]: a for s in reversed(stages) for a in s["actions"]}
    source = actions["Source"]["configuration"]
    assert source["OutputArtifactFormat"] == "CODEBUILD_CLONE_REF"
    assert source["DetectChanges"] == "false"
    given = json.loads(actions["Check"]["configuration"]["EnvironmentVariables"])
    assert {v["name"]: v["value"] for v in given}["LINT_BASE"] == "HEAD^1"


def test_pushes_to_the_branch_start_it_and_pull_requests_do_not() -> None:
    (trigger,) = rendered("{{ __pipeline_triggers }}")
    git = trigger["gitConfiguration"]
    assert git["sourceActionName"] == "Source"
    assert "pullRequest" not in git
    (push,) = git["push"]
    assert [rendered(branch) for branch in push["branches"]["includes"]] == ["main"]
    assert rendered(push["filePaths"]["excludes"]) == ["docs/**", "**/*.md"]
