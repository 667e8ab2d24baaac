# shellcheck shell=bash
# The demo's scenario `saas`: a service behind a network load balancer is offered, asked for, accepted, used by two customers,
# loses a target, and rejects a customer. Sourced by scripts/demo.sh.

provider_template=examples/saas-provider.yaml consumer_template=examples/saas-consumer.yaml
endpoint=10.100.1.70 # in every customer's own VPC
targets=(provider-1 provider-2)
second=444455556666:777788889999 # the second customer's account, in the place of the first one's
declare -A nginx_of=()

clean_up() {
  local pid
  for pid in "${nginx_of[@]}"; do kill "$pid" 2>/dev/null; done
  return 0
}

# serve TARGET: nginx in its namespace, which takes the PROXY header, and writes down who its clients are.
serve() {
  local name=$1 dir=$work/$1 early=() tlv=''
  mkdir "$dir"
  # nginx reads its files as another user.
  chmod 711 "$work"
  # nginx reads TLVs by their number from 1.23.2 on; Debian 12 has 1.22.
  nginx_is_at_least 1.23.2 && tlv=' endpoint \$proxy_protocol_tlv_0xea'
  cat >"$dir/nginx.conf" <<END
daemon off;
worker_processes 1;
pid $dir/nginx.pid;
error_log $dir/error.log warn;
events { worker_connections 1024; }
http {
  log_format clients 'client \$proxy_protocol_addr:\$proxy_protocol_port, seen as \$remote_addr$tlv';
  access_log $dir/access.log clients;
  default_type text/plain;
  client_body_temp_path $dir/body;
  proxy_temp_path $dir/proxy;
  fastcgi_temp_path $dir/fastcgi;
  uwsgi_temp_path $dir/uwsgi;
  scgi_temp_path $dir/scgi;
  server {
    listen 80 proxy_protocol;
    location / { return 200 "Hello from $name.\n"; }
    location /stream { root $dir; }
  }
}
END
  truncate -s 1G "$dir/stream"
  nginx -h 2>&1 | grep -q -- ' -e filename' && early=(-e "$dir/error.log")
  ip netns exec "$name" nginx "${early[@]}" -p "$dir" -c "$dir/nginx.conf" >"$dir/out" 2>&1 </dev/null &
  nginx_of[$name]=$!
}

nginx_is_at_least() {
  local found
  found=$(nginx -v 2>&1 | sed -n 's/.*nginx\/\([0-9.]*\).*/\1/p')
  [[ $(printf '%s\n' "$1" "$found" | sort -V | head -n1) == "$1" ]]
}

# Are so many targets healthy?
healthy() {
  "$PRIVLINK" targets list --output json |
    jq -e --argjson count "$1" '[.[].Targets[] | select(any(.TargetHealth[]; .State == "healthy"))] | length == $count' >/dev/null
}

# shown COMMAND...: a privlink command, and what it says.
shown() {
  step "privlink $*"
  "$PRIVLINK" "$@" | sed 's/^/  /'
  echo
}

# curls CLIENT COUNT: who answered how often.
curls() {
  local client=$1 count=$2 i
  step "$client: $count times curl http://$endpoint/"
  for ((i = 0; i < count; i++)); do
    ip netns exec "$client" curl -sS --fail --max-time 5 "http://$endpoint/" 2>&1 || true
  done | sort | uniq -c | sed "s/^ */  $green/; s/\$/$plain/"
  echo
}

scenario() {
  local code=0 download target

  privlink_up "$provider_template" "$consumer_template" --parameter ProxyProtocol=true
  for target in "${targets[@]}"; do serve "$target"; done

  shown services list
  shown endpoints list
  step "the client: curl http://$endpoint/, before the provider has accepted"
  ip netns exec client curl -sS --max-time 2 "http://$endpoint/" 2>&1 | sed 's/^/  /' || code=$?
  ((code != 0)) || die "the endpoint answered though nobody has accepted it"
  echo

  shown endpoints accept saas-consumer:Endpoint
  wait_for 30 "two healthy targets" healthy 2
  shown targets list
  curls client 20

  step "what the targets saw: nginx's log of the PROXY header, and the endpoint's id in it"
  for target in "${targets[@]}"; do
    [[ -s $work/$target/access.log ]] || die "$target has not seen a request"
    tail -n 2 "$work/$target/access.log" | sed "s/^/  $target: /"
  done
  header "${targets[0]}"
  echo

  step "nginx in provider-1 is killed; two failed health checks later it is out of service"
  kill "${nginx_of[provider-1]}"
  wait "${nginx_of[provider-1]}" 2>/dev/null || true
  unset 'nginx_of[provider-1]'
  wait_for 60 "the target out of service" healthy 1
  shown targets list
  curls client 20

  step "a second customer: the same CIDR, the same addresses, another account"
  sed "s/${second%:*}/${second#*:}/; s/Namespace: client /Namespace: client-2 /" "$consumer_template" >"$work/second.yaml"
  echo "  the provider allows its account, and applies both templates at once:"
  shown apply "$provider_template" "$work/second.yaml" --parameter \
    "saas-provider:ConsumerPrincipals=arn:aws:iam::${second%:*}:root,arn:aws:iam::${second#*:}:root"
  "$PRIVLINK" endpoints accept second:Endpoint | sed 's/^/  /'
  curls client-2 5
  shown endpoints list

  step "the provider rejects the first customer while it downloads"
  ip netns exec client curl -sS --fail -o "$work/download" --limit-rate 1M --max-time 60 "http://$endpoint/stream" 2>"$work/curl.err" &
  download=$!
  wait_for 10 "the download" test -s "$work/download"
  shown endpoints reject saas-consumer:Endpoint
  code=0
  wait "$download" || code=$?
  ((code == 56)) || die "the download was not reset: curl's exit code is $code: $(<"$work/curl.err")"
  sed 's/^/  /' "$work/curl.err"
  echo
  curls client-2 5

  step "what happened"
  cat <<END
  Three VPCs in three accounts, all 10.100.0.0/16. The provider put a network load balancer before two instances and offered
  it as an endpoint service; a consumer asked for an endpoint: an address in its own subnet, silent until it was
  accepted. Then each connection went to one of the healthy targets, from the load balancer's own address, and
  began with a PROXY header that names the real client and its endpoint. The killed target was found by
  health checks and got no more connections. The second customer is only one more endpoint.
END
}

# header TARGET: what a connection begins with there, as far as it is text.
header() {
  local seen=$work/header
  : >"$seen.err"
  ip netns exec "$1" tcpdump -i eni0 -nn -l -A -t --immediate-mode -c 1 \
    'dst port 80 and tcp[((tcp[12] & 0xf0) >> 2):4] = 0x0d0a0d0a' >"$seen" 2>"$seen.err" </dev/null &
  captures+=($!)
  wait_for 10 "tcpdump in $1" grep -q 'listening on' "$seen.err"
  for _ in {1..20}; do
    ip netns exec client curl -sS --max-time 5 -o /dev/null "http://$endpoint/"
  done
  wait "${captures[@]}"
  captures=()
  echo "  tcpdump in $1: the header names $(grep -aoE 'vpce-[0-9a-f]{17}' "$seen" | head -n1)"
}

how_to_use() {
  cat <<END
  sudo ip netns exec client-2 curl $endpoint
  sudo $PRIVLINK endpoints list
  sudo $PRIVLINK events --follow
END
}

how_to_end() { echo "  sudo kill ${nginx_of[*]}"; }
