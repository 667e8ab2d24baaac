#!/bin/bash
# Bulk and new connections where each begins with a PROXY header: privlink without it and with it, and haproxy's send-proxy-v2,
# each before an nginx of its own, in turn. The figures of docs/design/0005.
#
#   cargo build --release && sudo ./scripts/bench/proxy-protocol.sh [MTU] [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")/../.."

mtu=${1:-9001} rounds=${2:-5}
endpoint=172.18.1.70 target=172.18.0.108
work=$(mktemp -d) children=()
chmod 755 "$work"

clean_up() {
  for child in "${children[@]}"; do kill "$child" 2>/dev/null || true; done
  wait || true
  for side in a b; do ip netns del "proxy-haproxy-$side" 2>/dev/null || true; done
  rm -rf "$work"
}
trap clean_up EXIT

# An nginx in $1's target: `listen` with $2.
start_nginx() {
  local temporary='' kind
  for kind in client_body proxy fastcgi uwsgi scgi; do temporary+="${kind}_temp_path $work/$1-$kind; "; done
  cat >"$work/$1-nginx.conf" <<CONF
daemon off; user root; worker_processes 1; pid $work/$1-nginx.pid; error_log stderr crit;
events { worker_connections 2048; }
http { access_log off; $temporary sendfile on; default_type text/plain;
server { listen 0.0.0.0:80 ${2-}; root $work/files; location = / { return 200 hello; } } }
CONF
  ip netns exec "proxy-$1-b" nginx -e stderr -p "$work" -c "$work/$1-nginx.conf" &
  children+=($!)
}

# privlink between two namespaces: $1 names it, $2 are the configuration's metadata.
start_privlink() {
  sed -e "s/Namespace: ec2-\([ab]\)/Namespace: proxy-$1-\1/" \
    -e "s/^  Configuration:\$/&${2-}/" examples/resource-endpoint.yaml >"$work/$1.yaml"
  target/release/privlink up --mtu "$mtu" --state-dir "$work/$1-state" "$work/$1.yaml" >"$work/$1.log" 2>&1 &
  children+=($!)
  for _ in {1..100}; do
    ! grep -q Ready "$work/$1.log" || return 0
    sleep 0.1
  done
  cat "$work/$1.log" >&2
  return 1
}

start_haproxy() {
  local side
  for side in a b; do
    ip netns add "proxy-haproxy-$side"
    ip -n "proxy-haproxy-$side" link set lo mtu "$mtu" up
  done
  ip -n proxy-haproxy-a address add "$endpoint/32" dev lo
  ip -n proxy-haproxy-b address add "$target/32" dev lo
  cat >"$work/haproxy.cfg" <<CONF
defaults
  mode tcp
  timeout connect 5s
  timeout client 1m
  timeout server 1m
listen provider
  bind $endpoint:80 namespace proxy-haproxy-a
  server provider $target:80 namespace proxy-haproxy-b send-proxy-v2
CONF
  haproxy -db -f "$work/haproxy.cfg" &
  children+=($!)
}

mkdir "$work/files"
truncate -s 3G "$work/files/big"
start_privlink plain
start_nginx plain
start_privlink header '\n    Metadata: {privlink: {ProxyProtocol: true}}'
start_nginx header proxy_protocol
start_haproxy
start_nginx haproxy proxy_protocol
sleep 1.5

echo 'round subject Gbit/s connections/s'
for ((round = 1; round <= rounds; round++)); do
  for subject in plain header haproxy; do
    speed=$(ip netns exec "proxy-$subject-a" curl -sf -o /dev/null -w '%{speed_download}' "http://$endpoint/big")
    connections=$(ip netns exec "proxy-$subject-a" wrk -t1 -c16 -d2 -H 'Connection: close' "http://$endpoint/" |
      awk '/Requests\/sec/ { print $2 }')
    awk -v speed="$speed" -v round="$round" -v subject="$subject" -v connections="$connections" \
      'BEGIN { printf "%d %s %.1f %d\n", round, subject, speed * 8 / 1e9, connections }'
  done
done
