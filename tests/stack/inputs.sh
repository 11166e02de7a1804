#!/bin/bash
# Wrong input to the Makefile: an error that names thing and fix, and nothing half-started.
# shellcheck source=tests/stack/lib.bash
. "$(dirname "$0")/lib.bash"

free_ports
dir=$scratch/r
check 'PORT=abc' refused 'PORT=abc|1 to 65535' start PORT=abc RUN_DIR="$dir"
check 'PORT=0' refused 'PORT=0' start PORT=0 RUN_DIR="$dir"
check 'PORT=70000' refused 'PORT=70000' start PORT=70000 RUN_DIR="$dir"
check 'PORT without room for the admin port' refused 'ADMIN_PORT' start PORT=65000 RUN_DIR="$dir"
check 'ADMIN_PORT equal to PORT' refused 'ADMIN_PORT|PORT already' start PORT="$port" ADMIN_PORT="$port" RUN_DIR="$dir"
check 'WORKERS=0' refused 'WORKERS=0' start PORT="$port" WORKERS=0 RUN_DIR="$dir"
check 'WORKERS=many' refused 'WORKERS=many' start PORT="$port" WORKERS=many RUN_DIR="$dir"
check 'LISTEN=everywhere' refused 'LISTEN=everywhere|127.0.0.1' start PORT="$port" LISTEN=everywhere RUN_DIR="$dir"
check 'LISTEN on an address of another machine' \
  refused '192.0.2.1' start PORT="$port" ADMIN_PORT="$admin" LISTEN=192.0.2.1 WORKERS=1 RUN_DIR="$dir"
check 'ACCESS_LOG=maybe' refused 'ACCESS_LOG=maybe|on or off' start PORT="$port" ACCESS_LOG=maybe RUN_DIR="$dir"
check 'DB_NAME with a quote' refused "DB_NAME=a'b" start PORT="$port" "DB_NAME=a'b" RUN_DIR="$dir"
check 'an unknown option' refused 'no-such-option' start PORT="$port" OPTIONS=--no-such-option RUN_DIR="$dir"
check 'an option out of range' refused 'request-timeout' start PORT="$port" OPTIONS=--request-timeout=9h RUN_DIR="$dir"
check 'an option that does not serve' refused 'OPTIONS=--version' start PORT="$port" OPTIONS=--version RUN_DIR="$dir"

check 'RUN_DIR=/' refused 'RUN_DIR=/' start PORT="$port" RUN_DIR=/
check 'RUN_DIR that cannot be made' refused 'RUN_DIR=/proc/x' start PORT="$port" RUN_DIR=/proc/x
long=$scratch/$(printf 'x%.0s' {1..110})
check 'RUN_DIR too long for a socket' refused 'too long|107' start PORT="$port" RUN_DIR="$long"
check 'RUN_DIR with a space' refused 'RUN_DIR=' start PORT="$port" RUN_DIR="$scratch/a b"
mkdir "$scratch/full"
echo mine >"$scratch/full/letter"
check "RUN_DIR with somebody's files" refused 'files of others' start PORT="$port" RUN_DIR="$scratch/full"
check 'their files are still there' grep -q mine "$scratch/full/letter"

if [[ $EUID -eq 0 ]]; then
  mkdir -m 0700 "$scratch/private"
  check 'RUN_DIR below a private folder' refused 'cannot reach it' start PORT="$port" ADMIN_PORT="$admin" RUN_DIR="$scratch/private/r"
  mkdir "$scratch/small"
  if mount -t tmpfs -o size=20m none "$scratch/small" 2>/dev/null; then
    mounted=$scratch/small
    check 'no space left' refused 'no space left' start PORT="$port" ADMIN_PORT="$admin" RUN_DIR="$scratch/small/r"
    umount "$mounted"
    mounted=
  fi
else
  mkdir -m 0500 "$scratch/locked"
  check 'RUN_DIR not writable' refused 'RUN_DIR=' start PORT="$port" RUN_DIR="$scratch/locked/r"
fi

# A package that is missing, told to somebody who cannot install it.
mkdir -m 0755 "$scratch/bin"
cat >"$scratch/bin/dpkg-query" <<'EOF'
#!/bin/sh
/usr/bin/dpkg-query "$@" | grep -v '^spawn-fcgi '
EOF
printf '#!/bin/sh\nexit 1\n' >"$scratch/bin/sudo"
chmod 0755 "$scratch/bin/"*
without_package() {
  local as=()
  [[ $EUID -ne 0 ]] || as=(setpriv --reuid=nobody --regid=nogroup --clear-groups --)
  # By stdin: the clone may be below a private home.
  ! "${as[@]}" env PATH="$scratch/bin:$PATH" bash -s -- run <deploy/local/packages >"$scratch/out" 2>&1 &&
    grep -q 'missing: spawn-fcgi$' "$scratch/out" && grep -q 'apt-get install' "$scratch/out"
}
check 'a missing package is named' without_package

broken() { # WORDS URL
  DATABASE_URL=$2 refused "$1" start PORT="$port" ADMIN_PORT="$admin" WORKERS=1 RUN_DIR="$scratch/broken"
}
check 'DATABASE_URL malformed' broken 'DATABASE_URL' 'postgresql://[::1/x'
check 'DATABASE_URL to nobody' broken 'DATABASE_URL|database' 'postgresql://asterisk@127.0.0.1:1/benchmarks?connect_timeout=3'
check 'db-load without DATABASE_URL' refused 'DATABASE_URL is empty' db-load
