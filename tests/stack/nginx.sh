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

# --- the samples for production (deploy/nginx), with a certificate made on the spot -------------------------------------------------

rm -f "$etc/conf.d/zz-other.conf"
free_ports
https=$port http=$admin
free_ports
plain=$port
certificate() {
  mkdir "$scratch/tls" && openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=agents.example.org -days 2 -keyout "$scratch/tls/privkey.pem" \
    -out "$scratch/tls/fullchain.pem" >"$scratch/out" 2>&1
}
check 'a certificate' certificate
: >"$scratch/out"
# Paths and ports of a machine become the copy's; nothing else is changed.
sample() { # FILE
  sed -e "s|/etc/ssl/agents-fcgi|$scratch/tls|g" -e "s|/var/log/agents-fcgi|$scratch|g" -e "s|\<443\>|$https|g" -e "s|\<80;|$http;|g" -e "s|\<8080\>|$plain|g" "deploy/nginx/$1"
}
# As its first lines say; Debian's file has one line for each.
limits() {
  sed -n 's/^#   \(worker_[a-z_]* [0-9]*;\).*/\1/p' deploy/nginx/agents-public.conf >"$scratch/limits"
  [[ $(wc -l <"$scratch/limits") -eq 2 ]] || return 1
  { sed -n 1p "$scratch/limits" && sed "s|worker_connections .*|$(sed -n 2p "$scratch/limits")|" "$etc/nginx.conf"; } >"$etc/nginx.conf.new" &&
    mv "$etc/nginx.conf.new" "$etc/nginx.conf" && grep -q '24576' "$etc/nginx.conf"
}
check 'its limits for 10,000 clients' limits
mkdir "$etc/agents-fcgi/public.d"
sample agents-public.conf >"$etc/conf.d/agents-public.conf"
# One network more, to be an insider that is not this host.
sample agents-outsiders.conf | sed 's|^  ::1 1;|&\n  203.0.113.0/24 1;|' >"$etc/conf.d/agents-outsiders.conf"
check 'the server with TLS' tests_configuration
sample agents-public-plain.conf >"$etc/conf.d/agents-public-plain.conf"
refuses_configuration() { ! tests_configuration; }
check 'no server for a balancer that is not named' refuses_configuration
sample public.d/real-ip.conf | sed 's/192.0.2.10/127.0.0.1/' >"$etc/agents-fcgi/public.d/real-ip.conf"
check 'behind a balancer' tests_configuration
sample public.d/brotli.conf >"$etc/agents-fcgi/public.d/brotli.conf"
check 'with brotli' tests_configuration
no_sample_untested() { [[ $(find deploy/nginx -name '*.conf' -printf "%f\n" | sort | tr '\n' ' ') == 'agents-outsiders.conf agents-public-plain.conf agents-public.conf brotli.conf limits.conf real-ip.conf sysctl.conf ' ]]; }
check 'no sample is left out' no_sample_untested

# For this test: says for whom it takes a client.
free_ports
networks_port=$port
# shellcheck disable=SC2016 # for nginx
printf 'server { listen 127.0.0.1:%s; access_log off; include agents-fcgi/public.d/real-ip.conf; location / { return 200 $agents_network; } }\n' "$networks_port" \
  >"$etc/conf.d/zz-networks.conf"
/usr/sbin/nginx -e "$scratch/error.log" -c "$etc/nginx.conf" -g 'daemon off;' >"$scratch/out" 2>&1 </dev/null &
background+=("$!")
check 'it starts' await 20 listening "$https"

