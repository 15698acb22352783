"""Policies of IAM made of the permissions that were needed: the same that ``deploy/policies`` holds, if it is right."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from deploying import ACCOUNT, ROLE
from projects import TEMPLATE
from rehearsal.permissions import Use

FOLDER = TEMPLATE / "{{cookiecutter.algorithm_name}}" / "deploy" / "policies"
# A resource of the tests, and what stands for it in a policy.
PLACEHOLDERS = (
    (re.escape(ROLE), "ROLE"),
    (r"arn:aws:s3:::[^/]+/.*", "arn:PARTITION:s3:::BUCKET/*"),
    (r"arn:aws:s3:::[^/]+", "arn:PARTITION:s3:::BUCKET"),
    (r"(.*):repository/.*", r"\1:repository/REPOSITORY"),
    (r".*:key/KEY", "KEY"),
    (r"(.*:hyper-parameter-tuning-job)/.*", r"\1/*"),  # whose names are cut to 32 characters
    (r"(.*:model-package/)my-algorithm/.*", r"\1PROJECT/*"),
    (r"(.*[:/])my-algorithm", r"\1PROJECT"),
    (r"(.*[:/])my-algorithm(-[^/]*)?(/.*)?", r"\1PROJECT-*\3"),
)
CONDITIONS: dict[str, Any] = {
    "iam:PassRole": {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
    "iam:CreateServiceLinkedRole": {
        "StringLike": {"iam:AWSServiceName": "sagemaker.application-autoscaling.amazonaws.com"}
    },
    "cloudwatch:PutMetricData": {"StringLike": {"cloudwatch:namespace": ["/aws/sagemaker/*", "AWS/SageMaker*"]}},
    "kms:CreateGrant": {"Bool": {"kms:GrantIsForAWSResource": "true"}},
}


def template(resource: str) -> str:
    """A resource with placeholders for what differs between users."""
    for pattern, placeholder in PLACEHOLDERS:
        if re.fullmatch(pattern, resource):
            resource = re.sub(f"^{pattern}$", placeholder, resource)
            break
    return resource.replace("arn:aws:", "arn:PARTITION:").replace("us-west-2", "REGION").replace(ACCOUNT, "ACCOUNT")


def policy(uses: Iterable[Use]) -> dict[str, Any]:
    """The least that allows all ``uses``: a statement for each resource, service and condition."""
    grouped = defaultdict(set)
    for use in uses:
        service = use.action.partition(":")[0]
        grouped[template(use.resource), json.dumps(CONDITIONS.get(use.action)), service].add(use.action)
    statements = []
    for (resource, condition, _), actions in sorted(grouped.items(), key=lambda item: (sorted(item[1])[0], item[0])):
        statement = {"Effect": "Allow", "Action": sorted(actions), "Resource": resource}
        statements.append(statement | ({} if condition == "null" else {"Condition": json.loads(condition)}))
    return {"Version": "2012-10-17", "Statement": statements}


def filled(name: str) -> dict[str, Any]:
    """A policy of ``deploy/policies`` for what the tests use."""
    text = (FOLDER / f"{name}.json").read_text(encoding="utf-8")
    values = {"PARTITION": "aws", "REGION": "us-west-2", "ACCOUNT": ACCOUNT, "BUCKET": "bucket", "ROLE": ROLE}
    values["KEY"] = f"arn:aws:kms:us-west-2:{ACCOUNT}:key/KEY"
    values |= {"PROJECT": "my-algorithm", "REPOSITORY": "my_team/my_algorithm"}
    filled: dict[str, Any] = json.loads(re.sub(rf"\b({'|'.join(values)})\b", lambda found: values[found[1]], text))
    return filled
