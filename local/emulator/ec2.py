"""Make ministack's EC2 keep what it drops of instances, security rules and VPC endpoints."""
# ruff: noqa: SLF001 (patching private names is this module's purpose)

import fnmatch
import itertools
import json
import re
from typing import Any
from xml.sax.saxutils import escape

from local.emulator.patches import Wrapper, add, module, wrap

ec2 = module("ministack.services.ec2")
ssm = module("ministack.services.ssm")

_AMIS = {
    "al2023-ami-kernel-default-arm64": "ami-0c2023a1b2c3d4e60",
    "al2023-ami-minimal-kernel-default-arm64": "ami-0c2023a1b2c3d4e61",
}
_INTERFACE = "NetworkInterface.1."
# The policy that EC2 writes into an endpoint that is made without one.
OPEN = json.dumps(
    {
        "Version": "2008-10-17",
        "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}],
    }
)
_METADATA_DEFAULTS = {
    "HttpTokens": "optional",
    "HttpPutResponseHopLimit": "1",
    "HttpEndpoint": "enabled",
}


def patch() -> None:
    """Replace how instances are started and described, and know the arm64 images."""
    for name, image in _AMIS.items():
        parameter = f"/aws/service/ami-amazon-linux-latest/{name}"
        add(ssm, "_PUBLIC_AMI_PARAMETERS", parameter, image)
    for name, entry, wrapper in (
        ("_run_instances", "RunInstances", _adjusting),
        ("_terminate_instances", "TerminateInstances", _taking_disks),
    ):
        wrap(ec2, name, wrapper)
        _wrap_action(entry, wrapper)
    wrap(ec2, "_instance_xml", _with_interfaces)
    wrap(ec2, "_parse_ip_permissions", _with_prefix_lists)
    _patch_endpoints()
    _patch_interfaces()


def _wrap_action(name: str, wrapper: Wrapper) -> None:
    wrap(ec2, "_ACTION_MAP", wrapper, entry=name)


def _adjusting(original: Any) -> Any:

    def run(parameters: dict[str, Any]) -> Any:
        request = dict(parameters)
        if subnet := ec2._p(parameters, f"{_INTERFACE}SubnetId"):
            request["SubnetId"] = subnet
            for key, value in parameters.items():
                if number := re.fullmatch(rf"{_INTERFACE}SecurityGroupId\.(\d+)", key):
                    request[f"SecurityGroupId.{number[1]}"] = value
        known = set(ec2._instances.keys())
        response = original(request)
        for identifier in set(ec2._instances.keys()) - known:
            _adjust(ec2._instances[identifier], parameters)
        return response

    return run


def _taking_disks(original: Any) -> Any:
    """Let the disks that are to go with an instance go with it."""

    def terminate(parameters: dict[str, Any]) -> Any:
        response = original(parameters)
        for identifier, volume in list(ec2._volumes.items()):
            if any(_ended(a) and a["DeleteOnTermination"] for a in volume["Attachments"]):
                del ec2._volumes[identifier]
        return response

    return terminate


def _ended(attachment: dict[str, Any]) -> bool:
    instance = ec2._instances.get(attachment["InstanceId"])
    return bool(instance and instance["State"]["Name"] == "terminated")


def _adjust(instance: dict[str, Any], parameters: dict[str, Any]) -> None:
    """Keep what the request, else the subnet, said: address, metadata options, encryption."""
    asked = ec2._p(parameters, f"{_INTERFACE}AssociatePublicIpAddress")
    subnet = ec2._subnets.get(instance["SubnetId"], {})
    if asked == "false" or (not asked and not subnet.get("MapPublicIpOnLaunch")):
        instance["PublicIpAddress"] = instance["PublicDnsName"] = ""
    instance["_metadata"] = {
        key: ec2._p(parameters, f"MetadataOptions.{key}") or default
        for key, default in _METADATA_DEFAULTS.items()
    }
    encrypted = ec2._p(parameters, "BlockDeviceMapping.1.Ebs.Encrypted") == "true"
    for mapping in instance["BlockDeviceMappings"]:
        ec2._volumes[mapping["Ebs"]["VolumeId"]]["Encrypted"] = encrypted


def _with_prefix_lists(original: Any) -> Any:
    """Keep the prefix lists of security group rules."""

    def parse(parameters: dict[str, Any], prefix: str) -> list[dict[str, Any]]:
        rules: list[dict[str, Any]] = original(parameters, prefix)
        for number, rule in enumerate(rules, 1):
            for index in itertools.count(1):
                key = f"{prefix}.{number}.PrefixListIds.{index}.PrefixListId"
                if not (identifier := ec2._p(parameters, key)):
                    break
                rule["PrefixListIds"].append({"PrefixListId": identifier})
        return rules

    return parse


def _with_interfaces(original: Any) -> Any:

    def describe(instance: dict[str, Any]) -> str:
        text = str(original(instance))
        if not instance.get("PublicIpAddress"):
            text = re.sub("<(dnsName|ipAddress)>[^<]*</(dnsName|ipAddress)>", "", text)
        head, end, tail = text.rpartition("</item>")
        return f"{head}{_metadata_xml(instance)}{_interface_xml(instance)}{end}{tail}"

    return describe


def _metadata_xml(instance: dict[str, Any]) -> str:
    options = instance.get("_metadata") or _METADATA_DEFAULTS
    values = "".join(
        f"<{name}>{options[key]}</{name}>"
        for key in _METADATA_DEFAULTS
        for name in (key[0].lower() + key[1:],)
    )
    return (
        f"<metadataOptions><state>applied</state>{values}"
        "<httpProtocolIpv6>disabled</httpProtocolIpv6>"
        "<instanceMetadataTags>disabled</instanceMetadataTags></metadataOptions>"
    )


