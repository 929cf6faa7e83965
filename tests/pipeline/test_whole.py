"""The whole pipeline under IAM enforcement, from the zip of a commit, in two accounts."""

import contextlib
import json
import random
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import psycopg2
import pytest

from local.ansible.warm import warm
from local.codebuild.pipeline import run_pipeline
from local.codebuild.source import Source
from local.stack import Stack
from local.state import CLONE, State
from local.up import environment, warmed

DEV, PROD = "777700001111", "777700002222"
ACCOUNTS = {"dev": DEV, "prod": PROD}
PIPELINE = "schema-migrations"
STAGES = f"""
pipeline_stages:
  - {{ env: dev, account_id: "{DEV}", region: eu-central-1 }}
  - env: prod
    account_id: "{PROD}"
    region: eu-central-1
    approval: true
    rehearsal: {{ held: 2s }}
pipeline_source: {{ repository: schema-migrations, branch: main }}
"""
# What the actions that compare tell where nothing differs.
UNCHANGED = {
    "Look": {
        "ProdLook.CHANGED": "0", "ProdLook.CHANGES": "nothing", "ProdLook.REPORT_URL": "https://x/"
    },
    "Rehearse": {"ProdRehearsal.REHEARSAL": "passed", "ProdRehearsal.REPORT_URL": "https://y/"},
}  # fmt: skip
REFUSED = {"AccessDenied", "AccessDeniedException", "refused by the function"}


@dataclass
class Line:
    """A repository with a pipeline in two emulated accounts."""

    stack: Stack
    folder: Path
    python: Path  # that runs Ansible's modules

    def play(self, env: str, name: str, *options: str) -> None:
        """Run a playbook as the environment's operator."""
        variables = {**environment(self.stack, ACCOUNTS[env]), **warmed(self.python)}
        done = subprocess.run(
            [
                CLONE / ".venv/bin/ansible-playbook",
                *(name, "-i", f"inventories/{env}"),
                *options,
            ],
            cwd=self.folder,
            env={**variables, "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg")},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    def commit(self, **files: str) -> Source:
        """Write and commit files, and return the source artifact of the commit."""
        for name, text in files.items():
            (self.folder / name).write_text(text)
        return self.pushed()

    def pushed(self) -> Source:
        """Commit everything as it is."""
        git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com"]
        for arguments in (["add", "--all"], ["commit", "--quiet", "--allow-empty", "-m", "Push"]):
            subprocess.run([*git, *arguments], cwd=self.folder, check=True)
        return Source.of_commit(self.folder)

    def run(self, source: Source, approve: Callable[[str], bool], *only: str) -> bool:
        """Run the pipeline, or its actions of these names, as if the others had passed."""
        return run_pipeline(
            self.stack,
            PIPELINE,
            account=DEV,
            source=source,
            approve=approve,
            only=only,
            image=warmed(self.python),
            known={
                name: value
                for action, told in UNCHANGED.items()
                if only and action not in only
                for name, value in told.items()
            },
        )

    def exchange(self, source: Source) -> None:
        """Put another source in place of the newest one, as nobody but an administrator may."""
        s3, bucket = self.stack.client("s3", DEV), f"schema-migrations-artifacts-{DEV}-eu-central-1"
        prefix = f"{PIPELINE[:20]}/source/"
        found = s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]
        newest = max(found, key=lambda one: one["LastModified"])
        s3.put_object(Bucket=bucket, Key=newest["Key"], Body=source.archive)

    def definition(self) -> str:
        """Return the pipeline's definition."""
        client = self.stack.client("codepipeline", DEV)
        return json.dumps(client.get_pipeline(name=PIPELINE)["pipeline"])

    def deployed(self, env: str) -> dict[str, str]:
        """Return when an environment's functions were changed last, by their names."""
        found = self.stack.client("lambda", ACCOUNTS[env]).list_functions()["Functions"]
        return {function["FunctionName"]: function["LastModified"] for function in found}

    def snapshots(self) -> set[str]:
        """Return the ARNs of the snapshots that were taken of prod's database."""
        rds = self.stack.client("rds", PROD)
        found = rds.describe_db_cluster_snapshots(SnapshotType="manual")["DBClusterSnapshots"]
        return {snapshot["DBClusterSnapshotArn"] for snapshot in found}

    def applied(self, env: str) -> list[str]:
        """Return the versions that an environment's database has."""
        if self.told(env, "select to_regclass('schema_version')") in ([], [None]):
            return []
        applied = "select version from schema_version where kind = 'versioned' order by version"
        return self.told(env, applied)

    def told(self, env: str, sql: str) -> list[Any]:
        """Return what an environment's database answers, nothing where there is none."""
        homes = list((self.stack.state.folder / "postgres").glob(f"{ACCOUNTS[env]}-*"))
        if not homes:
            return []
        (home,) = homes
        connection = psycopg2.connect(
            host="127.0.0.1",
            port=json.loads((home / "ports.json").read_text())["plain"],
            user="rdsadmin",
            password=(home / "password").read_text(),
            dbname="app",
        )
        with contextlib.closing(connection), connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return [value for (value,) in cursor]


