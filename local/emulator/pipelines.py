"""Run moto for CodePipeline and CodeCommit.

python -m local.emulator.pipelines COUNT -H HOST -p PORT: in the file COUNT it counts what may have
changed something.
"""

import importlib
import sys
from pathlib import Path

from local.emulator import changes, executions, patches, quotas, structures
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
    count, *arguments = sys.argv[1:]
    models = patches.module("moto.codepipeline.models")
    patches.replace(models, "CodePipelineBackend.iam_backend", property(lambda _: _Iam()))
    changes.patch_pipelines(Path(count))
    executions.patch()
    structures.patch()
    quotas.patch()
    try:
        patches.apply()
    except LocalError as error:
        sys.exit(str(error))
    importlib.import_module("moto.server").main(arguments)


main()
