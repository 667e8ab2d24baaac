# shellcheck shell=bash
# How scripts/bench.sh measures: a function for each test. Sourced, never run.
#
# Each is given a subject, and calls `sample RESULT SUBJECT VALUE` for what it found. What a result is worth, in which
# unit and with which goal, stands in examples/bench_report/catalogue.rs.

tests=(
  tcp-1-flow tcp-1-flow-reverse tcp-4-flows tcp-4-flows-reverse tcp-1-flow-bbr tcp-4-flows-bbr tcp-at-2-gbit tcp-1-flow-busy
  http-keep-alive http-close ping-pong ping-pong-busy udp-64-bytes start
)
quick_tests=(tcp-1-flow tcp-4-flows http-close ping-pong start)
subjects=(kernel haproxy pump privlink) variants=(privlink-64 privlink-offload-off)

# subjects_of TEST: a line each.
subjects_of() {
  case $1 in
  tcp-1-flow) printf '%s\n' "${subjects[@]}" "${variants[@]}" ;;
  udp-64-bytes) printf '%s\n' kernel pump privlink ;; # haproxy has no UDP
  *-bbr) printf '%s\n' kernel pump privlink ;;        # haproxy's own connections cannot be told
  start) echo privlink ;;
  *) printf '%s\n' "${subjects[@]}" ;;
  esac
}

run_test() {
  case $1 in
  tcp-1-flow) tcp_1_flow "$2" ;;
  tcp-1-flow-reverse | tcp-4-flows | tcp-4-flows-reverse | *-bbr) tcp_flows "$1" "$2" ;;
  tcp-at-2-gbit) tcp_at_2_gbit "$2" ;;
  tcp-1-flow-busy) beside_busy_process tcp_flows "$1" "$2" ;;
  http-*) http "$1" "$2" ;;
  ping-pong) ping_pong "$1" "$2" ;;
  ping-pong-busy) beside_busy_process ping_pong "$1" "$2" ;;
  udp-64-bytes) udp_64_bytes "$2" ;;
  start) start ;;
  esac
}

# consumer SUBJECT FILE COMMAND...: runs it on the consumer's side, with its output in $work/FILE; for no longer than a run
# can take, because what waits for a dead subject waits long.
consumer() {
  local subject=$1 file=$work/$2 problem
  shift 2
  timeout --foreground $((seconds + 20)) ip netns exec "bench-$subject-a" "$@" >"$file" 2>&1 </dev/null && return
  problem="exit code $?"
  all_alive
  die "$1 through $subject failed: $problem"$'\n'"$(tail -n 20 "$file")"
}

# ---- iperf3 ----------------------------------------------------------------------------------------------------------

# iperf SUBJECT OPTION...
iperf() { consumer "$1" iperf3.json iperf3 -J -c "$endpoint" -p "$iperf_port" -t "$seconds" --connect-timeout 3000 "${@:2}"; }

of_iperf() { jq -e "$1" "$work/iperf3.json" || die "iperf3's output was not understood: $(<"$work/iperf3.json")"; }

# As the receiver counts them.
gbits() { of_iperf '.end.sum_received.bits_per_second / 1e9'; }

tcp_flows() {
  # Always told: iperf3's server goes on with the last one that it was told.
  local options=(-C "$congestion_control")
  [[ $1 != *-bbr ]] || options=(-C bbr)
  [[ $1 != *4-flows* ]] || options+=(-P 4)
  [[ $1 != *reverse* ]] || options+=(-R)
  iperf "$2" "${options[@]}"
  sample "$1" "$2" "$(gbits)"
}

tcp_1_flow() {
  cpu_of iperf "$1"
  case $1 in
  privlink-64) sample tcp-1-flow-64-instances privlink "$(gbits)" ;;
  privlink-offload-off) sample tcp-1-flow-offload-off privlink "$(gbits)" ;;
  *)
    sample tcp-1-flow "$1" "$(gbits)"
    sample cpu-at-full-rate "$1" "$(cpu_per_gigabyte)"
    ;;
  esac
}

# At full rate both cores are busy whoever forwards; at a rate that all can carry, what is saved shows.
tcp_at_2_gbit() {
  cpu_of iperf "$1" -b 2G
  sample cpu-at-2-gbit "$1" "$(cpu_per_gigabyte)"
}

