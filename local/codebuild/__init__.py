"""CodePipeline's and CodeBuild's part: a pipeline's actions, run on this machine as AWS runs them.

Here enters what reads `buildspec.yml` or an emulated pipeline's definition. The emulators are
reached through `local.stack` alone, by the calls that AWS has too.
"""
