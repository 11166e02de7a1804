# shellcheck shell=bash
# node.sh: which node runs this peer, and where its packages are.
modules=$project/build/peers/fastify-pg

# Debian's package first; else a node of at least version 18 from the caller's PATH. Sets `node`.
find_node() {
  local candidate version
  node=
  while read -r candidate; do
    version=$("$candidate" --version 2>/dev/null </dev/null) || continue
    version=${version#v}
    [[ ${version%%.*} =~ ^[0-9]+$ ]] && ((${version%%.*} >= 18)) || continue
    node=$candidate
    return 0
  done < <(PATH=/usr/bin:$caller_path type -ap node || true)
  return 1
}

# What is installed: the lock file that it was made from.
modules_are_current() { cmp -s "$here/package-lock.json" "$modules/installed.json"; }
