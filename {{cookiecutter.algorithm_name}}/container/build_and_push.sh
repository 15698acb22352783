#!/usr/bin/env bash
# Template: build the image and push it to a registry, as build_and_push.py does. Runs in bash 3.2 too, for macOS.
set -euo pipefail

usage() {
  cat <<'HELP'
usage: build_and_push.sh [options]

Build the image, push it to Amazon ECR or another registry and read it back. The last line on
stdout is the pushed image's reference by digest; all else goes to stderr. In Python, 'inspect' or
'pull' as the first word shows what is in ECR, or gets it from there.

options:
  -h, --help            show this help message and exit
  --name NAME           repository (default: the name in pyproject.toml)
  --tag TAG             besides the git commit; may be repeated
  --region REGION       (default: AWS_REGION, AWS_DEFAULT_REGION, the profile's, us-west-2)
  --profile PROFILE     of the AWS configuration (default: AWS_PROFILE)
  --account ACCOUNT     whose registry it is (default: that of the credentials)
  --immutable           create the repository so that no tag can be overwritten
  --registry ADDRESS    HOST[:PORT][/PATH] of another one than ECR; docker.io is Docker Hub
  --username USER       of that registry (default: as docker is logged in)
  --password-stdin      read the user's password from stdin
  --context FOLDER      (default: the folder of this script)
  --file FILE           (default: Dockerfile in that folder)
  --target STAGE        of the Dockerfile (default: the last)
  --platform PLATFORM   (default: linux/amd64); commas part several
  --build-arg ARG=VALUE
                        may be repeated; no secrets
  --cache-from IMAGE    has layers to use; :TAG is one of the repository's; may be repeated
  --no-cache            build every layer anew
  --dry-run             change nothing: check, and say what would be done
  --verify              change nothing: read back what the registry has
  --quiet               say warnings and errors only
  --json                print a JSON object in place of the reference
HELP
}

# Untagged images go after a year, not sooner: an endpoint may have been deployed from one (E-13).
readonly LIFECYCLE='{"rules": [{"rulePriority": 1, "selection": {"tagStatus": "untagged", "countType": "sinceImagePushed",
  "countUnit": "days", "countNumber": 365}, "action": {"type": "expire"}}]}'
readonly DOCKER_SCHEMA_2=application/vnd.docker.distribution.manifest.v2+json
readonly ROOM=1000000 # kB that the engine's disk should have

say() { [[ $quiet ]] || printf '==> %s\n' "$*" >&2; }
warn() { printf 'warning: %s\n' "$*" >&2; }
fail() { printf 'error: %s\n' "$*" >&2 && exit 1; }
misuse() { printf 'error: %s: see --help\n' "$*" >&2 && exit 2; }

# What a quiet command complains of is kept, to be told within one sentence.
quietly() { "$@" 2>"$scratch/complaint"; }
complaint() { tr -s '[:space:]' ' ' <"$scratch/complaint" | sed 's/^ //; s/[. ]*$//'; }
ask_docker() { quietly docker "$@" || failed "Docker does not answer" "start it"; }
ask_aws() { quietly aws ${profile:+--profile "$profile"} --region "$region" --output text "$@"; }

# In the background, since a shell heeds no signal while a command runs before it.
child=''
attend() {
  local status=0
  "$@" &
  child=$!
  wait "$child" || status=$?
  child='' && return "$status"
}
end() { # STATUS
  trap '' INT TERM
  if [[ $child ]]; then
    kill "$child"
    for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$child" && sleep 0.5; done
    kill -9 "$child"
  fi 2>/dev/null || true
  exit "$1"
}

failed() { # WHAT REMEDY
  local cause remedy=$2
  cause=$(complaint)
  case $cause in
    *Throttling* | *TooManyRequests* | *'Rate exceeded'*) remedy="wait a minute and run this again" ;;
    *[Ee]xpired*) remedy="renew your credentials, for instance with 'aws sso login'" ;;
    *'endpoint URL'*) remedy="see whether the network works and the region exists" ;;
  esac
  fail "$1${cause:+ ($cause)}: $remedy"
}

in_pyproject() { # KEY
  sed -n "/^\[project\]/,/^\[/s/^$1 *= *[\"']\([^\"']*\)[\"'].*/\1/p" "$here/../pyproject.toml" 2>/dev/null || true
}

