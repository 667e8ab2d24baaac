#!/usr/bin/env bash
# From a clone to nginx's page through an endpoint, on a Debian machine with Rust.
set -Eeuo pipefail
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"

scenarios=(resource)
template=examples/resource-endpoint.yaml
consumer=ec2-a provider=ec2-b
endpoints=(172.18.1.70 172.18.0.247)
denied_port=8080

help() {
  cat <<END
Usage: sudo scripts/demo.sh [SCENARIO] [--keep] [--no-install]

Runs a scenario with real programs (nginx, curl, tcpdump) and removes everything again.

Scenarios:
  resource    (default) two VPCs, both 172.18.0.0/16; curl from EC2_A in VPC 1 to nginx on EC2_B in VPC 2 through
              an endpoint network interface, a resource gateway and NAT ($template)

Options:
  --keep        leave everything running at the end, and say how to use and end it
  --no-install  install nothing: fail if something is missing

Environment:
  PRIVLINK    a privlink program to use; without it one is built (cargo build --release), as the user who called sudo

Examples:
  sudo ./scripts/demo.sh
  sudo ./scripts/demo.sh resource --keep
END
}

scenario='' keep=false install=true
while (($#)); do
  case $1 in
  -h | --help) help; exit 0 ;;
  --keep) keep=true ;;
  --no-install) install=false ;;
  -*) usage_error "unknown option '$1' (see --help)" ;;
  *)
    [[ -z $scenario ]] || usage_error "one scenario at a time (see --help)"
    scenario=$1
    ;;
  esac
  shift
done
scenario=${scenario:-resource}
[[ " ${scenarios[*]} " == *" $scenario "* ]] ||
  usage_error "unknown scenario '$scenario'; there is: ${scenarios[*]}"
need_root "$scenario"
cd "$repo"
PATH=$PATH:/usr/sbin:/sbin

work=$(mktemp -d /tmp/privlink-demo.XXXXXX)
daemon='' captures=() namespaces_up=false

