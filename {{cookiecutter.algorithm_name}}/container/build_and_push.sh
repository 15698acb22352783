#!/usr/bin/env bash
# Template: builds the image, pushes it to Amazon ECR and reads it back. Runs in bash 3.2, which macOS has.
[ "${BASH_VERSION-}" ] || exec bash "$0" "$@" # for `sh build_and_push.sh`
set -euo pipefail
export LC_ALL=C # a-z means 26 letters, and errors are in English

readonly HELP="usage: build_and_push.sh [NAME] [options]

Build the image, push it to Amazon ECR and read it back. The last line on stdout is the image's
reference by digest; everything else goes to stderr. build_and_push.py has more options.

  -h, --help            show this help message and exit
  --name NAME           repository (default: the name in pyproject.toml)
  --tag TAG             tag besides the git commit; may be repeated
  --region REGION       (default: AWS_REGION, AWS_DEFAULT_REGION, the profile's, us-west-2)
  --profile PROFILE     profile of the AWS configuration (default: AWS_PROFILE)
  --immutable           create the repository so that no tag can be overwritten
  --build-arg ARG=VALUE build argument, not for secrets; may be repeated
  --cache-from IMAGE    image whose layers are reused; :TAG is one of the repository's; may be repeated
docs/publishing.md says more."

say() { printf '==> %s\n' "$*" >&2; }
warn() { printf 'warning: %s\n' "$*" >&2; }
fail() { printf 'error: %s\n' "$*" >&2 && exit 1; }
misuse() { printf 'error: %s\n' "$*" >&2 && exit 2; }
python_only() { misuse "only build_and_push.py has $1: run 'make setup', then .venv/bin/python container/build_and_push.py"; }
quietly() { "$@" 2>"$scratch/complaint"; } # the command's error becomes part of one sentence
complaint() { tr -s '[:space:]' ' ' <"$scratch/complaint" | sed 's/^ //; s/[. ]*$//'; }
failed() { # WHAT REMEDY
  local cause remedy=$2
  cause=$(complaint)
  [[ ! $cause =~ endpoint\ URL|connection\ refused|no\ such\ host|timeout ]] ||
    remedy='check the network and that the region exists'
  [[ ! $cause =~ [Ee]xpired ]] || remedy="renew your credentials, for instance with 'aws sso login'"
  [[ ! $cause =~ Throttling|TooManyRequests|Rate\ exceeded ]] || remedy='wait a minute and run this again'
  fail "$1${cause:+ ($cause)}: $remedy"
}
ask_docker() { quietly docker "$@" || failed 'Docker does not answer' 'start it'; }
ask_aws() { quietly "${aws[@]}" --region "$region" --output text "$@"; }

# 1. Options
here=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
name='' region='' profile='' immutable='' tags=() cache_from=() options=(--platform linux/amd64)
[[ ${1--} =~ ^(-|inspect$|pull$) ]] || set -- --name "$@"
while (($#)); do
  option=${1%%=*} value=yes
  case $option in
    -h | --help) printf '%s\n' "$HELP" && exit ;;
    --immutable) [[ $1 == "$option" ]] || misuse "$option takes no value: see --help" ;;
    --name | --tag | --region | --profile | --build-arg | --cache-from)
      [[ $1 == *=* || ${2--} != -* ]] || misuse "$option needs a value: see --help"
      if [[ $1 == *=* ]]; then value=${1#*=}; else shift && value=$1; fi
      ;;
    inspect | pull | --account | --context | --dry-run | --file | --json | --no-cache | --password-stdin | \
      --platform | --quiet | --registry | --target | --username | --verify) python_only "$option" ;;
    *) misuse "$1 is not an option: see --help" ;;
  esac
  case $option in
    --tag) tags+=("$value") ;;
    --cache-from) cache_from+=("$value") ;;
    --build-arg) options+=(--build-arg "$value") ;;
    *) printf -v "${option#--}" %s "$value" ;; # the variable of this name
  esac
  shift
done
aws=(aws ${profile:+--profile "$profile"})

# 2. Checks, before the long build
in_project="/^\[project\]/,/^\[/s/^name *= *[\"']\([^\"']*\)[\"'].*/\1/p"
name=${name:-$(sed -n "$in_project" "$here/../pyproject.toml" 2>/dev/null || true)}
# The git commit is always a tag, with -dirty if files changed. Without git and another tag, the time is the tag.
if revision=$(git -C "$here" rev-parse --verify HEAD 2>/dev/null); then
  dirty=$(git -C "$here" status --porcelain)
  tags=("${revision:0:12}${dirty:+-dirty}" ${tags[@]+"${tags[@]}"}) revision+=${dirty:+-dirty}
  export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$here" log -1 --format=%ct)} # BuildKit's date for the image
