#!/usr/bin/env bash
# Installs Debian's headless Chromium, with which the mesh page is tested as people see it: 98 MB to download, 306 MB on disk with
# what it depends on, some 20 seconds. A machine whose package sources have no security updates gets all of chromium instead, which is
# what they have. Nothing is done when a Chromium is there.
set -euo pipefail
# shellcheck source=tools/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

for name in chromium-headless-shell chromium; do
  ! command -v "$name" >/dev/null || exit 0
done

# Installs a browser with a font that has every letter of the page: on a server there need be none.
install() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$1" fonts-dejavu-core >/dev/null; }

say "Installing a headless Chromium from Debian"
install chromium-headless-shell 2>/dev/null || {
  as_root apt-get -qq update >/dev/null
  install chromium-headless-shell 2>/dev/null || install chromium
} || die "apt-get could install neither chromium-headless-shell nor chromium; check the network and the apt sources, then run again"
