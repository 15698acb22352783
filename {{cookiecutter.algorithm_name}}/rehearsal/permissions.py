"""Template: which permissions of IAM a call needs, and whether a policy gives them.

``Simulator.uses`` keeps what was needed. A policy in ``Simulator.policies`` is enforced. Conditions are not judged.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

from botocore import xform_name
from werkzeug import Request, Response

from rehearsal.calls import signature

if TYPE_CHECKING:
    from rehearsal.simulator import Simulator

ACCOUNT = "123456789012"
CALLER, ROLE = "caller", "execution-role"
HARNESS_KEY = "harness"  # the access key of what the simulator does for itself
ROLE_KEY = "harness-role"  # and of what the platform does with the execution role
ANY = "*"
PREFIXES = {
    "monitoring": "cloudwatch",
    "tagging": "tag",
}  # IAM's name of a service, where requests are signed with another
FREE = {"sts:GetCallerIdentity"}  # what needs no permission
# What a call needs beside its own action, by a word in its request.
IMPLIED = (
    ("sagemaker:", b'"Tags"', "sagemaker:AddTags"),
    ("application-autoscaling:Register", b'"Tags"', "application-autoscaling:TagResource"),
    ("application-autoscaling:Register", b"", "iam:CreateServiceLinkedRole"),
    ("cloudwatch:Put", b"Tags", "cloudwatch:TagResource"),
    ("cloudformation:Create", b"Tags", "cloudformation:TagResource"),
)
TWO_NAMES = ("CreateEndpoint", "UpdateEndpoint")  # each needs the endpoint and the configuration
OBJECT = {"GET": "GetObject", "HEAD": "GetObject", "PUT": "PutObject", "POST": "PutObject", "DELETE": "DeleteObject"}
# What the platform does with the role for each job and each model (E-15), and where there is a key or a VPC.
PULL = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
LOG = ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents")
KEY = ("kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey")
NETWORK = tuple(
    f"ec2:{action}"
    for action in (
        *("CreateNetworkInterface", "CreateNetworkInterfacePermission", "DeleteNetworkInterface"),
        *("DeleteNetworkInterfacePermission", "DescribeDhcpOptions", "DescribeNetworkInterfaces"),
        *("DescribeSecurityGroups", "DescribeSubnets", "DescribeVpcs"),
    )
)


@dataclass(frozen=True)
class Use:
    """One permission that was needed."""

    identity: str
    action: str
    resource: str = ANY


def judge(simulator: "Simulator", request: Request, body: bytes) -> Response | None:
    """Record what a request needs. The refusal of what the policy of its sender does not allow, or else None."""
    signed = signature(request)
    if signed is None or signed[1] == HARNESS_KEY:
        return None
    identity = ROLE if signed[1] == ROLE_KEY else CALLER
    arn = f"arn:aws:{{}}:{signed[2]}:{ACCOUNT}:{{}}"
    for action, resource in needed(PREFIXES.get(signed[3], signed[3]), arn, request, body):
        if denied := check(simulator, Use(identity, action, resource)):
            return _refusal(request, denied)
    if signed[3] == "sagemaker" and (document := _document(request, body)):
        simulator.uses += of_the_role(operation_of(request, body), document)
    return None


def check(simulator: "Simulator", use: Use) -> str:
    """Record a use; AWS's sentence if it is denied, or the policy of its identity does not allow it."""
    simulator.uses.append(use)
    policy = simulator.policies.get(use.identity)
    denied = use.identity == CALLER and use.action in simulator.denied
    if not denied and (policy is None or allows(policy, use.action, use.resource)):
        return ""
    return (
        f"User: arn:aws:sts::{ACCOUNT}:assumed-role/{use.identity} is not authorized to perform: {use.action} "
        f"on resource: {use.resource} because no identity-based policy allows the {use.action} action"
    )


def allows(policy: dict[str, Any], action: str, resource: str) -> bool:
    """Whether a statement has the action, for the resource. Where that is not known, any resource will do."""
    for statement in policy["Statement"]:
        if any(fnmatchcase(action, pattern) for pattern in _listed(statement["Action"])) and (
            resource == ANY or any(fnmatchcase(resource, pattern) for pattern in _listed(statement["Resource"]))
        ):
            return True
    return False


def needed(service: str, arn: str, request: Request, body: bytes) -> Iterator[tuple[str, str]]:
    """The actions that a request needs, each with a resource."""
    if service == "s3":
        yield from _of_s3(request)
        return
    operation = operation_of(request, body)
    action = f"{service}:{operation}"
    if action in FREE:
        return
    document = _document(request, body)
    resources = list(_resources(action, arn, request, document)) or [ANY]
    for resource in resources:
        yield action, resource
    for start, word, implied in IMPLIED:
        if action.startswith(start) and word in body and implied != action:
            yield implied, resources[0]
    for path, value in _leaves(document):
        if path.endswith(("RoleArn", "RoleARN")):
            yield "iam:PassRole", value
    if "VolumeKmsKeyId" in body.decode(errors="replace") or (operation == "CreateEndpointConfig" and b"Kms" in body):
        yield "kms:CreateGrant", f"{arn.format('kms', 'key')}/KEY"


def operation_of(request: Request, body: bytes) -> str:
    """The name of an operation, in whichever of AWS's protocols it came."""
    if target := request.headers.get("X-Amz-Target"):
        return target.rpartition(".")[2]
    if "/operation/" in request.path:
        return request.path.rpartition("/")[2]
    if "/endpoints/" in request.path:
        kinds = {"invocations": "InvokeEndpoint", "async-invocations": "InvokeEndpointAsync"}
        return kinds.get(request.path.rpartition("/")[2], "InvokeEndpointWithResponseStream")
    return parse_qs(body.decode(errors="replace")).get("Action", [request.path])[0]


