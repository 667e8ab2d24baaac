#!/usr/bin/env bash
# Measures privlink beside the kernel's own NAT, haproxy and the pump (examples/pump.rs), in turn.
set -Eeuo pipefail
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"
# shellcheck source-path=SCRIPTDIR
source "$repo/scripts/bench/subjects.sh"
# shellcheck source-path=SCRIPTDIR
source "$repo/scripts/bench/tests.sh"

help() {
  cat <<END
Usage: sudo scripts/bench.sh [--quick] [--rounds N] [--seconds N] [--only TEST,...] [--mtu BYTES,...]
                             [--congestion-control NAME] [--no-install]

Four ways from a consumer to a provider of the same addresses, between network namespaces on this machine:

  kernel     a router between two veth pairs: nftables DNAT and SNAT, policy routing, conntrack
  haproxy    TCP mode, listening in one namespace and connecting in the other
  pump       examples/pump.rs: two TUNs, a fixed rewrite, no flow table, no rules; the limit of a blocking design
  privlink   privlink up: an endpoint, a resource gateway, NAT, security groups

All are up at once, and are measured in turn, round by round: a ratio is the median of the rounds' own ratios, so that a
machine that drifts changes it little. The table shows medians, ratios, and which goals are met.

Options:
  --quick           about a minute: fewer tests, MTU 1500, 3 rounds of 1 s
  --rounds N        rounds (default 9)
  --seconds N       seconds of each run (default 1)
  --only TEST,...   only these tests
  --mtu BYTES,...   MTU of all links (default 1500,9001)
  --congestion-control NAME
                    TCP's congestion control (default cubic, as Linux has it); -bbr tests have BBR, which paces
  --no-install      install nothing: fail if something is missing

Tests:
$(printf '%s\n' "${tests[@]}" | paste -sd ' ' | fold -s -w 110 | sed 's/^/  /')

The -bbr ones are left out where the kernel has no BBR, and where all have it anyway.

Results, in target/bench/:
  results.json      a list of {test, unit, subject, median, rounds}
  comparison.svg    the picture
  machine.json      the machine, the commit, the command
  samples.tsv       every round's value: the other files are made of it by
                    cargo run --release --example bench_report -- target/bench
                    which with --publish also puts the figures into README.md and the picture into docs/

Exit codes: 1 privlink is below a floor, or something failed; 2 wrong usage; 3 below a floor, but the machine was too
noisy to believe it.

Environment:
  PRIVLINK, PUMP    programs to use instead of those of this repository; without them they are built
                    (cargo build --release), as the user who called sudo

Examples:
  sudo ./scripts/bench.sh --quick
  sudo ./scripts/bench.sh
  sudo ./scripts/bench.sh --only tcp-1-flow,ping-pong --mtu 1500 --rounds 15
END
}

command_line="sudo ./scripts/bench.sh${*:+ $*}"
quick=false install=true rounds='' seconds='' mtus=() only=()
# want PATTERN OPTION VALUE [WHAT]
want() { [[ ${3:-} =~ ^$1$ ]] || usage_error "$2 wants ${4:-a number from 1 up} (see --help)"; }
while (($#)); do
  case $1 in
  -h | --help) help; exit 0 ;;
  --quick) quick=true ;;
  --rounds) want '[1-9][0-9]{0,3}' "$1" "${2:-}"; rounds=$2; shift ;;
  --seconds) want '[1-9][0-9]{0,3}' "$1" "${2:-}"; seconds=$2; shift ;;
  --mtu) want '[1-9][0-9]{3,4}(,[1-9][0-9]{3,4})*' "$1" "${2:-}" "numbers of bytes from 1000 up"; IFS=, read -ra mtus <<<"$2"; shift ;;
  --only) want '[a-z0-9,-]+' "$1" "${2:-}" "names of tests"; IFS=, read -ra only <<<"$2"; shift ;;
  --congestion-control) want '[a-z0-9_-]+' "$1" "${2:-}" "a name"; congestion_control=$2; shift ;;
  --no-install) install=false ;;
  *) usage_error "unknown argument '$1' (see --help)" ;;
  esac
  shift
done
for test in "${only[@]}"; do
  [[ " ${tests[*]} " == *" $test "* ]] || usage_error "unknown test '$test'; there are: ${tests[*]}"
done
for mtu in "${mtus[@]}"; do ((mtu <= 65535)) || usage_error "no link has an MTU of $mtu bytes"; done
if $quick; then
  tests=("${quick_tests[@]}") variants=()
  : "${rounds:=3}" "${seconds:=1}" "${mtus:=1500}"
