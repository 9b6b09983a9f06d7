#!/usr/bin/env bash
# The documents as a site: the pages of docs/ and those at the root, in the order of docs/SUMMARY.md, with a search, and the crates'
# documentation beside them where it was built.
#   site.sh MDBOOK OUTPUT [RUSTDOC]
# Every link between pages must lead somewhere; links to other files of the repository lead to where it is published.
set -euo pipefail

mdbook=$1 output=$(realpath -m "$2") rustdoc=${3:-}
repository=https://github.com/gondola-dev/gondola/blob/main
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cp docs/book.toml docs/*.md "$work"
cp -r docs/decisions docs/pictures "$work"
cp README.md ARCHITECTURE.md CHANGELOG.md SECURITY.md CONTRIBUTING.md "$work"
# At the root, pages of docs/ are in a folder; in docs/, pages of the root are one above. In the book all are in one place.
for page in README ARCHITECTURE CHANGELOG SECURITY CONTRIBUTING; do
    sed -i -E -e 's#\]\(docs/([a-z0-9/.-]+\.md)#](\1#g' -e "s#\]\(((docs|examples|tests|inference|python|charts|scripts|LICENSE)[^):]*)\)#]($repository/\1)#g" "$work/$page.md"
done
for page in "$work"/*.md; do
    sed -i -E -e 's#\]\(\.\./(README|ARCHITECTURE|CHANGELOG|SECURITY|CONTRIBUTING)\.md#](\1.md#g' -e "s#\]\(\.\./([^):]+)\)#]($repository/\1)#g" "$page"
done
for page in "$work"/decisions/*.md; do
    sed -i -E -e 's#\]\(\.\./\.\./(README|ARCHITECTURE|CHANGELOG)\.md#](../\1.md#g' -e "s#\]\(\.\./\.\./([^):]+)\)#]($repository/\1)#g" "$page"
done
# What is not in the table of contents is found by links from pages that are.
{
    echo
    echo "# Decisions"
    echo
    for page in "$work"/decisions/*.md; do
        printf -- '- [%s](decisions/%s)\n' "$(sed -n '1s/^# //p' "$page")" "$(basename "$page")"
    done
    echo
    echo "[How to contribute](CONTRIBUTING.md)"
    echo "[How to report a vulnerability](SECURITY.md)"
} >>"$work/SUMMARY.md"

# Links to pages that are not there.
broken=0
while IFS=: read -r page link; do
    target=${link%%#*}
    [[ -z $target || $target == *://* || $target == mailto:* ]] && continue
    if [[ ! -e $(dirname "$page")/$target ]]; then
        echo "site.sh: ${page#"$work"/} links to $link, which is not there" >&2
        broken=1
    fi
done < <(grep -oHE '\]\([^) ]+\)' "$work"/*.md "$work"/decisions/*.md | sed -E 's/:\]\((.*)\)$/:\1/')
((broken == 0)) || exit 1

if [[ -n $rustdoc ]]; then
    {
        echo "# The crates"
        echo
        for crate in "$rustdoc"/gondola_*/; do
            name=$(basename "$crate")
            printf -- '- [%s](api/%s/index.html)\n' "${name//_/-}" "$name"
        done
    } >"$work/crates.md"
    sed -i 's#^- \[Changelog\]#- [The crates](crates.md)\n&#' "$work/SUMMARY.md"
fi

rm -rf "$output"
"$mdbook" build "$work" --dest-dir "$output"
if [[ -n $rustdoc ]]; then
    cp -r "$rustdoc" "$output/api"
fi
echo "the site: file://$output/index.html"
