#!/usr/bin/env bash
# Makes the API server that the tests of the operator talk to, and its etcd, in the folder that the argument names.
#   api-server.sh FOLDER
#
# Nothing is installed: Debian's own packages (etcd, Go, and the libraries of Kubernetes' API server for custom
# resources, which only Debian's unstable release carries) are fetched beside the system's, with apt's check of their
# signatures, unpacked into a folder that is gone afterwards, and tests/api-server/server/main.go is compiled with them.
# Says and does nothing when the folder holds what was made of that file. The folder is there whole or not at all. What
# Debian offers on the day is taken; FOLDER/versions says what that was.
set -euo pipefail

folder=$1
source=tests/api-server/server/main.go

# What main.go imports, over all levels. When unstable has moved on and this no longer suffices, everything that Debian
# says the library depends on is fetched instead: ten times as much.
libraries=(
    golang-cel-cel-go-dev golang-cel-expr-dev golang-etcd-server-dev golang-github-antlr4-go-antlr-dev
    golang-github-beorn7-perks-dev golang-github-blang-semver-dev golang-github-cenkalti-backoff-v5-dev
    golang-github-cespare-xxhash-v2-dev golang-github-coreos-go-semver-dev golang-github-coreos-go-systemd-dev
    golang-github-davecgh-go-spew-dev golang-github-docker-spdystream-dev golang-github-emicklei-go-restful-dev
    golang-github-evanphx-json-patch-dev golang-github-felixge-httpsnoop-dev golang-github-fsnotify-fsnotify-dev
    golang-github-fxamacker-cbor-dev golang-github-go-logr-logr-dev golang-github-go-logr-stdr-dev
    golang-github-go-openapi-jsonpointer-dev golang-github-go-openapi-jsonreference-dev
    golang-github-go-openapi-swag-dev golang-github-gogo-protobuf-dev golang-github-golang-protobuf-1-5-dev
    golang-github-google-gnostic-models-dev golang-github-google-uuid-dev golang-github-gorilla-websocket-dev
    golang-github-grpc-ecosystem-go-grpc-middleware-dev golang-github-grpc-ecosystem-grpc-gateway-dev
    golang-github-json-iterator-go-dev golang-github-kylelemons-godebug-dev golang-github-modern-go-concurrent-dev
    golang-github-modern-go-reflect2-dev golang-github-munnerz-goautoneg-dev golang-github-mxk-go-flowrate-dev
    golang-github-nytimes-gziphandler-dev golang-github-pkg-errors-dev golang-github-pmezard-go-difflib-dev
    golang-github-prometheus-client-golang-dev golang-github-prometheus-client-model-dev
    golang-github-prometheus-common-dev golang-github-prometheus-procfs-dev golang-github-spf13-cobra-dev
    golang-github-spf13-pflag-dev golang-github-x448-float16-dev golang-go.uber-multierr-dev golang-go.uber-zap-dev
    golang-golang-x-crypto-dev golang-golang-x-exp-dev golang-golang-x-net-dev golang-golang-x-oauth2-dev
    golang-golang-x-sync-dev golang-golang-x-sys-dev golang-golang-x-term-dev golang-golang-x-text-dev
    golang-golang-x-time-dev golang-google-genproto-dev golang-google-grpc-dev golang-google-protobuf-dev
    golang-gopkg-inf.v0-dev golang-gopkg-natefinch-lumberjack.v2-dev golang-gopkg-yaml.v2-dev golang-gopkg-yaml.v3-dev
    golang-k8s-api-dev golang-k8s-apiextensions-apiserver-dev golang-k8s-apimachinery-dev golang-k8s-apiserver-dev
    golang-k8s-client-go-dev golang-k8s-component-base-dev golang-k8s-klog-dev golang-k8s-kms-dev
    golang-k8s-kube-openapi-dev golang-k8s-sigs-apiserver-network-proxy-dev golang-k8s-sigs-json-dev
    golang-k8s-sigs-randfill-dev golang-k8s-sigs-structured-merge-diff-v6-dev golang-k8s-sigs-yaml-dev
    golang-k8s-streaming-dev golang-k8s-utils-dev golang-opentelemetry-contrib-dev golang-opentelemetry-otel-dev
    golang-opentelemetry-proto-dev
)