def _interface_xml(instance: dict[str, Any]) -> str:
    number = instance["InstanceId"][2:]
    groups = "".join(
        f"<item><groupId>{group['GroupId']}</groupId>"
        f"<groupName>{group['GroupName']}</groupName></item>"
        for group in instance.get("SecurityGroups", [])
    )
    return (
        f"<networkInterfaceSet><item><networkInterfaceId>eni-{number}</networkInterfaceId>"
        f"<subnetId>{instance['SubnetId']}</subnetId><vpcId>{instance['VpcId']}</vpcId>"
        f"<status>in-use</status><privateIpAddress>{instance['PrivateIpAddress']}"
        f"</privateIpAddress><sourceDestCheck>true</sourceDestCheck><groupSet>{groups}</groupSet>"
        f"<attachment><attachmentId>eni-attach-{number}</attachmentId>"
        "<deviceIndex>0</deviceIndex><status>attached</status>"
        "<deleteOnTermination>true</deleteOnTermination></attachment></item></networkInterfaceSet>"
    )


def _patch_endpoints() -> None:
    """Keep groups and policies of VPC endpoints, and describe those of the VPC asked for."""
    _wrap_action("CreateVpcEndpoint", _keeping_groups)
    _wrap_action("ModifyVpcEndpoint", _changing_groups)
    _wrap_action("DescribeVpcEndpoints", _of_the_vpc)
    wrap(ec2, "_vpce_fields_xml", _with_groups)


def _keeping_groups(create: Any) -> Any:
    def creating(parameters: dict[str, Any]) -> Any:
        known = set(ec2._vpc_endpoints.keys())
        response = create(parameters)
        groups = ec2._parse_member_list(parameters, "SecurityGroupId")
        for identifier in set(ec2._vpc_endpoints.keys()) - known:
            ec2._vpc_endpoints[identifier]["_groups"] = groups
            ec2._vpc_endpoints[identifier]["PolicyDocument"] = ec2._p(parameters, "PolicyDocument")
        return response

    return creating


def _changing_groups(modify: Any) -> Any:
    def modifying(parameters: dict[str, Any]) -> Any:
        endpoint = ec2._vpc_endpoints.get(ec2._p(parameters, "VpcEndpointId"))
        if endpoint:
            added = ec2._parse_member_list(parameters, "AddSecurityGroupId")
            removed = ec2._parse_member_list(parameters, "RemoveSecurityGroupId")
            endpoint["_groups"] = sorted({*endpoint.get("_groups", []), *added} - {*removed})
            if ec2._p(parameters, "ResetPolicy") == "true":
                endpoint["PolicyDocument"] = ""
        return modify(parameters)

    return modifying


def _of_the_vpc(describe: Any) -> Any:
    def describing(parameters: dict[str, Any]) -> Any:
        vpcs = ec2._parse_filters(parameters).get("vpc-id")
        if not vpcs or ec2._parse_member_list(parameters, "VpcEndpointId"):
            return describe(parameters)
        here = [i for i, e in ec2._vpc_endpoints.items() if e["VpcId"] in vpcs]
        return describe({**parameters, "VpcEndpointId.1": "none", **_numbered(here)})

    return describing


def _with_groups(write: Any) -> Any:
    def described(endpoint: dict[str, Any], tag: str = "item") -> str:
        head, end, tail = str(write(endpoint, tag)).rpartition(f"</{tag}>")
        groups = "".join(
            f"<item><groupId>{group}</groupId></item>" for group in endpoint.get("_groups", [])
        )
        policy = escape(endpoint.get("PolicyDocument") or OPEN)
        guard = f"<policyDocument>{policy}</policyDocument>"
        return f"{head}<groupSet>{groups}</groupSet>{guard}{end}{tail}"

    return described


def _numbered(identifiers: list[str]) -> dict[str, str]:
    return {f"VpcEndpointId.{number}": one for number, one in enumerate(identifiers, 1)}


def _patch_interfaces() -> None:
    """Filter network interfaces, and keep the groups and subnets that they are in."""
    _wrap_action("DescribeNetworkInterfaces", _filtering)
    _wrap_action("DeleteSecurityGroup", lambda delete: _unless_used(delete, "GroupId"))
    _wrap_action("DeleteSubnet", lambda delete: _unless_used(delete, "SubnetId"))


def _filtering(describe: Any) -> Any:
    def describing(parameters: dict[str, Any]) -> Any:
        wanted = ec2._parse_filters(parameters)
        found = [i for i, e in ec2._network_interfaces.items() if _passes(e, wanted)]
        chosen = {f"NetworkInterfaceId.{n}": one for n, one in enumerate([*found, "none"], 1)}
        return describe({**parameters, **chosen} if wanted else parameters)

    return describing


def _passes(interface: dict[str, Any], wanted: dict[str, list[str]]) -> bool:
    values = {
        "description": [interface["Description"]],
        "group-id": [group["GroupId"] for group in interface["Groups"]],
        "subnet-id": [interface["SubnetId"]],
        "vpc-id": [interface["VpcId"]],
    }
    return all(
        any(fnmatch.fnmatchcase(v, pattern) for v in values[name] for pattern in patterns)
        for name, patterns in wanted.items()
    )


def _unless_used(original: Any, parameter: str) -> Any:
    def delete(parameters: dict[str, Any]) -> Any:
        wanted = ec2._p(parameters, parameter)
        for interface in ec2._network_interfaces.values():
            groups = [group["GroupId"] for group in interface["Groups"]]
            if wanted in (interface["SubnetId"], *groups):
                said = f"resource {wanted} has a dependent object"
                return ec2._error("DependencyViolation", said, 400)
        return original(parameters)

    return delete
