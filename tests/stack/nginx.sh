#!/bin/bash
# The production configuration on Debian's own nginx.conf, as the README installs it.
# shellcheck source=tests/stack/lib.bash
. "$(dirname "$0")/lib.bash"

etc=$scratch/etc-nginx
cp -r /etc/nginx "$etc"
rm -f "$etc/sites-enabled/"*
mkdir "$scratch/temporary"
temporary=
for part in client_body proxy fastcgi uwsgi scgi; do temporary+="${part}_temp_path $scratch/temporary/$part; "; done
# Paths of the machine become the copy's, so that this needs no root and touches no log.
sed -i -e "s|/etc/nginx|$etc|g" -e "s|/var/log/nginx|$scratch|g" -e "s|^pid .*|pid $scratch/nginx.pid;|" -e '/^user /d' \
  -e "s|^http {|&\n$temporary|" "$etc/nginx.conf"
tests_configuration() { /usr/sbin/nginx -t -e "$scratch/error.log" -c "$etc/nginx.conf" 2>&1 | grep -q 'test is successful'; }
installs() {
  SOCKET=$scratch/pool.sock ACCESS_LOG=$scratch/access.log nginx/render "$scratch/rendered" &&
    cp "$scratch/rendered/agents-fcgi.conf" "$etc/conf.d/" && cp -r "$scratch/rendered/agents-fcgi" "$etc/"
}

free_ports
export PORT=$port ADMIN_PORT=$admin
check "Debian's nginx.conf by itself" tests_configuration
check 'render' installs
check 'the service beside it' tests_configuration
printf 'server_tokens off;\nclient_max_body_size 1m;\nfastcgi_read_timeout 60s;\n' >"$etc/conf.d/zz-other.conf"
check 'beside settings of other sites' tests_configuration
sets_nothing_for_others() { ! grep -vE '^(#|$|  |}|upstream|map|log_format|server \{)' "$etc/conf.d/agents-fcgi.conf"; }
check 'nothing is set for other sites' sets_nothing_for_others