stamp=$(sha256sum <"$source" | cut -d ' ' -f 1)
[[ -f $folder/stamp && $(<"$folder/stamp") == "$stamp" ]] && exit 0

if ! command -v dpkg-deb >/dev/null || ! command -v apt-get >/dev/null; then
    echo "this is no Debian: the tests that need an API server will say that they were skipped" >&2
    exit 0
fi

mkdir -p "$(dirname "$folder")"
work=$(mktemp -d "$folder.XXXXXX")
step="preparing"
finish() {
    local code=$?
    ((code == 0)) || { echo "the API server for tests: $step failed; $work.log has the details" >&2; tail -n 5 "$work.log" >&2; }
    chmod -R u+w "$work" && rm -rf "$work"
    ((code != 0)) || rm -f "$work.log"
}
trap finish EXIT
exec 3>&1 >"$work.log"

# Runs apt (whichever of its programs) on lists and a status of its own.
with_apt() {
    local program=$1
    shift
    "$program" -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State="$work/apt" -o Dir::State::status="$work/apt/status" -o Dir::Cache="$work/apt/cache" \
        -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
        -o Acquire::Retries=3 -o APT::Sandbox::User=root "$@" 2>>"$work.log"
}

# Fetches the packages named and unpacks them into the folder `root`.
unpack() {
    (cd "$work/debs" && with_apt apt-get download -q "$@") || return 1
    for package in "$work"/debs/*.deb; do
        dpkg-deb --extract "$package" "$work/root" 2>>"$work.log" || return 1
        rm "$package"
    done
}

# Everything in Go that the library depends on, by what Debian says.
all_libraries() {
    with_apt apt-get install --simulate --no-install-recommends golang-k8s-apiextensions-apiserver-dev |
        sed -nE 's/^Inst (golang-[^ ]*-dev) .*/\1/p'
}

compile() {
    env -u GOFLAGS GOROOT="$go" GOPATH="$work/root/usr/share/gocode" GO111MODULE=off \
        GOTOOLCHAIN=local CGO_ENABLED=0 GOCACHE="$work/go-cache" \
        "$go/bin/go" build -trimpath -ldflags "-s -w $version" \
        -o "$work/content/gondola-test-api-server" "$source" 2>>"$work.log"
}

step="finding Debian's mirror"
mkdir -p "$work"/{apt/lists/partial,apt/cache/archives/partial,debs,root,content}
touch "$work/apt/status"
# The mirror that this machine already uses, where it says so.
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Label: Debian' 2>>"$work.log" | sed -n 1p)
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:-http://deb.debian.org/debian} sid main" \
    >"$work/sources.list"

step="reading Debian's list of packages"
echo "fetching etcd and the libraries of the API server from Debian" >&3
with_apt apt-get update -q -o APT::Update::Error-Mode=any
go_version=$(with_apt apt-cache depends golang-go | sed -nE 's/^ *Depends: golang-([0-9.]+)-go$/\1/p')
released=$(with_apt apt-cache show golang-k8s-apiextensions-apiserver-dev | sed -nE 's/^Version: 0\.([0-9.]+).*/\1/p')
component=k8s.io/component-base/version
version="-X $component.gitVersion=v1.$released -X $component.gitMajor=1 -X $component.gitMinor=${released%%.*}"

step="fetching etcd and Go from Debian"
unpack etcd-server "golang-$go_version-go" "golang-$go_version-src"
go=$work/root/usr/lib/go-$go_version

step="compiling the API server"
echo "compiling the API server for tests (three minutes of processor time, once)" >&3
if ! { unpack "${libraries[@]}" && compile; }; then
    step="fetching everything that the API server's library depends on"
    mapfile -t libraries < <(all_libraries)
    unpack "${libraries[@]}"
    step="compiling the API server with everything that its library depends on"
    compile
fi

step="moving what was made to $folder"
cp "$work/root/usr/bin/etcd" "$work/content/etcd"
echo "Kubernetes 1.$released, $("$work/content/etcd" --version | sed -n 1p), Go $go_version" >"$work/content/versions"
echo "$stamp" >"$work/content/stamp"
rm -rf "$folder"
mv -T "$work/content" "$folder"