# What was sent and not lost.
udp_64_bytes() {
  iperf "$1" -u -l 64 -b 0
  sample udp-64-bytes "$1" "$(of_iperf '.end.sum | (.packets - .lost_packets) / .seconds')"
}

# ---- CPU time --------------------------------------------------------------------------------------------------------

# cpu_of COMMAND...: leaves in cpu_seconds how long the machine's cores, all together, were not idle meanwhile. iperf3's own
# part is in it, for all subjects alike. (Idle time is exact; user and system time are sampled by the tick.)
cpu_of() {
  local before after
  before=$(clock_and_idle)
  "$@"
  after=$(clock_and_idle)
  cpu_seconds=$(awk -v cores="$(grep -c '^cpu[0-9]' /proc/stat)" -v hertz="$(getconf CLK_TCK)" \
    '{ print ($3 - $1) * cores - ($4 - $2) / hertz }' <<<"$before $after")
}

# Seconds, and the ticks in which cores were idle, waited for a disk, or were taken by the hypervisor.
clock_and_idle() {
  local idle iowait steal
  read -r _ _ _ _ idle iowait _ _ steal _ </proc/stat
  echo "$EPOCHREALTIME $((idle + iowait + steal))"
}

cpu_per_gigabyte() { awk -v cpu="$cpu_seconds" -v bytes="$(of_iperf .end.sum_received.bytes)" 'BEGIN { print cpu / bytes * 1e9 }'; }

# A process that wants a whole core, for no longer than the run can take.
beside_busy_process() {
  spawn busy '' timeout $((seconds + 30)) bash -c 'while :; do :; done'
  "$@"
  stop busy
}

# ---- HTTP, round trips, start ----------------------------------------------------------------------------------------

http() {
  local options=()
  [[ $1 != http-close ]] || options+=(-H 'Connection: close')
  consumer "$2" wrk.out wrk -t 2 -c 32 -d "$seconds" "${options[@]}" "http://$endpoint:$http_port/"
  grep -E 'Socket errors|Non-2xx' "$work/wrk.out" | sed "s/^/$1 through $2, MTU $mtu: wrk says:/" >>"$work/notes" || true
  sample "$1" "$2" "$(awk '/^Requests\/sec:/ { print $2 }' "$work/wrk.out")"
}

# Full round trips of a byte over one connection.
ping_pong() {
  local percentile
  consumer "$2" ping-pong.out "$ping_pong_program" "$endpoint:$ping_pong_port" "$seconds"
  for percentile in p50 p99; do
    sample "$1-$percentile" "$2" "$(sed -n "s/^$percentile //p" "$work/ping-pong.out")"
  done
}

# From the call of privlink to the first connection through the endpoint of the demo's topology, in namespaces that stand.
start() {
  local began ended='' deadline=$((SECONDS + 10)) to=172.18.0.247
  [[ -n ${pid_of[start-nginx]:-} ]] || {
    make_namespace bench-start-a
    make_namespace bench-start-b
    serve_http start bench-start-b
    sed 's/Namespace: ec2-/Namespace: bench-start-/' "$repo/examples/resource-endpoint.yaml" >"$work/start.yaml"
  }
  # shellcheck disable=SC2016  # $0 and $1 are the inner shell's.
  spawn first-connection bench-start-a timeout 10 bash -c '
    until : </dev/tcp/$0/$1; do sleep 0.002; done 2>/dev/null
    echo "connected at $EPOCHREALTIME"' "$to" "$http_port"
  sleep 0.1
  began=$EPOCHREALTIME
  spawn start '' "$privlink" --state-dir "$work/start" up "$work/start.yaml" --mtu "$mtu"
  until [[ -n $ended ]]; do
    ((SECONDS < deadline)) || die "no connection to $to ten seconds after privlink's start: $(<"$work/start.log")"
    sleep 0.02
    ended=$(sed -n 's/^connected at //p' "$work/first-connection.log")
  done
  stop first-connection start
  sample start privlink "$(awk -v began="$began" -v ended="$ended" 'BEGIN { print (ended - began) * 1000 }')"
}
