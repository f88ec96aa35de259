# How a Debian source package is had where the machine's apt knows of binary ones alone. Sourced by what has a
# directory of its own in $work; nothing of the machine's apt is changed.
# shellcheck shell=bash disable=SC2154

# source_apt COMMAND...: apt-get with source indexes in a private configuration; the machine's own is only read.
source_apt() {
  apt-get -q -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$work/sources" \
    -o "Dir::State::Lists=$work/lists" -o APT::Sandbox::User=root "$@"
}

# source_cache COMMAND...: apt-cache, likewise.
source_cache() {
  apt-cache -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$work/sources" \
    -o "Dir::State::Lists=$work/lists" "$@"
}

# read_source_index: makes that configuration of the machine's sources, and fetches the indexes.
read_source_index() {
  local file
  mkdir -p "$work/sources" "$work/lists/partial"
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ -s "$file" ] || continue
    sed -nE 's/^deb(-src)?([[:space:]])/deb-src\2/p' "$file" >"$work/sources/$(basename "$file" .list).list"
  done
  for file in /etc/apt/sources.list.d/*.sources; do
    [ -s "$file" ] || continue
    sed -E 's/^Types:.*/Types: deb-src/' "$file" >"$work/sources/$(basename "$file")"
  done
  source_apt update >"$work/apt.log" 2>&1 || { cat "$work/apt.log" >&2; return 1; }
}