def of_the_role(operation: str, document: dict[str, Any]) -> Iterator[Use]:
    """What the platform does with the execution role for a job or a model, apart from S3, which it calls."""
    if not operation.startswith("Create"):
        return
    text = json.dumps(document)
    images = {value for path, value in _leaves(document) if path.endswith(("Image", "TrainingImage"))}
    for image in images:
        repository = image.partition("/")[2].partition("@")[0].partition(":")[0]
        yield from (Use(ROLE, action, f"arn:aws:ecr:us-west-2:{ACCOUNT}:repository/{repository}") for action in PULL)
    if images:
        yield Use(ROLE, "ecr:GetAuthorizationToken")
        yield from (Use(ROLE, each, f"arn:aws:logs:us-west-2:{ACCOUNT}:log-group:/aws/sagemaker/{ANY}") for each in LOG)
        yield Use(ROLE, "cloudwatch:PutMetricData")
    if "KmsKeyId" in text:
        yield from (Use(ROLE, action, f"arn:aws:kms:us-west-2:{ACCOUNT}:key/KEY") for action in KEY)
    if "VpcConfig" in text:
        yield from (Use(ROLE, action) for action in NETWORK)
    yield from _on_s3(document)


def _on_s3(document: dict[str, Any]) -> Iterator[Use]:
    """What it reads and what it writes, by where in the request the address is."""
    for path, value in _leaves(document):
        if not isinstance(value, str) or not value.startswith("s3://"):
            continue
        bucket, _, key = value.removeprefix("s3://").partition("/")
        writes = any(word in path for word in ("Output", "Destination", "Failure", "Checkpoint"))
        if writes:
            yield from (
                Use(ROLE, f"s3:{each}", f"arn:aws:s3:::{bucket}/{key}")
                for each in ("AbortMultipartUpload", "PutObject")
            )
        if not writes or "Checkpoint" in path:
            yield Use(ROLE, "s3:GetObject", f"arn:aws:s3:::{bucket}/{key}")
            yield Use(ROLE, "s3:ListBucket", f"arn:aws:s3:::{bucket}")


def _of_s3(request: Request) -> Iterator[tuple[str, str]]:
    bucket, _, key = unquote(request.path).lstrip("/").partition("/")
    method, query = request.method, request.args
    if key:
        action = "AbortMultipartUpload" if method == "DELETE" and "uploadId" in query else OBJECT[method]
        yield f"s3:{action}", f"arn:aws:s3:::{bucket}/{key}"
        if "uploads" in query:  # boto3 aborts an upload that breaks off
            yield "s3:AbortMultipartUpload", f"arn:aws:s3:::{bucket}/{key}"
        if source := request.headers.get("X-Amz-Copy-Source"):
            yield "s3:GetObject", f"arn:aws:s3:::{unquote(source).lstrip('/')}"
    elif method == "POST":
        yield "s3:DeleteObject", f"arn:aws:s3:::{bucket}/{ANY}"
    else:
        actions = {"GET": "ListBucket", "HEAD": "ListBucket", "PUT": "CreateBucket", "DELETE": "DeleteBucket"}
        yield f"s3:{actions[method] if bucket else 'ListAllMyBuckets'}", f"arn:aws:s3:::{bucket or ANY}"


def _resources(action: str, arn: str, request: Request, document: dict[str, Any]) -> Iterator[str]:
    """The ARNs of what a request names, as far as our policies name them: SageMaker's and CloudFormation's."""
    service, _, operation = action.partition(":")
    if service == "cloudformation":
        name = document.get("StackName", "")
        yield name if name.startswith("arn:") else arn.format(service, f"stack/{name}/{ANY}")
    elif service == "sagemaker" and "/endpoints/" in request.path:
        yield arn.format(service, f"endpoint/{unquote(request.path.split('/')[2])}")
    elif service == "sagemaker" and "ResourceArn" in document:
        yield document["ResourceArn"]
    elif service == "sagemaker" and not operation.startswith("List"):  # no list can be limited to some
        named = [(member, value) for member, value in document.items() if member.endswith("Name")]
        for member, value in named if operation in TWO_NAMES else named[:1]:
            kind = xform_name(member.removesuffix("Name")).replace("_", "-")
            yield value if value.startswith("arn:") else arn.format(service, f"{kind}/{value}")


def _document(request: Request, body: bytes) -> dict[str, Any]:
    if request.headers.get("X-Amz-Target"):
        return dict(json.loads(body))
    if request.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
        return {key: values[0] for key, values in parse_qs(body.decode()).items()}
    return {}


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from _leaves(each, f"{path}.{key}")
    if not isinstance(value, dict | list):
        yield path, value


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _refusal(request: Request, message: str) -> Response:
    """The error in the form that the service has for it."""
    if request.headers.get("X-Amz-Target") or "/endpoints/" in request.path:
        said = json.dumps({"__type": "AccessDeniedException", "message": message, "Message": message})
        return Response(said, 400, {"x-amzn-errortype": "AccessDeniedException"})
    inner = f"<Code>AccessDenied</Code><Message>{escape(message)}</Message>"
    is_s3 = "Action=" not in request.get_data(as_text=True)
    said = f"<Error>{inner}</Error>" if is_s3 else f"<ErrorResponse><Error>{inner}</Error></ErrorResponse>"
    return Response(said, 403, {"Content-Type": "text/xml"})