# REQUEST-LINES…: the answer, head and body, over TLS or, with over=plain, as a balancer that has ended it asks.
over=tls
ask() {
  printf '%s\r\n' "$@" 'Host: agents.example.org' 'Connection: close' '' >"$scratch/request"
  if [[ $over == plain ]]; then
    # shellcheck disable=SC2016 # for the inner shell
    timeout 20 bash -c 'exec {fd}<>"/dev/tcp/127.0.0.1/$1" && cat "$2" >&"$fd" && cat <&"$fd"' ask "$plain" "$scratch/request" >"$scratch/out"
  else
    timeout 20 openssl s_client -quiet -connect "127.0.0.1:$https" -CAfile "$scratch/tls/fullchain.pem" -verify_return_error \
      <"$scratch/request" >"$scratch/out" 2>"$scratch/s_client"
  fi
}
answers() { # STATUS WORDS REQUEST-LINES…
  local status=$1 words=$2
  shift 2
  ask "$@" || true
  head -n 1 "$scratch/out" | grep -q " $status " && grep -qi -- "$words" "$scratch/out"
}
outsider='X-Forwarded-For: 198.51.100.7'
# There is no pool, so what passes is nginx's own 502, which is a problem, too.
check 'HSTS, on an error of its own too' answers 502 '^strict-transport-security: max-age=63072000' 'GET /index HTTP/1.1'
check 'no HSTS over plain HTTP' bash -c "! grep -qi strict-transport <(exec 3<>/dev/tcp/127.0.0.1/$PORT && printf 'GET /index HTTP/1.0\r\n\r\n' >&3 && cat <&3)"
for over in tls plain; do
  for path in /agents_with_orm /agent_logins /agents_with_orm?x=1 /%61gent_logins //agent_logins /x/../agent_logins; do
    check "an outsider does not see $path ($over)" answers 403 '"status": 403' "GET $path HTTP/1.1" "$outsider"
  done
  check "nor does who has a private address ($over)" answers 403 '"status": 403' 'GET /agent_logins HTTP/1.1' 'X-Forwarded-For: 10.1.2.3'
  check "an insider does ($over)" answers 502 '"status": 502' 'GET /agent_logins HTTP/1.1' 'X-Forwarded-For: 203.0.113.9'
  check "an outsider who says that he is one does not ($over)" answers 403 '"status": 403' 'GET /agent_logins HTTP/1.1' 'X-Forwarded-For: 203.0.113.9, 198.51.100.7'
  check "an outsider sees the rest ($over)" answers 502 '"status": 502' 'GET /agents HTTP/1.1' "$outsider"
done
redirects() {
  exec {fd}<>"/dev/tcp/127.0.0.1/$http" && printf 'GET /agents?x=1 HTTP/1.0\r\nHost: x\r\n\r\n' >&"$fd" && cat <&"$fd" >"$scratch/out"
  exec {fd}>&-
  grep -q '^HTTP/1.1 308' "$scratch/out" && grep -q '^Location: https://agents.example.org/agents?x=1' "$scratch/out"
}
check 'plain HTTP is sent to HTTPS' redirects
# WORDS OPTIONS…: what the handshake says.
handshake() {
  local words=$1
  shift
  timeout 20 openssl s_client -connect "127.0.0.1:$https" "$@" </dev/null >"$scratch/out" 2>&1 || true
  grep -q -- "$words" "$scratch/out"
}
check 'HTTP/2' handshake 'ALPN protocol: h2' -alpn h2
check 'TLS 1.3' handshake 'TLSv1.3, Cipher is TLS' -tls1_3
check 'TLS 1.2' handshake 'Cipher is ECDHE-RSA-AES' -tls1_2
check 'no TLS 1.1' handshake 'no protocols available\|alert protocol version' -tls1_1
check 'no cipher without forward secrecy' handshake 'alert handshake failure' -tls1_2 -cipher AES128-SHA
# WORDS: how often it stands in the answers; a body does not end in a newline.
count() { grep -o -- "$1" "$scratch/answers" | wc -l; }
# HEADER…: 900 requests (flood_size) on one connection, far above the rate, with one of the headers each, in turn.
flood() {
  local i
  { for ((i = 0; i < ${flood_size:-900}; i++)); do printf 'GET /index HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n' "${@:i % $# + 1:1}"; done && printf 'GET /index HTTP/1.0\r\n\r\n'; } |
    if [[ $over == plain ]]; then
      # shellcheck disable=SC2016
      timeout 60 bash -c 'exec {fd}<>"/dev/tcp/127.0.0.1/$1" && { cat <&"$fd" & cat >&"$fd"; } && wait' flood "$plain" >"$scratch/answers" || true
    else
      timeout 60 openssl s_client -quiet -connect "127.0.0.1:$https" >"$scratch/answers" 2>/dev/null || true
    fi
  tail -c 700 "$scratch/answers" >"$scratch/out"
}
limited() {
  flood "$@" && (($(count 'HTTP/1.1 429') > 0 && $(count '"title": "Too Many Requests", "status": 429') == $(count 'HTTP/1.1 429'))) &&
    (($(count 'Retry-After: 1') >= 900))
}
unlimited() { flood "$@" && (($(count 'HTTP/1.1 429') == 0 && $(count 'HTTP/1.1 502') >= 900)); }
for over in tls plain; do
  check "an outsider above the rate gets 429 ($over)" limited 'X-Forwarded-For: 198.51.100.8'
  check "another does not ($over)" answers 502 '"status": 502' 'GET /index HTTP/1.1' 'X-Forwarded-For: 198.51.100.9'
  check "an insider is not counted ($over)" unlimited 'X-Forwarded-For: 203.0.113.9'
