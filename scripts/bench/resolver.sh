#!/usr/bin/env bash
# What 10,000 DNS queries a second do to an iperf3 at 1 Gbit/s through an endpoint, and whether all of them are answered: the transfer
# alone, beside 16 instances that ask their VPC's resolver, and beside the same queries to a dnsmasq in a namespace that privlink
# does not know (what asking takes from the machine), in turn. Last, one instance that asks too much.
#
#   cargo build --release && sudo ./scripts/bench/resolver.sh [ROUNDS]
#   PRIVLINK=PATH: another binary
#
# Exit code 1 if an answer of the resolver is missing, or if the transfer beside it has in its median less than in the worst round
# beside dnsmasq.
set -Eeuo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../lib.sh"
# shellcheck source-path=SCRIPTDIR
source "$repo/scripts/bench/subjects.sh"

rounds=${1:-7}
[[ $rounds =~ ^([2-9]|[1-9][0-9])$ ]] || usage_error "'$rounds' is no number of rounds from 2 to 99"
need_root "$@"
export PATH=$PATH:/usr/sbin:/sbin LC_ALL=C
cd "$repo"
privlink=${PRIVLINK:-$repo/target/release/privlink}
askers=16 each=625 excess=2000 limit=1024
seconds=5 resolver=172.18.0.2 control=bench-dnsmasq