def inventories(folder: Path) -> None:
    """Write the inventories dev and prod, as the local one but in two accounts."""
    local = (folder / "inventories/local/group_vars/aws.yml").read_text()
    for env, account in ACCOUNTS.items():
        shutil.rmtree(folder / "inventories" / env)
        (folder / "inventories" / env / "group_vars").mkdir(parents=True)
        variables = local.replace(
            'pipeline_account_id: "000000000000"', f'pipeline_account_id: "{DEV}"'
        )
        variables = variables.replace("000000000000", account)
        own = "^(runner_require_plan_digest|runner_signed|fleet_wanted): .*$"
        variables = re.sub(own, "", variables, flags=re.MULTILINE)
        approved = str(env == "prod").lower()
        (folder / "inventories" / env / "group_vars/aws.yml").write_text(
            f"{variables}\nbastion_wanted: false\nrunner_require_plan_digest: {approved}\n"
            f"runner_require_evidence: {approved}\nrunner_require_snapshot: {approved}\n"
            f"rehearsal_wanted: {approved}\n"
            "runner_signed: false\nfleet_wanted: false\n"
        )
        hosts = {"aws": {"hosts": {env: None}}, "pipeline": {"hosts": {}}}
        if env == "dev":
            hosts["pipeline"]["hosts"] = {env: None}
            (folder / "inventories/dev/group_vars/pipeline.yml").write_text(STAGES)
        (folder / "inventories" / env / "hosts.yml").write_text(json.dumps(hosts))


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """Bootstrap two accounts and make the pipeline; nothing is deployed yet."""
    stack = Stack(State.of_tests(tmp_path_factory.mktemp("whole")), [DEV])
    stack.up()
    with (
        warm(environment(stack)) as python,
        Source.of_folder(CLONE).unpacked(tmp_path_factory.mktemp("source")) as folder,
    ):
        inventories(folder)
        subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
        (folder / ".git/info/exclude").write_text(".venv\n.cache\n")
        made = Line(stack, folder, python)
        try:
            made.play("dev", "playbooks/bootstrap.yml")
            made.play("prod", "playbooks/bootstrap.yml")
            made.play("dev", "playbooks/pipeline.yml")
            yield made
        finally:
            stack.down()


def refuse(question: str) -> bool:
    """Approve nothing."""
    pytest.fail(f"nobody should be asked: {question}")


def test_a_first_deployment_waits_with_its_digest_and_reaches_prod(line: Line) -> None:
    seen: dict[str, Any] = {}

    def approve(question: str) -> bool:
        seen.update(asked=question, dev=line.applied("dev"), prod=line.applied("prod"))
        return True

    assert line.run(line.pushed(), approve)
    assert (seen["dev"], seen["prod"]) == (["1", "2", "3"], [])
    assert re.match(
        r"prod: No risk seen: 4 files to run.*; 4 pending, digest sha256:[0-9a-f]{64}; "
        r"rehearsal: not rehearsed: there is no function for rehearsals yet; "
        r"infrastructure: .+ \(https://\S+/schema-migrations-look-prod%3A\S+/\) "
        r"https://eu-central-1\.console\.aws\.amazon\.com/\S+/schema-migrations-rehearse-prod%3A\S+/$",
        seen["asked"],
    ), seen["asked"]
    assert line.applied("prod") == ["1", "2", "3"]


