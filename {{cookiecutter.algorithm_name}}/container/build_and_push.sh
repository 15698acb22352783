#!/usr/bin/env bash
# Template: build the image and push it to Amazon ECR, as build_and_push.py does. Runs in bash 3.2 too, for macOS.
set -euo pipefail

usage() {
  cat <<'HELP'
usage: build_and_push.sh [-h] [--name NAME] [--tag TAG] [--region REGION]

Build the image of this folder for linux/amd64 and push it to Amazon ECR. The last line on stdout
is the pushed image's reference by digest; all else goes to stderr.

options:
  -h, --help       show this help message and exit
  --name NAME      repository (default: the name in pyproject.toml)
  --tag TAG        (default: the git commit, with -dirty if files changed; without git the time)
  --region REGION  (default: AWS_REGION, AWS_DEFAULT_REGION, the profile's region, us-west-2)
HELP
}

say() { printf '==> %s\n' "$*" >&2; }
fail() { printf 'error: %s\n' "$*" >&2 && exit 1; }
misuse() { printf 'error: %s: see --help\n' "$*" >&2 && exit 2; }

# What a quiet command complains of is kept, to be told within one sentence.
quietly() { "$@" 2>"$scratch/complaint"; }
complaint() { tr -s '[:space:]' ' ' <"$scratch/complaint" | sed 's/^ //; s/[. ]*$//'; }
ask_aws() { quietly aws --region "$region" --output text "$@"; }

name_in_pyproject() {
  sed -n "/^\[project\]/,/^\[/s/^name *= *[\"']\([^\"']*\)[\"'].*/\1/p" "$here/../pyproject.toml" 2>/dev/null || true
}

# The state of the files: the git commit, or the time where there is none.
revision() {
  local commit changes
  if commit=$(git -C "$here" rev-parse --short HEAD 2>/dev/null); then
    changes=$(git -C "$here" status --porcelain)
    echo "$commit${changes:+-dirty}"
  else
    date -u +%Y%m%dT%H%M%SZ
  fi
}

check() {
  local LC_ALL=C words='[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*'
  [[ ${#name} -ge 2 && ${#name} -le 256 && $name =~ ^$words(/$words)*$ ]] || # E-01
    fail "'$name' cannot name a repository: use 2 to 256 of a-z, 0-9 and, between them, . _ - or /"
  [[ $tag =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$ ]] || # E-03
    fail "'$tag' cannot be a tag: use at most 128 of A-Z, a-z, 0-9, _ . and -, the first not . or -"
}

describe_repository() {
  ask_aws ecr describe-repositories --repository-names "$name" --query 'repositories[0].repositoryUri'
}

repository_uri() {
  describe_repository && return
  # E-11: access denied or a throttled call may not look like a missing repository.
  if [[ $(complaint) == *'(RepositoryNotFoundException)'* ]]; then
    say "Creating the repository $name"
    ask_aws ecr create-repository --repository-name "$name" --image-scanning-configuration scanOnPush=true \
      --query repository.repositoryUri && return
    [[ $(complaint) == *'(RepositoryAlreadyExistsException)'* ]] ||
      fail "cannot create the repository $name ($(complaint)): ask for ecr:CreateRepository"
    describe_repository && return
  fi
  fail "cannot look up the repository $name ($(complaint)): ask for ecr:DescribeRepositories"
}

# The token may not stay in ~/.docker (E-10), so login and push have a configuration of their own. It names the host,
# else docker would look for a keychain, and the engine, which the user's configuration may choose. The build keeps
# the user's configuration, with its plugins, proxies and credential helpers.
docker_with_token() { docker --config "$scratch" --host "$engine" "$@"; }
log_in() {
  printf '{"auths": {"%s": {}}}' "$host" >"$scratch/config.json"
  engine=$(docker context inspect --format '{{.Endpoints.docker.Host}}') &&
    aws --region "$region" ecr get-login-password |
    docker_with_token login --username AWS --password-stdin "$host" >/dev/null
}

name='' tag='' region=''
while (($#)); do
  case $1 in
    -h | --help) usage && exit ;;
    --name=* | --tag=* | --region=*) option=${1%%=*} value=${1#*=} && shift ;;
    --name | --tag | --region)
      [[ ${2--} != -* ]] || misuse "$1 needs a value"
      option=$1 value=$2 && shift 2
      ;;
    *) misuse "$1 is no option" ;;
  esac
  printf -v "${option#--}" %s "$value"
done

here=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

name=${name:-$(name_in_pyproject)}
tag=${tag:-$(revision)}
[[ -n $name ]] || fail "pyproject.toml has no name: add it to [project] or pass --name"
check
type docker >/dev/null 2>&1 || fail "docker is not installed: see https://docs.docker.com/get-docker"
type aws >/dev/null 2>&1 || fail "the aws command is not installed: see https://aws.amazon.com/cli or use build_and_push.py"
say "Asking Docker whether it answers"
quietly docker version >/dev/null || fail "Docker does not answer ($(complaint)): start it"
region=${region:-${AWS_REGION:-${AWS_DEFAULT_REGION:-$(aws configure get region 2>/dev/null || true)}}}
[[ -n $region ]] || say "No region is set, so us-west-2 is used: --region or AWS_REGION set another"
region=${region:-us-west-2}
say "Asking AWS who you are, in $region"
identity=$(ask_aws sts get-caller-identity --query Arn) ||
  fail "AWS does not know you ($(complaint)): run 'aws configure' or set AWS_PROFILE"
say "Looking up the repository $name as $identity"
uri=$(repository_uri)
host=${uri%%/*} # E-05: as AWS gives it, for its suffix depends on the region.
say "Logging in to $host"
quietly log_in || fail "cannot log in to $host ($(complaint)): ask for ecr:GetAuthorizationToken"
say "Building $here for linux/amd64"
# P-56: SageMaker trains on amd64 only. E-07: it refuses an image with attestations.
BUILDX_NO_DEFAULT_ATTESTATIONS=1 docker build --platform linux/amd64 --iidfile "$scratch/image" "$here" >&2 ||
  fail "the build failed and nothing was pushed: mend what docker names above"
image=$(cat "$scratch/image") # What was built just now, and never an older image of that tag.
say "Pushing $uri:$tag"
{ docker tag "$image" "$uri:$tag" && docker_with_token push "$uri:$tag"; } >&2 ||
  fail "the push failed: see above, then run this again"
docker image inspect --format '{{join .RepoDigests "\n"}}' "$image" | grep -F -m 1 "$uri@" ||
  fail "docker names no digest of $uri: update docker"
