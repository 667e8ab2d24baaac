# shellcheck shell=bash
# The demo's scenario `private-dns`: a public name that leads to an endpoint in one VPC only. Sourced by scripts/demo.sh.
# shellcheck source-path=SCRIPTDIR
source "$repo/scripts/demo/dns.sh"

template=examples/private-dns.yaml
name=monitoring.example.com public_address=203.0.113.80 private_address=10.0.0.70
nginx_pid=''

clean_up() {
  [[ -z $nginx_pid ]] || kill "$nginx_pid" 2>/dev/null
  stop_public_dns
  return 0
}

serve() {
  local dir=$work/nginx early=()
  mkdir "$dir"
  chmod 711 "$work"
  cat >"$dir/nginx.conf" <<END
daemon off;
worker_processes 1;
pid $dir/nginx.pid;
error_log $dir/error.log warn;
events { worker_connections 64; }
http {
  access_log off;
  default_type text/plain;
  client_body_temp_path $dir/body;
  proxy_temp_path $dir/proxy;
  fastcgi_temp_path $dir/fastcgi;
  uwsgi_temp_path $dir/uwsgi;
  scgi_temp_path $dir/scgi;
  server {
    listen 80;
    location / { return 200 "Hello from monitoring, asked as \$host.\n"; }
  }
}
END
  nginx -h 2>&1 | grep -q -- ' -e filename' && early=(-e "$dir/error.log")
  ip netns exec monitoring nginx "${early[@]}" -p "$dir" -c "$dir/nginx.conf" >"$dir/out" 2>&1 </dev/null &
  nginx_pid=$!
}

# The provider's service, as jq's expression sees it.
service() { "$PRIVLINK" services list --output json | jq -r ".[0].$1"; }

verified() { [[ $(service PrivateDnsNameConfiguration.State) == verified ]]; }
healthy() { "$PRIVLINK" targets list --output json | jq -e 'all(.[].Targets[].TargetHealth[]; .State == "healthy")' >/dev/null; }

# answers NAMESPACE ADDRESS: what it must be there.
answers() {
  local found
  found=$(ip netns exec "$1" dig +short +time=3 +tries=1 "$name" | paste -sd' ')
  [[ $found == "$2" ]] || die "in $1 $name is '$found', not $2"
}

scenario() {
  local token value endpoint_name

  step "the public DNS (dnsmasq on $upstream, port $upstream_port)"
  public_dns "--host-record=$name,$public_address"
  privlink_up "$template" --upstream "$upstream:$upstream_port"
  serve

  step "the service's name is not verified yet: everybody gets the public answer"
  "$PRIVLINK" services list | sed 's/^/  /'
  dig_in client "$name"
  dig_in outsider "$name"
  answers client "$public_address"
  echo

  step "the provider publishes the TXT record that it is asked for"
  token=$(service PrivateDnsNameConfiguration.Name) value=$(service PrivateDnsNameConfiguration.Value)
  public_dns "--host-record=$name,$public_address" "--txt-record=$token,$value"
  step "privlink services verify Service"
  "$PRIVLINK" services verify Service >"$work/verify.out"
  wait_for 20 "the name verified" verified
  "$PRIVLINK" services list | sed 's/^/  /'
  wait_for 30 "a healthy target" healthy
  echo

  step "one name, two answers"
  dig_in client "$name"
  dig_in outsider "$name"
  answers client "$private_address"
  answers outsider "$public_address"
  echo
  step "privlink dig client $name"
  "$PRIVLINK" dig client "$name" | sed 's/^/  /'
  echo
  step "privlink dig outsider $name"
  "$PRIVLINK" dig outsider "$name" | sed 's/^/  /'
  echo

  step "client: curl by name, also by the company's own name for it, and by the endpoint's"
  endpoint_name=$("$PRIVLINK" show endpoints --output json | jq -r '.[0].DnsEntries[0].DnsName')
  for host in "$name" metrics.corp.internal "$endpoint_name"; do
    ip netns exec client curl -sS --fail --max-time 5 "http://$host/" | sed "s/^/  $green/; s/\$/$plain/" ||
      die "curl of $host failed"
  done
  echo

  step "what happened"
  cat <<END
  Each VPC has a resolver of its own at 10.0.0.2, and all three have the same addresses. The provider proved that
  $name is its own; since then the VPC with the endpoint gets the endpoint's address, and everybody
  else what the public DNS says. The CNAME in the consumer's own zone leads there as well, and the endpoint's own
  name is one that everybody can resolve.
END
}

how_to_use() {
  cat <<END
  sudo ip netns exec client curl http://$name
  sudo $PRIVLINK dig client metrics.corp.internal
  sudo $PRIVLINK show resolver
END
}

how_to_end() { echo "  sudo kill $nginx_pid $dnsmasq"; }