def test_nobody_is_asked_where_nothing_is_pending_and_nothing_would_change(line: Line) -> None:
    assert line.run(line.pushed(), refuse, "Look", "Plan", "Approve")


def test_the_approval_names_what_of_the_infrastructure_would_change(line: Line) -> None:
    path = "inventories/prod/group_vars/aws.yml"
    kept = (line.folder / path).read_text()
    asked: list[str] = []
    changed = line.commit(**{path: f"{kept}\nrunner_memory: 1024\n"})
    line.commit(**{path: kept})
    assert not line.run(changed, lambda q: bool(asked.append(q)), "Look", "Plan", "Approve")
    assert "; infrastructure: 2 tasks would change something: runner : Ensure the f" in asked[0]


def test_a_broken_migration_stops_in_check(line: Line) -> None:
    name = "sql/V900__break.sql"
    source = line.commit(**{name: "alter table customer add colum x text;\n"})
    (line.folder / name).unlink()
    assert not line.run(source, refuse)
    assert line.applied("dev") == line.applied("prod") == ["1", "2", "3"]


def test_what_is_changed_after_the_approval_is_refused(line: Line) -> None:
    good = line.commit(
        **{
            "sql/V004__add_note.sql": "alter table customer add column note text;\n",
            "sql/U004__add_note.sql": "alter table customer drop column note;\n",
        }
    )
    text = (line.folder / "sql/V004__add_note.sql").read_text()
    changed = line.commit(**{"sql/V004__add_note.sql": text.replace("note text", "note2 text")})
    line.commit(**{"sql/V004__add_note.sql": text})

    def approve(question: str) -> bool:
        assert "; rehearsal: passed: 1 file took " in question
        line.exchange(changed)  # for what nobody approved
        return True

    steps = ("Check", "Plan", "Rehearse", "Approve", "Sign", "Deploy", "Migrate")
    assert not line.run(good, approve, *steps)
    assert line.applied("dev") == ["1", "2", "3", "4"]
    assert line.applied("prod") == ["1", "2", "3"]


def test_nobody_is_asked_for_what_goes_over_a_limit_on_the_copy_and_prod_stays_as_it_is(
    line: Line,
) -> None:
    name = "sql/V903__hold.sql"
    held = "alter table customer add column held text;\nselect pg_sleep(2.2);\n"
    source = line.commit(**{name: held})
    (line.folder / name).unlink()
    before, rds = line.applied("prod"), line.stack.client("rds", PROD)
    asked: list[str] = []
    assert not line.run(source, lambda q: bool(asked.append(q)), "Plan", "Rehearse", "Approve")
    assert not asked
    assert line.applied("prod") == before
    names = {c["DBClusterIdentifier"] for c in rds.describe_db_clusters()["DBClusters"]}
    assert names == {"schema-migrations-prod"}


def test_files_too_large_for_an_event_are_planned_for_the_approval(line: Line) -> None:
    """Prod's function gets them by a bucket of its account: the planner writes, it reads."""
    name = "sql/V901__load.sql"
    load = f"-- {random.Random(1).randbytes(5_000_000).hex()}\nselect 1;\n"  # halved by gzip
    source = line.commit(**{name: load})
    (line.folder / name).unlink()
    assert line.run(source, refuse, "Plan")
    bucket = f"schema-migrations-files-{PROD}-eu-central-1"
    (found,) = line.stack.client("s3", PROD).list_objects_v2(Bucket=bucket)["Contents"]
    assert found["Size"] > 4_000_000