cleanup() {
  local code=$? pid
  trap - EXIT
  # A second Ctrl-C must not end this half-way.
  trap '' INT TERM HUP
  set +e
  for pid in "${captures[@]}"; do kill "$pid" 2>/dev/null; done
  if $keep && ((code == 0)); then
    rm -rf "$work"
    exit 0
  fi
  if [[ -n $daemon ]] && kill -0 "$daemon" 2>/dev/null; then
    step "cleaning up"
    kill -TERM "$daemon"
    wait "$daemon" || { note "privlink ended with exit code $?" && code=1; }
  fi
  if $namespaces_up; then "$repo/scripts/namespaces.sh" down >/dev/null || code=1; fi
  rm -rf "$work"
  exit "$code"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# wait_for SECONDS WHAT COMMAND...: until the command succeeds.
wait_for() {
  local tries=$(($1 * 20)) what=$2
  shift 2
  until "$@"; do
    ((tries-- > 0)) || die "$what: not after all this time"
    [[ -z $daemon ]] || kill -0 "$daemon" 2>/dev/null || die "privlink ended too early: $(tail -n 20 "$work/privlink.err")"
    sleep 0.05
  done
}

# capture NAMESPACE FILE FILTER: the first packet that fits, as tcpdump shows it.
capture() {
  : >"$2.err"
  ip netns exec "$1" tcpdump -i eni0 -nn -l -t --immediate-mode -c 1 "$3" >"$2" 2>"$2.err" </dev/null &
  captures+=($!)
  wait_for 10 "tcpdump in $1" grep -q 'listening on' "$2.err"
}

# addresses FILE: `172.18.0.108:41234 -> 172.18.1.70:80` out of `IP 172.18.0.108.41234 > 172.18.1.70.80: Flags [S], ...`
addresses() {
  sed -nE 's/^IP ([0-9.]+)\.([0-9]+) > ([0-9.]+)\.([0-9]+): .*/\1:\2 -> \3:\4/p' "$1" | head -n1
}

# marked OTHER LINE LABEL: the line, and under it what is marked: each address that also stands in OTHER.
marked() {
  local other=$1 line=$2 label=$3 address shown under='' found=''
  shown=$line
  while read -r address; do
    [[ $other == *"$address:"* ]] || continue
    local before=${line%%"$address:"*}
    shown=${line/"$address"/$yellow$address$plain}
    under=$(printf '%*s%s' ${#before} '' "${address//?/^}")
    found=$address
  done < <(grep -oE '[0-9]+(\.[0-9]+){3}' <<<"$line")
  printf '  %-17s %s\n' "$label" "$shown"
  [[ -z $found ]] || printf '  %-17s %s%s%s %s\n' '' "$yellow" "$under" "$plain" "$4"
}

# through ENDPOINT: curl it, and show what both sides saw of it.
through() {
  local endpoint=$1 sent received
  step "EC2_A (VPC 1): curl http://$endpoint/"
  capture "$consumer" "$work/sent" 'tcp[tcpflags] == tcp-syn'
  capture "$provider" "$work/received" 'tcp[tcpflags] == tcp-syn and dst port 80'
  ip netns exec "$consumer" curl -sS --fail --max-time 10 "http://$endpoint/" | sed "s/^/  $green/; s/\$/$plain/" ||
    die "curl of $endpoint failed; dropped so far:"$'\n'"$("$PRIVLINK" show drops 2>&1)"
  wait_for 5 "the packet in $consumer" grep -q '^IP ' "$work/sent"
  wait_for 5 "the packet in $provider" grep -q '^IP ' "$work/received"
  wait "${captures[@]}"
  captures=()
  sent=$(addresses "$work/sent") received=$(addresses "$work/received")
  [[ -n $sent && -n $received ]] || die "tcpdump's output was not understood: $(cat "$work/sent" "$work/received")"
  echo
  marked "$received" "$sent" "consumer sent" "EC2_A in VPC 1,"
  marked "$sent" "$received" "target received" "and EC2_B in VPC 2: the same address, two machines"
  echo
}

# The drop counter of REASON so far, over all interfaces.
dropped() {
  "$PRIVLINK" show drops --output json |
    awk -v reason="$1" -F'"' '/"Reason"/ { hit = $4 == reason } /"Packets"/ { gsub(/[^0-9]/, ""); n = $0 } /}/ { if (hit) sum += n; hit = 0 } END { print sum + 0 }'
}

denied() {
  local endpoint=${endpoints[0]} code=0 before after
  step "EC2_A: curl http://$endpoint:$denied_port/, a port that no security group admits"
  before=$(dropped IngressDenied)
  ip netns exec "$consumer" curl -sS --max-time 2 "http://$endpoint:$denied_port/" 2>&1 | sed 's/^/  /' || code=$?
  ((code != 0)) || die "port $denied_port of $endpoint answered, though no rule admits it"
  after=$(dropped IngressDenied)
  ((after > before)) || die "no drop was counted as IngressDenied"
  echo
  echo "  privlink show drops:"
  "$PRIVLINK" show drops | sed 's/^/  /'
  echo
}

if $install; then
  install_packages ip:iproute2 curl:curl tcpdump:tcpdump nginx:nginx-light
else
  for program in ip curl tcpdump nginx; do
    command -v "$program" >/dev/null || die "$program is missing, and --no-install was given"
  done
fi
[[ -c /dev/net/tun ]] || modprobe tun 2>/dev/null || true
[[ -c /dev/net/tun ]] || die "/dev/net/tun is missing: this kernel (or container) has no TUN devices"

if [[ -z ${PRIVLINK:-} ]]; then
  if $install; then install_packages cc:gcc /usr/include/errno.h:libc6-dev; fi
  need_cargo
  step "building privlink as $builder"
  as_builder cargo build --release --locked --bin privlink || die "the build failed"
  PRIVLINK=$repo/target/release/privlink
fi

step "two namespaces for two EC2 instances, nginx in $provider"
# Where they stand already, somebody works by hand: they stay.
[[ -e /run/privlink-namespaces ]] || namespaces_up=true
"$repo/scripts/namespaces.sh" up | sed 's/^/  /'

step "privlink up $template"
# Its own session: Ctrl-C reaches this script, which then ends it in order.
: >"$work/privlink.out"
setsid "$PRIVLINK" up "$template" >"$work/privlink.out" 2>"$work/privlink.err" </dev/null &
daemon=$!
wait_for 20 "privlink's ready line" grep -qi '^ready' "$work/privlink.out"
sed 's/^/  /' "$work/privlink.out" "$work/privlink.err"
echo

for endpoint in "${endpoints[@]}"; do through "$endpoint"; done
denied

step "what happened"
cat <<END
  Both VPCs are 172.18.0.0/16, and EC2_A and EC2_B even have the same address, so neither could route to the other.
  EC2_A sent to an endpoint network interface: an address in its own VPC. privlink checked the endpoint's and the
  gateway's security groups, picked an address and port of the resource gateway in the same zone of VPC 2, and
  rewrote both addresses; EC2_B's security group admits the gateway's group, and nginx saw the gateway as its client.
  The answers took the same flow backwards. Nothing in VPC 2 can open a connection towards VPC 1.
END

if $keep; then
  cat <<END

${bold}It keeps running.${plain} Use it:
  sudo ip netns exec $consumer curl ${endpoints[0]}
  sudo $PRIVLINK show flows
End it:
  sudo $PRIVLINK down
  sudo $repo/scripts/namespaces.sh down
END
fi
