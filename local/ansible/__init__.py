"""What makes Ansible's modules cheaper to start on this machine, and changes nothing that they do.

Here enters what belongs to a run of ansible-playbook against the emulators. It knows no other room.
"""

from local.ansible.kept_code import startup

__all__ = ["startup"]