def test_a_change_of_the_pipeline_itself_waits_for_its_own_approval(line: Line) -> None:
    """Refused, nothing is changed or deployed; approved, it is changed and started again."""
    path = "roles/pipeline/templates/stages.yml.j2"
    kept = (line.folder / path).read_text()
    given = "'STEP': 'check'"
    changed = line.commit(**{path: kept.replace(given, f"{given}, 'MARK': 'new'")})
    dev = line.deployed("dev")
    asked: list[str] = []
    steps = ("Compare", "Ask", "Approve", "Update", "Start", "Plan")
    refuse_it = (lambda question: bool(asked.append(question)), *steps, "Deploy", "Migrate")
    assert not line.run(changed, *refuse_it)
    (question,) = asked
    assert re.match(
        f"the pipeline {PIPELINE} itself: 1 task would change something: pipeline : Ensure the "
        rf"pipeline; commit \S+ https://\S+/{PIPELINE}-compare%3A\S+/$",
        question,
    ), question
    assert "MARK" not in line.definition()
    assert line.deployed("dev") == dev

    def approve(question: str) -> bool:
        asked.append(question)
        return len(asked) == 2

    assert not line.run(changed, approve, *steps)
    assert "MARK" in line.definition()
    assert asked[1].startswith(f"the pipeline {PIPELINE} itself: ")
    assert asked[2].startswith("prod: ")
    line.commit(**{path: kept})
    line.play("dev", "playbooks/pipeline.yml")


# What a build says of what it never did. Of the pipeline it says that it is what the commit asks
# for, or nothing after Check would run.
LIES = {
    **dict.fromkeys(("PLAN_DIGEST", "PLAN_RISK", "PLAN_PENDING", "PLAN_ASKS", "REPORT_URL"), "x"),
    "PLAN_MAY_LOSE": "no",
    "SNAPSHOT": "none",
    "REHEARSAL": "x",
    "HELD": "none",
    "PROVED": "x",
    "APPLIED": "x",
    "CHANGED": "0",
    "CHANGES": "x",
}


def test_pushed_code_does_not_get_round_the_approval(line: Line, tmp_path: Path) -> None:
    result = tmp_path / "found"
    result.touch()
    shutil.copy(Path(__file__).with_name("attack.py"), line.folder / "attack.py")
    attack = f".venv/bin/python attack.py {DEV} {PROD} {result}"
    spec = json.dumps(
        {
            "version": 0.2,
            "env": {"exported-variables": list(LIES)},
            "phases": {
                "build": {"commands": [attack, *(f"export {n}={v}" for n, v in LIES.items())]}
            },
        }
    )
    kept = (line.folder / "buildspec.yml").read_text()
    # Without something to run nobody would be asked.
    pending = {
        "sql/V901__add_alias.sql": "alter table customer add column alias text;\n",
        "sql/U901__add_alias.sql": "alter table customer drop column alias;\n",
    }
    source = line.commit(**{"buildspec.yml": spec}, **pending)
    (line.folder / "buildspec.yml").write_text(kept)
    before = line.applied("prod")
    asked: list[str] = []
    assert not line.run(source, lambda question: bool(asked.append(question)))
    # Not what the pushed buildspec exports: the planner is none of its code.
    told = (
        r"prod: .+; \d+ pending, digest sha256:[0-9a-f]{64}; rehearsal: (passed|nothing).+; "
        r"infrastructure: x \(x\) https://"
    )
    assert re.match(told, asked[0])
    found = {
        told["build"].removeprefix(f"{PIPELINE}-"): told["found"]
        for told in map(json.loads, result.read_text().splitlines())
    }
    done = {
        build: {what for what, came in all_.items() if came == "DONE"}
        for build, all_ in found.items()
    }
    assert done == {
        "check": set(),
        "compare": {"take dev's pipeline-reader"},
        "deploy-dev": {"take dev's deploy"},
        "migrate-dev": {"take dev's invoke-live"},
        "look-prod": {"take prod's look"},
    }
    others = {came for all_ in found.values() for came in all_.values()} - {"DONE"}
    assert others <= REFUSED
    assert line.applied("prod") == before


