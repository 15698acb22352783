"""Each error that a user can meet is AWS's words and what to do, in one line."""

import botocore.exceptions
import pytest
from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import ClientError

from deploy import errors

ACCOUNT = 123456789012
ROLE = f"arn:aws:iam::{ACCOUNT}:role/sagemaker"
IMAGE = f"{ACCOUNT}.dkr.ecr.us-west-2.amazonaws.com/churn:1"

REFUSALS = {  # code and message as AWS sends them, and what the remedy says
    "expired": (
        "ExpiredTokenException",
        "The security token included in the request is expired",
        "run `aws sso login`",
    ),
    "expired on S3": ("ExpiredToken", "The provided token has expired.", "run `aws sso login`"),
    "unknown key": (
        *("UnrecognizedClientException", "The security token included in the request is invalid."),
        "check AWS_ACCESS_KEY_ID",
    ),
    "denied": (
        "AccessDeniedException",
        f"User: arn:aws:iam::{ACCOUNT}:user/me is not authorized to perform: sagemaker:CreateModel on resource: "
        f"arn:aws:sagemaker:us-west-2:{ACCOUNT}:model/churn because no identity-based policy allows the action",
        "Ask for the action sagemaker:CreateModel: `python -m deploy policies person` prints a policy",
    ),
    "denied by S3": ("AccessDenied", "Access Denied", "You may not do this: `python -m deploy policies person` prints"),
    "denied by S3 without a word": (
        "403",
        "Forbidden",
        "You may not do this: `python -m deploy policies person` prints",
    ),
    "a role that may not be passed": (
        "AccessDeniedException",
        f"User: me is not authorized to perform: iam:PassRole on resource: {ROLE} because no policy allows the action",
        "ask for the action iam:PassRole on the role. `python -m deploy policies person` prints a policy",
    ),
    "a role that nobody may assume": (
        "ValidationException",
        f"Could not assume role {ROLE}. Please ensure that the role exists and allows principal "
        "'sagemaker.amazonaws.com' to assume the role.",
        '"Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"',
    ),
    "quota": (
        "ResourceLimitExceeded",
        "The account-level service limit 'ml.m5.large for endpoint usage' is 0 Instances, with current utilization of "
        "0 Instances and a request delta of 1 Instances. Please contact AWS support to request an increase for this "
        "limit.",
        "Quotas[?QuotaName=='ml.m5.large for endpoint usage'].QuotaCode",
    ),
    "no image": (
        "ValidationException",
        f"Requested image {IMAGE} not found.",
        "The image must be in ECR of this region",
    ),
    "no image to train": ("ValidationException", "Cannot find the requested image: churn", "The image must be in ECR"),
    "an image of others": (
        "ValidationException",
        f"The repository of your image {IMAGE} does not grant ecr:GetDownloadUrlForLayer, ecr:BatchGetImage, "
        "ecr:BatchCheckLayerAvailability permission to sagemaker.amazonaws.com service principal.",
        "The image must be in ECR of this region",
    ),
    "a list of images": (
        "ValidationException",
        f"Unsupported manifest media type application/vnd.oci.image.index.v1+json for image {IMAGE}.",
        "SageMaker takes a single image",
    ),
    "name taken": (
        "ValidationException",
        f'Cannot create already existing endpoint "arn:aws:sagemaker:us-west-2:{ACCOUNT}:endpoint/churn".',
        "The name is taken",
    ),
    "throttled": ("ThrottlingException", "Rate exceeded", "wait a few minutes and run the command again"),
    "no bucket": ("NoSuchBucket", "The specified bucket does not exist", "`aws s3 mb s3://BUCKET`"),
    "a bucket elsewhere": (
        "PermanentRedirect",
        "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all "
        "future requests to this endpoint.",
        "must be in the region of the command",
    ),
    "a fast clock": (
        "InvalidSignatureException",
        "Signature not yet current: 20201002T065532Z is still later than 20201002T062118Z (20201002T061618Z + 5 min.)",
        "The clock of this machine is wrong",
    ),
    "a slow clock": (
        "InvalidSignatureException",
        "Signature expired: 20241008T195522Z is now earlier than 20241008T195940Z (20241008T200440Z - 5 min.)",
        "The clock of this machine is wrong",
    ),
    "a clock and S3": (
        *("RequestTimeTooSkewed", "The difference between the request time and the current time is too large."),
        "The clock of this machine is wrong",
    ),
}
URL = "https://api.sagemaker.us-west-2.amazonaws.com/"
FAULTS: dict[str, tuple[Exception, str]] = {
    "SSO": (
        botocore.exceptions.TokenRetrievalError(provider="sso", error_msg="Token has expired and refresh failed"),
        "run `aws sso login`",
    ),
    "an old SSO": (botocore.exceptions.UnauthorizedSSOTokenError(), "run `aws sso login`"),
    "no SSO": (botocore.exceptions.SSOTokenLoadError(error_msg="Token for me does not exist"), "run `aws sso login`"),
    "no network": (botocore.exceptions.EndpointConnectionError(endpoint_url=URL, error="x"), "The network between"),
    "a cut": (botocore.exceptions.ConnectionClosedError(endpoint_url=URL), "The network between"),
    "no answer": (botocore.exceptions.ReadTimeoutError(endpoint_url=URL), "The network between"),
    "an upload": (
        S3UploadFailedError(
            "Failed to upload a.csv to churn/a.csv: An error occurred (NoSuchBucket) when calling the PutObject "
            "operation: The specified bucket does not exist"
        ),
        "`aws s3 mb s3://BUCKET`",
    ),
}
REASONS = {  # what AWS says of an endpoint or job that failed
    "capacity": (
        "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error.",
        "AWS has",
    ),
    "capacity of a job": (
        "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different ML instance "
        "type.",
        "AWS has no such instance to spare",
    ),
    "no image": (
        "Please make sure all images included in the model for the production variant AllTraffic exist, and that the "
        "execution role used to create the model has permissions to access them.",
        "The image must be in ECR of this region",
    ),
    "a role without a permission": (
        f"User: arn:aws:sts::{ACCOUNT}:assumed-role/sagemaker/SageMaker is not authorized to perform: s3:ListBucket on "
        "resource: arn:aws:s3:::churn because no identity-based policy allows the s3:ListBucket action",
        "needs the action s3:ListBucket: `python -m deploy policies execution-role` prints a policy",
    ),
    "architecture": ("exec ./serve: exec format error", "build it with --platform linux/amd64"),
}


