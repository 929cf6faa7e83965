"""Python imports this by itself where the folder is on PYTHONPATH: in Ansible and its modules."""

import contextlib

with contextlib.suppress(ImportError):  # a Python other than ours
    from local.ansible.kept_code import keep

    keep()