# Of the services that the emulator of pipelines does not guard, the policies are evaluated.
UNGUARDED = (
    "codepipeline:UpdatePipeline", "codepipeline:CreatePipeline", "codepipeline:DeletePipeline",
    "codepipeline:PutApprovalResult", "codepipeline:OverrideStageCondition",
    "codepipeline:StartPipelineExecution", "codepipeline:RetryStageExecution",
    "codecommit:GitPush", "codecommit:PutFile", "iam:PassRole",
)  # fmt: skip
BEFORE = {
    "dev": ("build-check", "build-compare", "build-deploy-dev", "build-migrate-dev",
            "build-look-prod", "build-plan-prod", "build-rehearse-prod", "deploy", "invoke-live",
            "pipeline-reader"),
    "prod": ("invoke-read", "invoke-rehearse", "look"),
}  # fmt: skip


@pytest.mark.parametrize(("env", "role"), [(env, role) for env in BEFORE for role in BEFORE[env]])
def test_no_role_before_the_approval_may_change_the_line(line: Line, env: str, role: str) -> None:
    iam = line.stack.client("iam", ACCOUNTS[env])
    arns = {
        "codepipeline": f"arn:aws:codepipeline:eu-central-1:{DEV}:{PIPELINE}",
        "codecommit": f"arn:aws:codecommit:eu-central-1:{DEV}:{PIPELINE}",
        "iam": f"arn:aws:iam::{DEV}:role/{PIPELINE}-build-deploy-prod",
    }
    for action in UNGUARDED:
        answer = iam.simulate_principal_policy(
            PolicySourceArn=f"arn:aws:iam::{ACCOUNTS[env]}:role/{PIPELINE}-{role}",
            ActionNames=[action],
            ResourceArns=[arns[action.partition(":")[0]]],
        )
        decisions = {r["EvalDecision"] for r in answer["EvaluationResults"]}
        assert "allowed" not in decisions, (role, action)


class Question(NamedTuple):
    """What was asked, and what dev and prod had when it was."""

    text: str
    dev: list[str]
    prod: list[str]


@pytest.fixture(scope="module")
def asked(line: Line) -> list[Question]:
    """Run what is held until new code is deployed, and what may lose data, where both contract.

    Each question is answered with yes. It comes last here: from now on the pipeline contracts.
    """
    path = "inventories/dev/group_vars/pipeline.yml"
    contracting = (line.folder / path).read_text()
    for before, after in (
        ("region: eu-central-1 }", "region: eu-central-1, contract: true }"),
        ("    approval: true", "    approval: true\n    contract: true"),
    ):
        assert before in contracting
        contracting = contracting.replace(before, after)
    held = (
        "-- runner: after deploy\n-- runner: allow ban-drop-column: nobody asks for it by then\n"
        "alter table customer drop column note;\n"
    )
    forget = (
        "-- runner: irreversible: nobody reads it\n"
        "-- runner: allow ban-drop-column: nobody reads it\n"
        "alter table customer drop column name;\n"
    )
    source = line.commit(
        **{
            path: contracting,
            "sql/V005__drop_note.sql": held,
            "sql/U005__drop_note.sql": "alter table customer add column note text;\n",
            "sql/V902__forget.sql": forget,
        }
    )
    line.play("dev", "playbooks/pipeline.yml")
    questions: list[Question] = []

    def approve(text: str) -> bool:
        questions.append(Question(text.strip(), line.applied("dev"), line.applied("prod")))
        return True

    steps = ("Check", "Plan", "Rehearse", "Approve", "Deploy", "Migrate", "PlanContract")
    assert line.run(source, approve, *steps, "Deployed", "Snapshot", "Contract")
    return questions