@pytest.mark.parametrize(("code", "message", "remedy"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_refusal_is_awss_words_and_the_remedy(code: str, message: str, remedy: str) -> None:
    error = ClientError({"Error": {"Code": code, "Message": message}}, "CreateModel")
    said = errors.describe(error)
    assert said.startswith(f"AWS refused CreateModel: {message} ({code}). ")
    assert remedy in said
    assert "\n" not in said


@pytest.mark.parametrize(("fault", "remedy"), FAULTS.values(), ids=FAULTS.keys())
def test_what_does_not_reach_aws_has_a_remedy(fault: Exception, remedy: str) -> None:
    assert isinstance(fault, errors.EXPECTED)
    said = errors.describe(fault)
    assert said.startswith(str(fault).rstrip("."))
    assert remedy in said


@pytest.mark.parametrize(("reason", "remedy"), REASONS.values(), ids=REASONS.keys())
def test_the_reason_of_a_failure_has_a_remedy(reason: str, remedy: str) -> None:
    """C-27: the sentence that wait_for_status raises."""
    said = errors.describe(errors.DeployError(f"The endpoint churn ended as Failed: {reason}"))
    assert said.startswith(f"The endpoint churn ended as Failed: {reason.rstrip('.')}. ")
    assert remedy in said


def test_a_failure_in_the_algorithms_own_words_is_left_as_it_is() -> None:
    words = "The training job churn ended as Failed: AlgorithmError: the table already exists, Rate exceeded"
    assert errors.describe(errors.DeployError(words)) == words