# The state of the files: the git commit, with -dirty if files changed. Without git there is only the time.
ask_git() {
  local git=(git -C "$context") changes
  tag=$(date -u +%Y%m%dT%H%M%SZ)
  revision=$("${git[@]}" rev-parse --verify HEAD 2>/dev/null) || return 0
  changes=$("${git[@]}" status --porcelain)
  tag=${revision:0:12}${changes:+-dirty} revision=$revision${changes:+-dirty}
  epoch=${epoch:-$("${git[@]}" log -1 --format=%ct)}
  source=$("${git[@]}" remote get-url origin 2>/dev/null | sed 's#//[^/@]*@#//#') || true # without a password
}

# With GNU's date or BSD's.
rfc3339() { # SECONDS
  [[ -z $1 ]] || date -u -d "@$1" +%Y-%m-%dT%H:%M:%SZ 2>/dev/null || date -u -r "$1" +%Y-%m-%dT%H:%M:%SZ
}

# Of several platforms each has tags of its own, besides those of the list.
suffix() {
  local architecture=${platform#*/}
  ((${#platforms[@]} == 1)) || printf -- '-%s' "${architecture//\//-}"
}

check() {
  local LC_ALL=C words='[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*' platform tag
  [[ $name ]] || fail "pyproject.toml has no name: add it to [project] or pass --name"
  [[ ${#name} -ge 2 && ${#name} -le 256 && $name =~ ^$words(/$words)*$ ]] || # E-01
    fail "'$name' cannot name a repository: use 2 to 256 of a-z, 0-9 and, between them, . _ - or /"
  for platform in "${platforms[@]}"; do
    [[ $platform =~ ^[a-z0-9]+(/[a-z0-9_]+){1,2}$ ]] ||
      fail "'$platform' is no platform: use one as linux/amd64, or several with commas between"
    for tag in "${tags[@]/%/$(suffix)}"; do
      [[ $tag =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$ ]] || # E-03
        fail "'$tag' cannot be a tag: use at most 128 of A-Z, a-z, 0-9, _ . and -, the first not . or -"
    done
  done
  [[ -z $epoch || $epoch =~ ^[0-9]{1,11}$ ]] || fail "SOURCE_DATE_EPOCH is '$epoch': set it to seconds since 1970, or unset it"
  [[ -d $context ]] || fail "there is no folder '$context': pass another --context"
  [[ -z $account || $account =~ ^[0-9]{12}$ ]] || fail "'$account' is no account: use its 12 digits"
  # A host without dot and port would be taken for a folder of Docker Hub.
  [[ -z $registry || $registry =~ ^([A-Za-z0-9-]+\.[A-Za-z0-9.-]+|[A-Za-z0-9.-]+:[0-9]+|localhost)(/$words)*$ ]] ||
    fail "'$registry' is no registry: use HOST[:PORT][/path in lower case], docker.io for Docker Hub"
  type docker >/dev/null 2>&1 || fail "docker is not installed: see https://docs.docker.com/get-docker"
  [[ $registry ]] || type aws >/dev/null 2>&1 || fail "the aws command is not installed: see https://aws.amazon.com/cli or use build_and_push.py"
}

# Docker answers, has room, and can build what is asked for. A full disk is refused as far as it can be seen: the engine
# may have another machine's, or a virtual one's.
check_engine() {
  local about root free
  say "Asking Docker whether it answers"
  native=$(ask_docker version --format '{{.Server.Os}}/{{.Server.Arch}}')
  about=$(ask_docker info --format '{{.DockerRootDir}}{{println}}{{.DriverStatus}}')
  root=${about%%$'\n'*}
  if [[ $(ask_docker context inspect --format '{{.Endpoints.docker.Host}}') == unix:* && -d $root ]]; then
    free=$(df -Pk "$root" | awk 'NR == 2 { print $4 }')
    ((free >= ROOM)) || fail "only $free kB are free where Docker keeps images ($root): 'docker system prune' makes room"
  fi
  [[ -z $verify && ${about#*$'\n'} == *io.containerd.snapshotter* ]] || return 0
  # E-08: containerd's store, that of a fresh Docker 29, keeps what the builder writes, and the old one writes OCI's.
  quietly docker buildx version >/dev/null ||
    failed "Docker cannot build what SageMaker takes" "install buildx, see https://docs.docker.com/go/buildx"
  export DOCKER_BUILDKIT=1
  options=(--output "type=docker,oci-mediatypes=false")
}

look_up() {
  local found
  found=$(ask_aws ecr describe-repositories --registry-id "$account" --repository-names "$name" \
    --query 'repositories[0].[repositoryUri,imageTagMutability]') || return 1
  read -r uri mutability <<<"$found"
  [[ -z $immutable || $mutability != MUTABLE ]] ||
    fail "tags of the repository $name can be overwritten: leave out --immutable, or change the repository"
}

# E-11: access denied, a throttled call or a wrong region may not look like a missing repository.
look_up_or_create() {
  look_up && return
  [[ $(complaint) == *'(RepositoryNotFoundException)'* ]] ||
    failed "cannot look up the repository $name" "ask for ecr:DescribeRepositories"
  [[ -z $verify ]] || fail "$region has no repository $name: push an image first, or pass another --region"
  if [[ $dry_run ]]; then
    uri=$name && say "Would create the repository $name in $region" && return
  fi
  say "Creating the repository $name in $region"
  local mutability=MUTABLE
  [[ -z $immutable ]] || mutability=IMMUTABLE
  if uri=$(ask_aws ecr create-repository --registry-id "$account" --repository-name "$name" \
    --image-tag-mutability "$mutability" --image-scanning-configuration scanOnPush=true \
    --encryption-configuration encryptionType=AES256 --query repository.repositoryUri); then
    ask_aws ecr put-lifecycle-policy --registry-id "$account" --repository-name "$name" \
      --lifecycle-policy-text "$LIFECYCLE" >/dev/null ||
      failed "the new repository $name keeps untagged images for ever" "ask for ecr:PutLifecyclePolicy"
  elif [[ $(complaint) == *'(RepositoryAlreadyExistsException)'* ]]; then # made by someone else, in this moment
    look_up || failed "cannot look up the repository $name" "ask for ecr:DescribeRepositories"
  else
    failed "cannot create the repository $name" "ask for ecr:CreateRepository"
  fi
}

# Where ECR has the repository, which is created if it is missing.
ask_ecr() {
  local identity
  region=${region:-${AWS_REGION:-${AWS_DEFAULT_REGION:-$(aws configure get region ${profile:+--profile "$profile"} 2>/dev/null || true)}}}
  [[ $region ]] || warn "no region is set, so us-west-2 is used: --region or AWS_REGION set another"
  region=${region:-us-west-2}
  say "Asking AWS who you are, in $region"
  identity=$(ask_aws sts get-caller-identity --query '[Account,Arn]') ||
    failed "AWS does not know you" "run 'aws configure' or set AWS_PROFILE"
  account=${account:-${identity%%$'\t'*}}
  say "Looking up the repository $name as ${identity#*$'\t'}"
  look_up_or_create
}

# A password may not stay in ~/.docker (E-10), nor may docker's draft of a list. So docker gets a configuration that goes
# with this script: the user's, with its engine, plugins, proxies and passwords, but for one thing. The password for $host
# is kept in its file, which an empty name in place of a helper's says, and not in a keychain.
configure() {
  local remedy='ask for ecr:GetAuthorizationToken' own file settings
  [[ -z $registry ]] || remedy='see whether user and password are right'
  own=$(CDPATH='' cd -- "${DOCKER_CONFIG:-$HOME/.docker}" 2>/dev/null && pwd) || own=''
  export DOCKER_CONFIG=$scratch/docker
  mkdir "$DOCKER_CONFIG"
  for file in ${own:+"$own"/*}; do
    case ${file##*/} in
      manifests) ;;
      config.json) cp "$file" "$DOCKER_CONFIG" ;;
      *) ln -s "$file" "$DOCKER_CONFIG" ;;
    esac
  done
  [[ $registry && -z $username ]] && return
  settings=$(cat "$DOCKER_CONFIG/config.json" 2>/dev/null) || true
  settings=${settings%\}*}
  settings=${settings:-{}
  [[ $settings =~ ^[[:space:]]*\{[[:space:]]*$ ]] || settings+=,
  printf '%s"credHelpers": {"%s": ""}}' "$settings" "${host/#docker.io/https://index.docker.io/v1/}" >"$DOCKER_CONFIG/config.json"
  say "Logging in to $host"
  log_in || failed "cannot log in to $host" "$remedy"
}

log_in() {
  with_password() { docker login --username "$1" --password-stdin "$host" >/dev/null; }
  get_token() { aws ${profile:+--profile "$profile"} --region "$region" ecr get-login-password; }
  with_token() { get_token | with_password AWS; }
  if [[ $registry ]]; then quietly with_password "$username"; else quietly with_token; fi
}

# What the project sets for each build: arguments, and secrets that reach private indexes of packages.
add_own_options() {
  local line number=0 variable netrc=${NETRC:-$HOME/.netrc}
  if [[ -f $context/build-args.txt ]]; then
    while IFS= read -r line || [[ $line ]]; do
      line=${line%$'\r'} && ((++number))
      [[ ! $line =~ ^[[:space:]]*(#|$) ]] || continue
      [[ $line =~ ^[A-Za-z_][A-Za-z0-9_]*= ]] || fail "container/build-args.txt, line $number: '$line' is not NAME=VALUE"
      [[ $line == GPU=no ]] || options+=(--build-arg "$line")
    done <"$context/build-args.txt"
  fi
  grep -qs -- --mount=type=secret "$dockerfile" || return 0
  for variable in PIP_INDEX_URL PIP_EXTRA_INDEX_URL; do
    [[ ${!variable-} ]] || continue
    if [[ $classic ]]; then
      warn "Docker's classic builder takes no secrets, so $variable is not used: install buildx"
    else
      options+=(--secret "id=$variable,env=$variable")
    fi
  done
  [[ ! $classic && -f $netrc ]] || return 0
  if [[ ${PIP_INDEX_URL-}${PIP_EXTRA_INDEX_URL-} ]] ||
    grep -qsE '^[[:space:]]*(-i|--index-url|--extra-index-url|-f|--find-links)[[:space:]=]' "$context"/requirements*.txt; then
    options+=(--secret "id=netrc,src=$netrc")
  fi
}

pull_layers() {
  local cached
  for cached in ${cache_from[@]+"${cache_from[@]}"}; do
    quietly docker pull --quiet "$cached" >/dev/null ||
      warn "cannot get the layers of $cached ($(complaint)): building without them"
  done
}

# For $platform, which is never left to chance: SageMaker trains on amd64 only (P-56). The id that is left in $image tells
# what was built just now from whatever the tag leads to later.
build() { # ADDRESS
  local platform_built remedy='mend what docker names above'
  [[ $platform == "$native"* ]] || remedy+="; an 'exec format error' means that this machine cannot run $platform, which\
 'docker run --privileged --rm tonistiigi/binfmt --install all' or Debian's qemu-user-static mends"
  say "Building $context for $platform"
  if [[ $classic ]]; then
    sed 's/--mount=[^ ]* //g' "$dockerfile" >"$scratch/Dockerfile"
    options+=(--file "$scratch/Dockerfile")
  fi
  # E-07: SageMaker refuses an image with attestations; a builder that makes none ignores this.
  BUILDX_NO_DEFAULT_ATTESTATIONS=1 attend docker build --platform "$platform" "${options[@]}" --tag "$1" \
    --iidfile "$scratch/image" "$context" >&3 || fail "the build failed and nothing was pushed: $remedy"
  image=$(cat "$scratch/image")
  platform_built=$(ask_docker image inspect --format '{{.Os}}/{{.Architecture}}' "$1")
  [[ $platform == "$platform_built"* ]] ||
    fail "the image is for $platform_built and nothing was pushed: its base may not be for $platform"
}

# Push $image under ADDRESS, again and again where the network or the registry fails.
push() { # ADDRESS
  local pause cause
  send() { quietly attend docker "$@" >&3; }
  say "Pushing $1"
  [[ $platform == *,* ]] || ask_docker tag "$built" "$1"
  for pause in 2 4 8 ''; do
    if [[ $platform == *,* ]]; then
      send manifest create --amend "$1" "${digests[@]/#/$uri@}" && send manifest push "$1" && return
    else
      send push ${quiet:+--quiet} "$1" && return
    fi
    cause=$(complaint)
    if [[ $cause == *immutable* ]]; then # ECR says so of the same image, too
      read_back "$1"
      is_image || fail "$1 is another image and may not be overwritten: pass another --tag"
      say "$1 is there already" && return
    fi
    [[ ! $cause =~ $refusal ]] || fail "the push was refused ($cause): $rights"
    [[ $pause ]] || fail "the push failed ($cause): run this again, and only what is missing is sent"
    warn "the push failed ($cause): trying again in $pause seconds"
    attend sleep "$pause"
    [[ $registry ]] || log_in || true # The token may have expired; if not, the next push says what is wrong.
  done
}

# What the registry has under ADDRESS; what SageMaker would refuse is refused (E-07).
read_back() { # ADDRESS
  local manifest=$scratch/manifest
  field() { sed -n "s/^[[:space:]]*\"$1\": \"\{0,1\}\([^\",]*\).*/\1/p" "$manifest"; }
  inspect() {
    quietly attend docker manifest inspect "$@" >"$manifest" || failed "cannot read ${!#} back" "push it first, or $rights"
    media_type=$(field mediaType | head -n 1)
  }
  if [[ $platform == *,* ]]; then
    rm -rf "$DOCKER_CONFIG/manifests" # docker's draft of the list, which it would show instead
    inspect "$1"
    digest=sha256:$(printf %s "$(cat "$manifest")" | { sha256sum 2>/dev/null || shasum -a 256; } | cut -d ' ' -f 1)
    identity=$(field digest | sort | xargs) served_for=$platform about="a list for $platform"
    ! is_image || inspect "$uri@$digest" # docker writes a list anew to print it: the registry has to know this digest
    return
  fi
  inspect --verbose "$1"
  [[ $(head -c 1 "$manifest") != '[' ]] || media_type='a list of images'
  [[ $media_type == "$DOCKER_SCHEMA_2" ]] || fail "SageMaker does not take $1 ($media_type): build and push it with this script"
  # The fields of docker's answer: of the manifest itself, then of the configuration, then of the layers.
  { read -r digest && read -r identity; } < <(field digest)
  served_for=$(field os | head -n 1)/$(field architecture | head -n 1)
  size=$(field size | awk 'NR > 1 { sum += $1 } END { print sum + 0 }') about="$served_for, $((size / 1000)) kB"
  [[ $platform == "$served_for"* ]] || fail "$1 is for $served_for: pass --platform, or push an image for $platform"
}

# ECR has them in the image's configuration. The password reaches curl on its standard input.
read_labels() {
  ask_registry() {
    printf 'user = "AWS:%s"' "$(get_token)" | curl -fsSL --config - ${AWS_CA_BUNDLE:+--cacert "$AWS_CA_BUNDLE"} "$1"
  }
  quietly ask_registry "https://$host/v2/${uri#*/}/blobs/$identity" >"$scratch/configuration" ||
    failed "cannot read the labels of $uri@$digest" "$rights"
  local string='"([^"\\]|\\.)*"'
  labels=$(grep -oE "\"Labels\":\{($string:$string,?)*\}" "$scratch/configuration" | sed -n '1s/"Labels"://p') || labels=null
}

# Docker names an image by the digest of its configuration, or of its manifest; a list is known by its images.
is_image() { [[ -z $image || $image == "$digest" || $image == "$identity" ]]; }

# Push the image under the tags, unless it is only to be verified, and see that it is what the registry has.
publish() { # TAG...
  local built=$uri:$1 tag first=''
  if [[ -z $verify ]]; then
    for tag; do push "$uri:$tag"; done
  fi
  say "Reading back $uri"
  for tag; do
    read_back "$uri:$tag"
    first=${first:-$digest}
    is_image && [[ $digest == "$first" ]] || fail "$uri:$tag is another image: somebody else may have pushed it meanwhile"
  done
  result=$uri@$digest
  say "$result is $about, tagged $*"
  [[ $json ]] || return 0
  [[ -z $image || $platform == *,* ]] || labels=$(ask_docker image inspect --format '{{json .Config.Labels}}' "$built")
  [[ $image || $registry ]] || read_labels
  result=$(in_json "$@")
}

in_json() { # TAG...
  printf '{"reference": "%s", "media_type": "%s", "digest": "%s", "platform": "%s"' \
    "$uri@$digest" "$media_type" "$digest" "$served_for"
  [[ $platform == *,* ]] || printf ', "image": "%s", "size": %s' "$identity" "$size"
  printf ', "tags": ["%s"]' "$(printf '%s", "' "$@" | sed 's/", "$//')"
  if [[ $platform == *,* ]]; then printf ', "images": [%s]}' "$images"; else printf ', "labels": %s}' "$labels"; fi
}

name='' region='' profile='' account='' immutable='' registry='' username='' password_stdin='' file='' target='' platform=linux/amd64
no_cache='' dry_run='' verify='' quiet='' json='' revision='' source='' epoch=${SOURCE_DATE_EPOCH-}
here=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
context=$here
tags=() build_arg=() cache_from=() options=()
while (($#)); do
  option=${1%%=*} value=yes
  case $option in
    -h | --help) usage && exit ;;
    --immutable | --password-stdin | --no-cache | --dry-run | --verify | --quiet | --json)
      [[ $1 == "$option" ]] || misuse "$option takes no value"
      ;;
    --name | --tag | --region | --profile | --account | --registry | --username | --context | --file | --target | --platform | \
      --build-arg | --cache-from)
      [[ $1 == *=* || ${2--} != -* ]] || misuse "$option needs a value"
      if [[ $1 == *=* ]]; then value=${1#*=}; else value=$2 && shift; fi
      ;;
    *) misuse "$1 is no option" ;;
  esac
  case $option in
    --tag) tags+=("$value") ;;
    --build-arg) build_arg+=("$value") ;;
    --cache-from) cache_from+=("$value") ;;
    *) option=${option#--} && printf -v "${option//-/_}" %s "$value" ;;
  esac
  shift
done
[[ -z $registry || -z $region$profile$account$immutable ]] ||
  misuse "--registry goes without --region, --profile, --account and --immutable, which are for Amazon ECR"
[[ ($registry && $username && $password_stdin) || -z $username$password_stdin ]] ||
  misuse "--username and --password-stdin need each other and --registry"

if [[ $quiet ]]; then exec 3>/dev/null; else exec 3>&2; fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'end 130' INT
trap 'end 143' TERM

name=${name:-$(in_pyproject name)}
ask_git
# The commit is a tag in any case, the time only where nothing else is; what is verified may be another commit's.
[[ ${#tags[@]} -gt 0 && ($verify || -z $revision) ]] || tags=("$tag" ${tags[@]+"${tags[@]}"})
IFS=, read -ra platforms <<<"$platform,"
check
check_engine
if [[ $registry ]]; then
  uri=$registry/$name refusal='denied|[Uu]nauth|Forbidden|no basic auth|name unknown'
  rights="log in with 'docker login ${registry%%/*}' as someone who may push there"
else
  ask_ecr
  refusal='not authorized' rights='ask for the rights in push-policy.json'
fi
host=${uri%%/*} # E-05: as AWS gives it, for its suffix depends on the region.
cache_from=(${cache_from[@]+"${cache_from[@]/#:/$uri:}"})

# The classic builder has neither caches nor secrets, and takes a Dockerfile without them.
dockerfile=${file:-$context/Dockerfile} classic=''
if grep -qs -- --mount= "$dockerfile" && [[ $(docker build --help 2>/dev/null) != *--secret* ]]; then classic=yes; fi
options+=(--build-arg "REVISION=$revision")
add_own_options
label() { [[ -z $2 ]] || options+=(--label "org.opencontainers.image.$1=$2"); }
label version "$(in_pyproject version)"
label revision "$revision"
label created "$(rfc3339 "$epoch")"
label source "$source"
for value in ${build_arg[@]+"${build_arg[@]}"}; do options+=(--build-arg "$value"); done
for value in ${cache_from[@]+"${cache_from[@]}"}; do options+=(--cache-from "$value" --build-arg BUILDKIT_INLINE_CACHE=1); done
options+=(${file:+--file "$file"} ${target:+--target "$target"} ${no_cache:+--no-cache} ${quiet:+--quiet})
if [[ $dry_run ]]; then
  for platform in "${platforms[@]}"; do
    own=("${tags[@]/%/$(suffix)}")
    say "Would run$(printf ' %q' docker build --platform "$platform" "${options[@]}" "$context")"
    say "Would push $uri as ${own[*]}"
  done
  ((${#platforms[@]} == 1)) || say "Would push $uri as ${tags[*]}, for all"
  exit
fi

configure
ids=() digests=() images='' single='' labels=null asked=$platform
if [[ -z $verify ]]; then
  [[ -z $epoch ]] || export SOURCE_DATE_EPOCH=$epoch # which newer builders heed
  pull_layers
  for platform in "${platforms[@]}"; do
    build "$uri:${tags[0]}$(suffix)"
    ids+=("$image")
  done
fi
for i in "${!platforms[@]}"; do
  platform=${platforms[i]} image=${ids[i]-}
  publish "${tags[@]/%/$(suffix)}"
  digests+=("$digest") images+=${images:+, }$result single+="${single:+ or }$uri@$digest ($platform)"
done
if [[ $asked == *,* ]]; then
  platform=$asked image=$(printf '%s\n' "${digests[@]}" | sort | xargs)
  publish "${tags[@]}"
  warn "SageMaker takes no list of images, and trains on linux/amd64 only: give it $single"
fi
echo "$result"