fi
[[ ${tags[*]-} ]] || tags=("$(date -u +%Y%m%dT%H%M%SZ)")
words='[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*'
[[ $name ]] || fail 'pyproject.toml has no name: add it to [project] or pass --name'
[[ ${#name} -ge 2 && ${#name} -le 256 && $name =~ ^$words(/$words)*$ ]] || # E-01
  fail "'$name' cannot name a repository: use 2 to 256 of a-z, 0-9 and, between them, . _ - or /"
for tag in "${tags[@]}"; do
  [[ $tag =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$ ]] || # E-03
    fail "'$tag' cannot be a tag: use at most 128 of A-Z, a-z, 0-9, _ . and -, the first not . or -"
done
type docker >/dev/null 2>&1 || fail 'docker is not installed: see https://docs.docker.com/get-docker'
type aws >/dev/null 2>&1 ||
  fail 'the aws command is not installed: see https://aws.amazon.com/cli or use build_and_push.py'
scratch=$(mktemp -d) && trap 'rm -rf "$scratch"' EXIT
trap 'kill $(jobs -p) 2>/dev/null || true; wait; exit 130' INT
trap 'kill $(jobs -p) 2>/dev/null || true; wait; exit 143' TERM
say 'Checking Docker'
store=$(ask_docker info --format '{{.DriverStatus}}')
if [[ $store == *io.containerd.snapshotter* ]]; then
  # This store pushes what the builder wrote, and only buildx can write what SageMaker accepts (E-08).
  quietly docker buildx version >/dev/null ||
    failed 'Docker cannot build an image that SageMaker accepts' 'install buildx, see https://docs.docker.com/go/buildx'
  export DOCKER_BUILDKIT=1 && options+=(--output 'type=docker,oci-mediatypes=false')
fi

# 3. Repository
region=${region:-${AWS_REGION:-${AWS_DEFAULT_REGION:-$("${aws[@]}" configure get region 2>/dev/null || true)}}}
[[ $region ]] || { region=us-west-2 && warn 'no region is set, so us-west-2 is used: --region or AWS_REGION set another'; }
say "Checking your AWS credentials in $region"
arn=$(ask_aws sts get-caller-identity --query Arn) ||
  failed 'cannot check your AWS credentials' "run 'aws configure' or set AWS_PROFILE"
say "Looking up the repository $name as $arn"
query='repositories[0].[repositoryUri,imageTagMutability]'
look_up() { ask_aws ecr describe-repositories --repository-names "$name" --query "$query"; }
if ! found=$(look_up); then # it is created only if it does not exist (E-11)
  [[ $(complaint) == *'(RepositoryNotFoundException)'* ]] ||
    failed "cannot look up the repository $name" 'ask for the permission ecr:DescribeRepositories'
  say "Creating the repository $name in $region"
  if ask_aws ecr create-repository --repository-name "$name" --image-tag-mutability "${immutable:+IM}MUTABLE" \
    --image-scanning-configuration scanOnPush=true --encryption-configuration encryptionType=AES256 >/dev/null; then
    ask_aws ecr put-lifecycle-policy --repository-name "$name" \
      --lifecycle-policy-text "file://$here/lifecycle-policy.json" >/dev/null ||
      failed "the new repository $name keeps untagged images forever" 'ask for the permission ecr:PutLifecyclePolicy'
  elif [[ $(complaint) != *'(RepositoryAlreadyExistsException)'* ]]; then # someone else has just created it
    failed "cannot create the repository $name" 'ask for the permission ecr:CreateRepository'
  fi
  found=$(look_up) || failed "cannot look up the repository $name" 'ask for the permission ecr:DescribeRepositories'
fi
read -r uri mutability <<<"$found"
[[ ! $immutable || $mutability == IMMUTABLE* ]] ||
  fail "tags of the repository $name can be overwritten: leave out --immutable, or change the repository"

# 4. Login: docker keeps the password in a copy of its configuration, not in ~/.docker or a keychain (E-10)
host=${uri%%/*} # as AWS returns it, since its suffix depends on the region (E-05)
own=$(CDPATH='' cd -- "${DOCKER_CONFIG:-$HOME/.docker}" 2>/dev/null && pwd) || own=$scratch/none
settings=$(tr '\n' ' ' <"$own/config.json" 2>/dev/null) || true
export DOCKER_CONFIG=$scratch/docker
mkdir "$DOCKER_CONFIG" && ln -s "$own"/* "$DOCKER_CONFIG" && rm -f "$DOCKER_CONFIG"/{config.json,manifests}
helper="\"$host\": \"\"" # no helper: the file itself keeps the password
sed -e '/{/!s/.*/{}/' -e "s|\"$host\"\([[:space:]]*:[[:space:]]*\"\)|\"not-$host\"\1|" \
  -e "s~\"credHelpers\"[^{]*{~&$helper, ~" -e "/\"credHelpers\"/!s|{|{\"credHelpers\": {$helper}, |" <<<"$settings" |
  sed "s|\($helper}*\), *}|\1}|" >"$DOCKER_CONFIG/config.json"
say "Logging in to $host"
ask_aws ecr get-login-password |
  docker login --username AWS --password-stdin "$host" 2>>"$scratch/complaint" >/dev/null ||
  failed "cannot log in to $host" 'ask for the permission ecr:GetAuthorizationToken'

# 5. Build
while IFS=: read -r number line; do
  line=${line%$'\r'}
  [[ ! $line =~ ^[[:space:]]*(#|$) && $line != GPU=no ]] || continue
  [[ $line =~ ^[A-Za-z_][A-Za-z0-9_]*= ]] || fail "container/build-args.txt, line $number: '$line' is not NAME=VALUE"
  options=(--build-arg "$line" "${options[@]}")
done <<<"$(grep -n '' "$here/build-args.txt" 2>/dev/null || true)"
if grep -qs -- --mount= "$here/Dockerfile"; then
  [[ $(docker build --help) == *--secret* ]] || fail 'Docker has no BuildKit: install buildx, or use build_and_push.py'
  options+=(${PIP_INDEX_URL:+--secret id=PIP_INDEX_URL,env=PIP_INDEX_URL})
  options+=(${PIP_EXTRA_INDEX_URL:+--secret id=PIP_EXTRA_INDEX_URL,env=PIP_EXTRA_INDEX_URL})
  indexes="$(cat "$here"/requirements*.txt) ${PIP_INDEX_URL-} ${PIP_EXTRA_INDEX_URL-}" netrc=${NETRC:-$HOME/.netrc}
  [[ $indexes != *://* || ! -f $netrc ]] || options+=(--secret "id=netrc,src=$netrc")
fi
for cached in ${cache_from[@]+"${cache_from[@]/#:/$uri:}"}; do
  options+=(--cache-from "$cached" --build-arg BUILDKIT_INLINE_CACHE=1)
  quietly docker pull --quiet "$cached" >/dev/null ||
    warn "cannot get the layers of $cached ($(complaint)): building without them"
done
options+=(--build-arg "REVISION=$revision" ${revision:+--label "org.opencontainers.image.revision=$revision"})
say "Building $here for linux/amd64"
# SageMaker refuses attestations (E-07). In the background, since bash handles no signal while it waits for a command.
BUILDX_NO_DEFAULT_ATTESTATIONS=1 docker build "${options[@]}" -t "$uri:${tags[0]}" --iidfile "$scratch/image" "$here" >&2 &
wait $! || fail 'the build failed and nothing was pushed: fix the error above'
image=$(cat "$scratch/image")
built=$(ask_docker image inspect --format '{{.Os}}/{{.Architecture}}' "$uri:${tags[0]}")
[[ $built == linux/amd64 ]] || fail "the image is for $built and nothing was pushed: its base may not be for linux/amd64"

# 6. Tag, push and read back
field() { awk -F '"' -v key="$1" -v nth="$2" '$2 == key && ++seen == nth { print $4 }' "$scratch/manifest"; }
for tag in "${tags[@]}"; do
  address=$uri:$tag why=': someone else may have pushed it meanwhile'
  say "Pushing $address"
  ask_docker tag "$uri:${tags[0]}" "$address"
  for pause in 2 4 8 ''; do
    docker push "$address" >&2 2>"$scratch/complaint" &
    wait $! && break
    cause=$(complaint)
    if [[ $cause == *immutable* ]]; then # ECR says this for the same image, too
      why=' and may not be overwritten: pass another --tag'
      [[ ${reference-} && " ${cache_from[*]-} " == *" :$tag "* ]] || break
      warn "$address may not be overwritten, so it stays as it is" && continue 2
    fi
    [[ $cause != *'not authorized'* ]] || fail "the push was refused ($cause): ask for the permissions in push-policy.json"
    [[ $pause ]] || fail "the push failed ($cause): run this again, and only what is missing is sent"
    warn "the push failed ($cause): trying again in $pause seconds" && sleep "$pause"
  done
  say "Reading back $address"
  quietly docker manifest inspect --verbose "$address" >"$scratch/manifest" ||
    failed "cannot read $address back" 'ask for the permissions in push-policy.json'
  media_type=$(field mediaType 1) digest=$(field digest 1)
  [[ $image == "$digest" || $image == "$(field digest 2)" ]] || fail "$address is another image$why"
  [[ $media_type == application/vnd.docker.distribution.manifest.v2+json ]] ||
    fail "SageMaker does not accept $address ($media_type): build and push it with this script"
  reference=${reference-$uri@$digest}
done
say "$reference is for linux/amd64, tagged ${tags[*]}"
echo "$reference"
