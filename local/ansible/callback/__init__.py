"""Ansible callbacks of this machine; Ansible itself loads them, by the folder."""