fi
((${#only[@]} == 0)) || tests=("${only[@]}")
((${#mtus[@]})) || mtus=(1500 9001)
: "${rounds:=9}" "${seconds:=1}"
need_root
cd "$repo"
export PATH=$PATH:/usr/sbin:/sbin LC_ALL=C

work=$(mktemp -d /tmp/privlink-bench.XXXXXX)
cleanup() {
  local code=$?
  trap - EXIT
  # A second Ctrl-C must not end this half-way.
  trap '' INT TERM HUP
  set +e
  progress
  remove_everything
  rm -rf "$work"
  exit "$code"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# One line that is written over, on a terminal only.
progress() {
  [[ ! -t 2 ]] || printf '\r\e[K%s' "$*" >&2
}

# ---- set-up ----------------------------------------------------------------------------------------------------------

if $install; then
  install_packages ip:iproute2 iperf3:iperf3 jq:jq nft:nftables haproxy:haproxy nginx:nginx-light wrk:wrk \
    sysctl:procps cc:gcc /usr/include/errno.h:libc6-dev
else
  for program in ip iperf3 jq nft haproxy nginx wrk sysctl; do
    command -v "$program" >/dev/null || die "$program is missing, and --no-install was given"
  done
fi
[[ $(haproxy -vv) == *' +NS '* ]] || die "this haproxy was built without support for namespaces (haproxy -vv: -NS)"
[[ -c /dev/net/tun ]] || modprobe tun 2>/dev/null || true
[[ -c /dev/net/tun ]] || die "/dev/net/tun is missing: this kernel (or container) has no TUN devices"
leftovers=$(ip netns list | awk '$1 ~ /^bench-/ { print $1 }' | paste -sd ' ')
[[ -z $leftovers ]] || die "namespaces of another run of this script, or left over from one: $leftovers
  If it is over, remove what it left:
    sudo pkill -f /tmp/privlink-bench; for n in \$(ip netns list | grep -o '^bench-[^ ]*'); do sudo ip netns pids \$n | xargs -r sudo kill; sudo ip netns delete \$n; done"

need_cargo
step "building privlink, the pump, the ping-pong and the report (cargo build --release, as $builder)"
as_builder cargo build --release --locked --bin privlink --example pump --example ping_pong --example bench_report || die "the build failed"
privlink=${PRIVLINK:-$repo/target/release/privlink} pump=${PUMP:-$repo/target/release/examples/pump}
ping_pong_program=$repo/target/release/examples/ping_pong

git_here() { as_builder git -C "$repo" "$@" 2>/dev/null; }
modprobe -q tcp_bbr 2>/dev/null || true
if ((${#only[@]} == 0)) && [[ $congestion_control == bbr || " $(sysctl -n net.ipv4.tcp_available_congestion_control) " != *' bbr '* ]]; then
  mapfile -t tests < <(printf '%s\n' "${tests[@]}" | grep -v -- -bbr)
fi
jq -n --arg commit "$(git_here rev-parse --short HEAD || echo unknown)$([[ -z $(git_here status --porcelain -uno) ]] || echo -modified)" \
  --arg date "$(date -u +%Y-%m-%d)" --arg command "$command_line" --arg kernel "$(uname -r)" \
  --arg congestion_control "$congestion_control" \
  --arg processor "$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -n1)" --argjson cores "$(nproc)" \
  --argjson rounds "$rounds" --argjson seconds "$seconds" --arg haproxy "$(haproxy -v | sed -n 's/.*version \([^ ]*\).*/\1/p')" \
  --arg iperf3 "$(iperf3 --version | sed -n 's/^iperf \([^ ]*\).*/\1/p')" '$ARGS.named' >"$work/machine.json"

# ---- rounds ----------------------------------------------------------------------------------------------------------

# sample RESULT SUBJECT VALUE
sample() { printf '%s\t%s\t%s\t%s\n' "$mtu" "$1" "$2" "$3" >>"$work/samples.tsv"; }

runs_done=0 runs_in_all=0
for test in "${tests[@]}"; do
  mapfile -t who < <(subjects_of "$test")
  runs_in_all=$((runs_in_all + ${#who[@]} * rounds * ${#mtus[@]}))
done

time_left() {
  local left='?'
  ((runs_done == 0)) || left=$(((SECONDS - began) * (runs_in_all - runs_done) / runs_done))
  [[ $left == '?' ]] || left=$(printf '%d:%02d' $((left / 60)) $((left % 60)))
  echo "$left left"
}

# Every round begins with another subject.
rounds_of() {
  local test=$1 round i subject who
  mapfile -t who < <(subjects_of "$test")
  [[ -t 2 ]] || echo "MTU $mtu, $test: $rounds rounds of ${#who[@]} subjects ($(time_left))"
  for ((round = 0; round < rounds; round++)); do
    for ((i = 0; i < ${#who[@]}; i++)); do
      subject=${who[(i + round) % ${#who[@]}]}
      progress "[$((100 * runs_done / runs_in_all)) %, $(time_left)] MTU $mtu, $test, round $((round + 1)) of $rounds: $subject"
      all_alive
      run_test "$test" "$subject"
      runs_done=$((runs_done + 1))
    done
  done
}

read -r load _ </proc/loadavg
awk -v load="$load" 'BEGIN { exit !(load > 1) }' &&
  note "the machine is busy (load $load): figures will be low, and the ratios uncertain"
: >"$work/notes"
began=$SECONDS
step "$rounds rounds of $seconds s at MTU ${mtus[*]}: ${tests[*]}"
for mtu in "${mtus[@]}"; do
  mapfile -t who < <(for test in "${tests[@]}"; do [[ $test == start ]] || subjects_of "$test"; done | sort -u)
  start_subjects "$mtu" "${who[@]}"
  for test in "${tests[@]}"; do rounds_of "$test"; done
  remove_everything
done
progress

# ---- results ---------------------------------------------------------------------------------------------------------

as_builder mkdir -p target/bench
for file in samples.tsv machine.json; do as_builder tee "target/bench/$file" <"$work/$file" >/dev/null; done
while read -r line; do note "$line"; done <"$work/notes"
code=0
as_builder env ${NO_COLOR:+"NO_COLOR=$NO_COLOR"} target/release/examples/bench_report target/bench || code=$?
echo "written: target/bench/results.json, comparison.svg, machine.json, samples.tsv ($((SECONDS - began)) s)"
exit "$code"
