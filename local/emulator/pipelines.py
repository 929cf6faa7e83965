"""Run moto for CodePipeline and CodeCommit: python -m local.emulator.pipelines -H HOST -p PORT."""

import importlib
import sys

from local.emulator import executions, patches, quotas, structures
from local.errors import LocalError


class _Role:
    """A role that CodePipeline may assume; the real one is in the other emulator."""

    assume_role_policy_document = (
        '{"Statement": [{"Principal": {"Service": "codepipeline.amazonaws.com"}}]}'
    )


class _Iam:
    def get_role_by_arn(self, _arn: str) -> type[_Role]:
        return _Role


def main() -> None:
    """Accept pipelines whose role moto does not know, then hand over to moto."""
    models = patches.module("moto.codepipeline.models")
    patches.replace(models, "CodePipelineBackend.iam_backend", property(lambda _: _Iam()))
    executions.patch()
    structures.patch()
    quotas.patch()
    try:
        patches.apply()
    except LocalError as error:
        sys.exit(str(error))
    importlib.import_module("moto.server").main(sys.argv[1:])


main()
