#!/bin/sh
# Installs the Debian packages that building and testing need, or prints the one line that does.
set -eu
packages="g++ make cmake git ca-certificates clang-format doctest-dev libcli11-dev libtomlplusplus-dev
  nlohmann-json3-dev libfmt-dev libcurl4-openssl-dev libarchive-dev zlib1g-dev libssl-dev pkg-config
  libcpp-httplib-dev libsentencepiece-dev"

missing=""
for package in $packages; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done
[ -z "$missing" ] && exit 0

install="apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends$missing"
if [ "$(id -u)" = 0 ]; then
  root="sh -c"
elif sudo -n true 2>/dev/null; then
  root="sudo sh -c"
else
  printf 'Packages are missing. Run this line, then the same command again:\n  sudo sh -c "%s"\n' "$install" >&2
  exit 1
fi
printf 'installing:%s\n' "$missing"
$root "$install" > /dev/null
