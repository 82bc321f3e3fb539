#!/bin/sh
# Make sure that the Debian packages given as arguments are there: install them as root, else say what to type.

command -v dpkg-query >/dev/null || exit 0 # another system names its libraries differently

# a package counts under its own name and under those it provides, such as libglib2.0-0 by libglib2.0-0t64
present=$(dpkg-query -W -f '${db:Status-Status} ${Package}, ${Provides}\n' |
    sed -n 's/^installed //p' | sed 's/ ([^)]*)//g; s/, */\n/g')
missing=
for package; do
    printf '%s\n' "$present" | grep -qxF -- "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -eq 0 ]; then
    # shellcheck disable=SC2086 # one word per package
    apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install $missing
else
    echo "System packages are missing. Type this, then repeat your command:" >&2
    echo "    sudo apt-get install$missing" >&2
    exit 1
fi