work=$(mktemp -d /tmp/privlink-bench.XXXXXX)
clean_up() {
  trap '' INT TERM HUP
  set +e
  remove_everything
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

name_of() { echo "ip-172-18-0-$((120 + $1)).ec2.internal"; }

start() {
  local i records=()
  make_namespace bench-resolver-a
  make_namespace bench-resolver-b
  make_namespace "$control"
  privlink_up resolver "$askers" --upstream none
  spawn iperf3 bench-resolver-b iperf3 -s -p "$iperf_port"
  for ((i = 1; i <= askers; i++)); do
    records+=(--host-record="$(name_of "$i"),172.18.0.$((120 + i))")
    echo "$(name_of "$i") A" >>"$work/questions"
  done
  spawn dnsmasq "$control" dnsmasq --keep-in-foreground --conf-file=/dev/null --pid-file --user=root --no-resolv --no-hosts \
    --listen-address=127.0.0.1 --bind-interfaces "${records[@]}"
  wait_until "the way to iperf3" answers resolver "$iperf_port"
  wait_until "the resolver" knows bench-resolver-other-1-1 "$resolver"
  wait_until "dnsmasq" knows "$control" 127.0.0.1
}

# knows NAMESPACE SERVER: does it answer all questions there?
knows() { ip netns exec "$1" timeout 2 dnsperf -s "$2" -d "$work/questions" -n 1 -t 1 2>&1 | grep -q "Response codes: *NOERROR $askers "; }

# ask NAME NAMESPACE SERVER PER_SECOND SECONDS: in the background. What is not answered within a second is lost.
ask() { spawn "$1" "$2" dnsperf -s "$3" -d "$work/questions" -Q "$4" -l "$5" -q 10000 -t 1; }

# The loads: each for a second longer than the transfer, which begins half a second after them.
alone() { :; }
queries() {
  local i
  for ((i = 1; i <= askers; i++)); do ask "asker-$i" "bench-resolver-other-1-$i" "$resolver" "$each" $((seconds + 1)); done
}
dnsmasq() {
  local i
  for ((i = 1; i <= askers; i++)); do ask "asker-$i" "$control" 127.0.0.1 "$each" $((seconds + 1)); done
}

# Waits for the ends of those who ask, and says how much they asked, and how many answers without an error they got.
asked_and_answered() {
  local i
  for ((i = 1; i <= askers; i++)); do
    [[ -n ${pid_of[asker-$i]:-} ]] || continue
    wait "${pid_of[asker-$i]}" || die "dnsperf failed: $(cat "$work/asker-$i.log")"
    unset "pid_of[asker-$i]"
    cat "$work/asker-$i.log"
  done >"$work/asked"
  awk '/Queries sent:/ { sent += $3 } /Response codes:/ && $3 == "NOERROR" { answered += $4 } END { print sent + 0, answered + 0 }' "$work/asked"
}

# drops [REASON]: how many packets privlink has dropped.
drops() {
  "$privlink" --state-dir "$work/resolver" show drops --output json |
    jq --arg reason "${1:-}" '[.[] | select($reason == "" or .Reason == $reason) | .Packets] | add // 0'
}

# The CPUs' time so far: busy, and all of it. Rough: who never works while the clock ticks is not seen.
cpu_time() { awk '/^cpu / { for (i = 2; i <= 9; i++) all += $i; print all - $5 - $6, all }' /proc/stat; }

# A line: subject, Mbit/s as the receiver counts them, retransmissions, packets that privlink dropped, share of the CPUs that
# was busy, queries sent and answered.
run() {
  local before busy all busy_then all_then asked
  before=$(drops)
  "$1"
  sleep 0.5
  read -r busy all < <(cpu_time)
  ip netns exec bench-resolver-a timeout $((seconds + 10)) iperf3 -J -c "$endpoint" -p "$iperf_port" -b 1G -t "$seconds" \
    >"$work/iperf3.json" || die "iperf3 failed: $(cat "$work/iperf3.json")"
  read -r busy_then all_then < <(cpu_time)
  asked_and_answered >"$work/counts"
  all_alive
  read -ra asked <"$work/counts"
  jq -r --arg subject "$1" --argjson drops $(($(drops) - before)) --argjson busy $((100 * (busy_then - busy) / (all_then - all))) '
    [$subject, .end.sum_received.bits_per_second / 1e6, .end.sum_sent.retransmits, $drops, $busy, $ARGS.positional[]] | @tsv
  ' --args "${asked[@]}" <"$work/iperf3.json" | tee -a "$work/samples"
}

# One instance that asks too much: is what it gets the limit, and is the rest counted?
run_excess() {
  local before sent answered limited
  before=$(drops ResolverLimit)
  ask asker-1 bench-resolver-other-1-1 "$resolver" "$excess" "$seconds"
  asked_and_answered >"$work/counts"
  read -r sent answered <"$work/counts"
  limited=$(($(drops ResolverLimit) - before))
  echo "One instance that asks $((sent / seconds)) a second for $seconds s: $((answered / seconds)) a second answered," \
    "$limited of $sent counted as ResolverLimit."
  ((answered + limited == sent)) || die "$answered answers and $limited of ResolverLimit do not make $sent queries"
  ((answered > seconds * limit * 9 / 10 && answered < seconds * limit * 11 / 10)) ||
    die "$((answered / seconds)) answers a second are not about $limit"
}

install_packages ip:iproute2 iperf3:iperf3 jq:jq dnsperf:dnsperf dnsmasq:dnsmasq-base python3:python3
[[ -x $privlink ]] || die "$privlink is missing: cargo build --release"
! ip netns list | grep -qE '^bench-(resolver|dnsmasq)' || die "there are namespaces bench-resolver-*: another run of this script, or left over from one"
start
subjects=(alone queries dnsmasq)
for ((round = 0; round < rounds; round++)); do
  for ((i = 0; i < ${#subjects[@]}; i++)); do run "${subjects[(i + round) % ${#subjects[@]}]}"; done
done

code=0
python3 - "$work/samples" $((askers * each * (seconds + 1))) "$seconds" <<'PY' || code=1
import statistics, sys

# iperf3 sends blocks of 128 KiB: one more or less in a run says nothing.
load, block = float(sys.argv[2]), 131072 * 8 / 1e6 / float(sys.argv[3])
samples, wrong = {}, []
for line in open(sys.argv[1]):
    subject, *values = line.split()
    samples.setdefault(subject, []).append([float(value) for value in values])
rates = {subject: [row[0] for row in rows] for subject, rows in samples.items()}

def ratio(subject, to):
    return statistics.median(a / b for a, b in zip(rates[subject], rates[to]))

print("\nsubject  Mbit/s  quartiles      retransmits  drops  CPUs busy     sent  answered")
for subject, rows in samples.items():
    first, median, third = statistics.quantiles(rates[subject], n=4, method="inclusive")
    _, retransmits, drops, _, sent, answered = map(sum, zip(*rows))
    busy = statistics.median(row[3] for row in rows)
    print(f"{subject:8} {median:6.1f}  {first:.1f}-{third:.1f}  {retransmits:11.0f}  {drops:5.0f}  {busy:7.0f} %  {sent:7.0f}  {answered:8.0f}")
    if subject == "queries" and answered < sent:
        wrong.append(f"{sent - answered:.0f} of {sent:.0f} queries were not answered")
    if subject != "alone" and answered < 0.99 * len(rows) * load:
        wrong.append(f"{subject}: {answered:.0f} answers are not the load, {len(rows) * load:.0f}: is the machine busy?")
print(f"queries/dnsmasq {ratio('queries', 'dnsmasq'):.4f}, queries/alone {ratio('queries', 'alone'):.4f}")
median, least = statistics.median(rates["queries"]), min(rates["dnsmasq"])
if median < least - block:
    wrong.append(f"beside the resolver the transfer has {median:.1f} Mbit/s, beside dnsmasq never less than {least:.1f}")
for line in wrong:
    print("error:", line, file=sys.stderr)
sys.exit(bool(wrong))
PY
run_excess
exit "$code"