done
# nginx reads on after its last answer, so all that were sent have arrived.
ends_at_1000() {
  flood_size=1100 flood 'X-Forwarded-For: 203.0.113.9' && (($(count 'HTTP/1.1 502') == 1000 && $(count 'Connection: close') == 1))
}
for over in tls plain; do check "a connection of the public ends after 1,000 requests ($over)" ends_at_1000; done
# 33 addresses with 27 requests each stay below every limit, unless they count as one.
mapfile -t one_network < <(printf 'X-Forwarded-For: 2001:db8:0:7:%x::1\n' {1..33})
mapfile -t networks < <(printf 'X-Forwarded-For: 2001:db8:1:%x::1\n' {1..33})
over=tls
check 'the addresses of one /64 are one client' limited "${one_network[@]}"
check 'those of others are not' unlimited "${networks[@]}"
# However nginx writes an address: with zeros in each of its groups or not, Python's own reading is the oracle.
every_network() {
  /usr/bin/python3 -IS - "$networks_port" <<'END' >"$scratch/out" 2>&1
import http.client
import ipaddress
import itertools
import sys

connection = http.client.HTTPConnection('127.0.0.1', int(sys.argv[1]), timeout=20)
for groups in itertools.product(*[[0x2001]] + [[0, 0xdb8]] * 7):
    address = ipaddress.IPv6Address(':'.join(f'{group:x}' for group in groups))
    connection.request('GET', '/', headers={'X-Forwarded-For': str(address)})
    key = connection.getresponse().read().decode()
    assert [int(group, 16) for group in key.split(':')] == list(groups[:4]), f'{address} is counted as {key}'
END
}
check 'whatever its zeros, an address counts for its /64' every_network
# Written within its flush time.
check 'the log knows the client behind the balancer' await 20 grep -q '"remote": "198.51.100.9"' "$scratch/access.log"
# Bytes that are not UTF-8, in all that a client may fill; and UTF-8, control characters and quotes.
ff=$'\xff'
for over in tls plain; do
  answers 502 '' "GET /agents?q=$ff HTTP/1.1" "$outsider" "User-Agent: a${ff}b" "traceparent: 00-$ff" || not_ok "an answer to bytes that are not ASCII ($over)"
  answers 502 '' 'GET /agents?q=ü"\\ HTTP/1.1' "$outsider" $'User-Agent: ü"\\\t\x01' 'traceparent: "' || not_ok "an answer to quotes ($over)"
done
# Each process of nginx writes its own lines in its own time.
all_logged() { (($(grep -c '"uri": "(not ASCII)"' "$scratch/access.log") == 4)); }
log_is_json() {
  await 20 all_logged && /usr/bin/python3 -IS - "$scratch/access.log" <<'END' >"$scratch/out" 2>&1
import json
import sys

with open(sys.argv[1], 'rb') as file:
    lines = [json.loads(line.decode('utf-8', 'strict')) for line in file]
hidden = [line for line in lines if line['uri'] == '(not ASCII)']
assert all(line['user_agent'] == '(not ASCII)' for line in hidden), hidden
assert sorted(line['traceparent'] for line in hidden) == ['"', '"', '(not ASCII)', '(not ASCII)'], hidden
END
}
check 'each line of its log is JSON, whatever a client sends' log_is_json
check 'the rule for its log' bash -c "! /usr/sbin/logrotate -d deploy/nginx/agents-fcgi.logrotate 2>&1 | grep -i '^error'"
