# shellcheck shell=bash
# The public DNS of the demos that show names: dnsmasq on the loopback, which privlink asks as its upstream. Sourced.

programs+=(dnsmasq:dnsmasq-base dig:bind9-dnsutils)
upstream=127.0.0.1 upstream_port=5354 dnsmasq=''

stop_public_dns() {
  [[ -z $dnsmasq ]] || { kill "$dnsmasq" 2>/dev/null; wait "$dnsmasq" 2>/dev/null; }
  dnsmasq=''
}

# public_dns RECORD...: the public DNS, from now on with these records, as options of dnsmasq.
public_dns() {
  stop_public_dns
  dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --bind-interfaces --listen-address="$upstream" \
    --port="$upstream_port" --pid-file= --local-ttl=5 '--address=/#/' "$@" >"$work/dnsmasq.out" 2>&1 </dev/null &
  dnsmasq=$!
  wait_for 10 "dnsmasq" public_dns_answers
  printf '  %s\n' "$@"
  echo
}

public_dns_answers() {
  kill -0 "$dnsmasq" 2>/dev/null || die "dnsmasq ended: $(<"$work/dnsmasq.out")"
  dig "@$upstream" -p "$upstream_port" +time=1 +tries=1 localhost >/dev/null 2>&1
}

# dig_in NAMESPACE ARGUMENT...: what an unmodified dig says there, in short.
dig_in() {
  local namespace=$1
  shift
  printf '  %-9s dig +short %s: %s%s%s\n' "$namespace" "$*" "$green" \
    "$(ip netns exec "$namespace" dig +short +time=3 +tries=1 "$@" | paste -sd' ')" "$plain"
}
