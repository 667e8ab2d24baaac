#!/usr/bin/env bash
# From a clone to nginx's page through an endpoint, on a Debian machine with Rust.
set -Eeuo pipefail
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"

scenarios=(resource saas private-dns postgres)

help() {
  cat <<END
Usage: sudo scripts/demo.sh [SCENARIO] [--keep] [--no-install]

Runs a scenario with real programs (nginx, curl, tcpdump) and removes everything again.

Scenarios:
  resource    (default) two VPCs, both 172.18.0.0/16; curl from EC2_A in VPC 1 to nginx on EC2_B in VPC 2 through
              an endpoint network interface, a resource gateway and NAT (examples/resource-endpoint.yaml)
  saas        two accounts, both 10.100.0.0/16; a service on two instances behind a network load balancer is offered,
              asked for, accepted, used, survives a target, gets a second customer, and rejects the first
              (examples/saas-provider.yaml, examples/saas-consumer.yaml)
  private-dns one public name, two answers: in a VPC with an endpoint and private DNS it leads to the endpoint
              (examples/private-dns.yaml)
  postgres    psql through an endpoint to a database that is a name; a failover, and a connection that is idle for too long
              (examples/rds-postgres.yaml)

Options:
  --keep        leave everything running at the end, and say how to use and end it
  --no-install  install nothing: fail if something is missing

Environment:
  PRIVLINK    a privlink program to use; without it one is built (cargo build --release), as the user who called sudo

Examples:
  sudo ./scripts/demo.sh
  sudo ./scripts/demo.sh saas
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
clean_up() { :; } # until the scenario says what it makes
[[ " ${scenarios[*]} " == *" $scenario "* ]] ||
  usage_error "unknown scenario '$scenario'; there are: ${scenarios[*]}"
need_root "$scenario"
cd "$repo"
PATH=$PATH:/usr/sbin:/sbin

work=$(mktemp -d /tmp/privlink-demo.XXXXXX)
daemon='' captures=() keep_work=false

cleanup() {
  local code=$? pid
  trap - EXIT
  # A second Ctrl-C must not end this half-way.
  trap '' INT TERM HUP
  set +e
  for pid in "${captures[@]}"; do kill "$pid" 2>/dev/null; done
  if $keep && ((code == 0)); then
    $keep_work || rm -rf "$work"
    exit 0
  fi
  if [[ -n $daemon ]] && kill -0 "$daemon" 2>/dev/null; then
    step "cleaning up"
    kill -TERM "$daemon"
    wait "$daemon" || { note "privlink ended with exit code $?" && code=1; }
  fi
  clean_up || code=1
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

# The drop counter of REASON so far, over all interfaces.
dropped() {
  "$PRIVLINK" show drops --output json |
    awk -v reason="$1" -F'"' '/"Reason"/ { hit = $4 == reason } /"Packets"/ { gsub(/[^0-9]/, ""); n = $0 } /}/ { if (hit) sum += n; hit = 0 } END { print sum + 0 }'
}

# privlink_up TEMPLATE...: in the background, until it is ready.
privlink_up() {
  step "privlink up $*"
  : >"$work/privlink.out"
  # Its own session: Ctrl-C reaches this script, which then ends it in order.
  setsid "$PRIVLINK" up "$@" >"$work/privlink.out" 2>"$work/privlink.err" </dev/null &
  daemon=$!
  wait_for 20 "privlink's ready line" grep -qi '^ready' "$work/privlink.out"
  sed 's/^/  /' "$work/privlink.out" "$work/privlink.err"
  echo
}

# What this scenario needs besides, as install_packages takes it.
programs=()
# shellcheck source-path=SCRIPTDIR source=/dev/null
source "$repo/scripts/demo/$scenario.sh"
programs+=(ip:iproute2 curl:curl jq:jq tcpdump:tcpdump nginx:nginx-light)

if $install; then
  install_packages "${programs[@]}"
else
  for program in "${programs[@]%%:*}"; do
    [[ -e $program ]] || command -v "$program" >/dev/null || die "$program is missing, and --no-install was given"
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

scenario

if $keep; then
  cat <<END

${bold}It keeps running.${plain} Use it:
$(how_to_use)
End it:
  sudo $PRIVLINK down
$(how_to_end)
END
fi