def test_what_waits_goes_when_somebody_says_that_the_new_code_is_there(
    line: Line, asked: list[Question]
) -> None:
    """In dev, then in prod, where it is a plan of its own that is approved."""
    ask = "is the new application deployed, and the old one gone? Then "
    before, after = ["1", "2", "3", "4", "901", "902"], ["1", "2", "3", "4", "5", "901", "902"]
    dev, prod, gone = asked
    assert (dev.text, dev.dev) == (f"dev: {ask}1 held", before)
    assert re.match(r"prod: .+: 3 files to run.+; 1 file held until the new code is de", prod.text)
    assert "rehearsal: passed: 4 files took" in prod.text  # what waits is run on the copy as well
    assert prod[1:] == (after, ["1", "2", "3"])
    assert re.match(
        rf"prod: {re.escape(ask)}.+; 1 pending, digest sha256:[0-9a-f]{{64}} ", gone.text
    )
    assert gone[1:] == (after, before)
    assert line.applied("prod") == after


@pytest.mark.usefixtures("asked")
def test_what_may_lose_data_runs_in_prod_after_a_snapshot_that_its_history_names(
    line: Line,
) -> None:
    """One before what was pushed, one before what was held."""
    told = "select details ->> 'arn' from schema_version_log where action = 'snapshot'"
    taken = line.told("prod", told)
    assert len(taken) == 2
    assert set(taken) == line.snapshots()


TENANTS = ["tenant_1", "tenant_2", "tenant_3"]


def stand(line: Line) -> list[Any]:
    """Return which tenant of prod has which versions."""
    histories = " union all ".join(
        f"select '{tenant} ' || version from {tenant}.schema_version where kind = 'versioned'"
        for tenant in TENANTS
    )
    return line.told("prod", f"{histories} order by 1")


@pytest.fixture(scope="module")
def tenants(line: Line, asked: list[Question]) -> str:
    """Have prod's stage migrate a fleet of schemas from now on; return what was asked."""
    inventory = line.folder / "inventories/prod/group_vars/aws.yml"
    single, wanted = "fleet_wanted: false", 'fleet_wanted: true\nrunner_schemas: ["tenant_*"]'
    assert single in inventory.read_text()
    inventory.write_text(inventory.read_text().replace(single, wanted))
    targets = "targets.json"
    fleet = f"{{ targets: {targets}, canary: 1, create_schema: true }}"
    stages = STAGES.replace("held: 2s", f"held: 2s, schema: {TENANTS[0]}")
    source = line.commit(
        **{
            "inventories/dev/group_vars/pipeline.yml": stages.replace(
                "    approval: true", f"    approval: true\n    fleet: {fleet}"
            ),
            targets: json.dumps([{"schema": tenant} for tenant in TENANTS]),
        }
    )
    for env, play in (("prod", "bootstrap"), ("dev", "pipeline")):
        line.play(env, f"playbooks/{play}.yml")
    questions: list[str] = []

    def approve(text: str) -> bool:
        questions.append(text.strip())
        return True

    assert line.run(source, approve, "Check", "Plan", "Approve", "Deploy", "Migrate")
    (question,) = questions
    return question


def test_one_approval_lets_a_stage_migrate_every_target_of_its_fleet(
    line: Line, tenants: str
) -> None:
    """There was no state machine when it was planned: in each of them everything is new."""
    assert re.match(
        r"prod: 3 targets; 3 at nothing yet, as tenant_1 sees it: .+: \d files to run.+; \d pending"
        r"; rehearsal: passed; infrastructure: ",
        tenants,
    ), tenants
    # As prod's one database had them, but for what waits for the new code in them.
    versions = [version for version in line.applied("prod") if version != "5"]
    assert stand(line) == [f"{tenant} {version}" for tenant in TENANTS for version in versions]


@pytest.mark.usefixtures("tenants")
def test_of_a_fleet_one_schema_is_rehearsed_before_anybody_is_asked(line: Line) -> None:
    before = stand(line)
    source = line.commit(**{"sql/V904__seen.sql": "alter table customer add column seen int;\n"})
    questions: list[str] = []
    steps = ("Plan", "Rehearse", "Approve")
    assert not line.run(source, lambda text: bool(questions.append(text.strip())), *steps)
    (question,) = questions
    assert re.match(
        r"prod: 3 targets; 3 at 902, as tenant_1 sees it: .+: 1 file to run.+; 1 pending"
        r"; rehearsal: passed: 1 file took .+ on a copy, locks held for up to ",
        question,
    ), question
    assert stand(line) == before
