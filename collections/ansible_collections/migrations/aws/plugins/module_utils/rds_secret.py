"""The key of a database, and the secret that RDS keeps for it."""

from __future__ import annotations

from ansible_collections.migrations.aws.plugins.module_utils.converge import Converge


def key_arn(run: Converge) -> str:
    """Return the ARN of the key that is to encrypt storage and secret; end the module without it.

    RDS answers with the ARN, whatever it was asked with.
    """
    name = run.params["kms_key"]
    found = run.read(run.client("kms").describe_key, ("NotFoundException",), KeyId=name)
    key = (found or {}).get("KeyMetadata", {"KeyState": "missing"})
    if key["KeyState"] != "Enabled":
        run.module.fail_json(
            msg=f"The key {name} is needed, and it is {key['KeyState']}. Bootstrap makes it: run "
            "playbooks/bootstrap.yml of this inventory with an administrator's credentials."
        )
    return str(key["Arn"])


class Secret:
    """The schedule of the secret that RDS keeps for the database."""

    def __init__(self, run: Converge, arn: str) -> None:
        self.run, self.arn = run, arn
        self.secrets = run.client("secretsmanager")

    def ensure(self) -> None:
        """Set the days between rotations; RDS does the rotating."""
        days = self.run.params["rotation_days"]
        found = (
            (self.run.read(self.secrets.describe_secret, SecretId=self.arn) or {})
            if self.arn
            else {}
        )
        have = found.get("RotationRules", {}).get("AutomaticallyAfterDays")
        if found and have != days:
            self.run.before["rotation days"], self.run.after["rotation days"] = have, days
            rules = {"AutomaticallyAfterDays": days}
            self.run.send(
                self.secrets.rotate_secret,
                SecretId=self.arn,
                RotationRules=rules,
                RotateImmediately=False,
            )
