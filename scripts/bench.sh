#!/usr/bin/env bash
# Measures privlink against the pump (examples/pump.rs) and against itself without offload, in turn.
set -Eeuo pipefail
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"

help() {
  cat <<END
Usage: sudo scripts/bench.sh [--quick] [--rounds N] [--seconds N] [--no-install]

Measures with iperf3 between two namespaces, five rounds of: the pump, privlink, privlink with --offload off, one after
the other. A ratio is the median of the rounds' own ratios, so that a machine that drifts changes it little.

  pump       examples/pump.rs: two TUNs, a fixed rewrite, no flow table, no rules; the limit of the design
  privlink   privlink up: an endpoint, a resource gateway, NAT, security groups

A machine on which the pump's own rounds differ much is called too noisy; a failure on such a one is measured once more.
It fails (exit code 1) if privlink is below 0.9 of the pump, or at MTU 1500 below 3 times its own run without offload.
All medians and rounds go to target/bench/results.json.

Options:
  --quick       one TCP flow from consumer to provider only, at MTU 1500 and 9001 (about two minutes)
                (without it: also 4 flows, and from provider to consumer)
  --rounds N    rounds (default 5)
  --seconds N   seconds of each run (default 2)
  --no-install  install nothing: fail if something is missing

Environment:
  PRIVLINK, PUMP    programs to use; without them both are built (cargo build --release), as the user who called sudo

Examples:
  sudo ./scripts/bench.sh --quick
  sudo ./scripts/bench.sh --rounds 9 --seconds 5
END
}

quick=false install=true rounds=5 seconds=2
number() { [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || usage_error "$1 wants a number from 1 up (see --help)"; }
while (($#)); do
  case $1 in
  -h | --help) help; exit 0 ;;
  --quick) quick=true ;;
  --rounds) number "$@"; rounds=$2; shift ;;
  --seconds) number "$@"; seconds=$2; shift ;;
  --no-install) install=false ;;
  *) usage_error "unknown argument '$1' (see --help)" ;;
  esac
  shift
done
need_root
cd "$repo"
PATH=$PATH:/usr/sbin:/sbin

consumer=bench-a provider=bench-b
endpoint=172.18.0.70 port=5201
floor_of_pump=0.9 floor_of_offload=3 noisy=0.35
subjects=(pump privlink "privlink --offload off")
tests=(tcp-1-flow)
$quick || tests+=(tcp-4-flows tcp-1-flow-reverse)
mtus=(1500 9001)

work=$(mktemp -d /tmp/privlink-bench.XXXXXX)
subject_pid='' server_pid='' made=()

cleanup() {
  local code=$? name
  trap - EXIT
  # A second Ctrl-C must not end this half-way.
  trap '' INT TERM HUP
  set +e
  stop_subject
  [[ -z $server_pid ]] || kill "$server_pid" 2>/dev/null
  for name in "${made[@]}"; do ip netns delete "$name"; done
  rm -rf "$work"
  exit "$code"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# ---- what is measured ------------------------------------------------------------------------------------------------

write_template() {
  cat >"$work/bench.yaml" <<END
AWSTemplateFormatVersion: "2010-09-09"
Resources:
  Vpc1: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 172.18.0.0/16}}
  Vpc2: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 172.18.0.0/16}}
  Subnet1:
    Type: AWS::EC2::Subnet
    Properties: {VpcId: !Ref Vpc1, AvailabilityZone: us-east-1a, CidrBlock: 172.18.0.0/24}
  Subnet2:
    Type: AWS::EC2::Subnet
    Properties: {VpcId: !Ref Vpc2, AvailabilityZone: us-east-1a, CidrBlock: 172.18.0.0/24}
  Group1:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupDescription: iperf3
      VpcId: !Ref Vpc1
      SecurityGroupIngress:
        - {IpProtocol: tcp, FromPort: $port, ToPort: $port, CidrIp: 172.18.0.0/16}
  Group2:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupDescription: iperf3
      VpcId: !Ref Vpc2
      SecurityGroupIngress:
        - {IpProtocol: tcp, FromPort: $port, ToPort: $port, CidrIp: 172.18.0.0/16}
  Client:
    Type: AWS::EC2::Instance
    Metadata: {privlink: {Namespace: $consumer}}
    Properties: {SubnetId: !Ref Subnet1, PrivateIpAddress: 172.18.0.108}
  Server:
    Type: AWS::EC2::Instance
    Metadata: {privlink: {Namespace: $provider}}
    Properties: {SubnetId: !Ref Subnet2, PrivateIpAddress: 172.18.0.108, SecurityGroupIds: [!Ref Group2]}
  Gateway:
    Type: AWS::VpcLattice::ResourceGateway
    Properties:
      Name: bench-gateway
      VpcIdentifier: !Ref Vpc2
      IpAddressType: IPV4
      SubnetIds: [!Ref Subnet2]
      SecurityGroupIds: [!Ref Group2]
  Configuration:
    Type: AWS::VpcLattice::ResourceConfiguration
    Properties:
      Name: bench-configuration
      ResourceConfigurationType: SINGLE
      ResourceGatewayId: !Ref Gateway
      ProtocolType: TCP
      PortRanges: ["$port"]
      ResourceConfigurationDefinition: {IpResource: !GetAtt Server.PrivateIp}
  Endpoint:
    Type: AWS::EC2::VPCEndpoint
    Metadata: {privlink: {Addresses: {Subnet1: $endpoint}}}
    Properties:
      VpcEndpointType: Resource
      VpcId: !Ref Vpc1
      SubnetIds: [!Ref Subnet1]
      SecurityGroupIds: [!Ref Group1]
      ResourceConfigurationArn: !GetAtt Configuration.Arn
END
}

# start_subject SUBJECT MTU; returns when its links are up.
start_subject() {
  local command deadline=$((SECONDS + 10))
  case $1 in
  pump) command=("$pump" "$consumer" "$provider" --mtu "$2") ;;
  privlink*)
    command=("$privlink" --state-dir "$work/state" up "$work/bench.yaml" --mtu "$2")
    [[ $1 != *off ]] || command+=(--offload off)
    ;;
  esac
  "${command[@]}" >"$work/subject.log" 2>&1 &
  subject_pid=$!
  until link_is_like "$consumer" "$2" && link_is_like "$provider" "$2"; do
    kill -0 "$subject_pid" 2>/dev/null || die "$1 ended early: $(<"$work/subject.log")"
    ((SECONDS < deadline)) || die "$1 did not bring its links up with MTU $2 and txqueuelen 10000: $(<"$work/subject.log")"
    sleep 0.05
  done
  until grep -q -i ready "$work/subject.log"; do
    ((SECONDS < deadline)) || die "$1 did not become ready: $(<"$work/subject.log")"
    sleep 0.05
  done
}

# Are all subjects alike in MTU and queue? Otherwise they cannot be compared.
link_is_like() {
  [[ $(ip -n "$1" -j link show eni0 2>/dev/null | jq -r '.[0] | "\(.mtu) \(.txqlen) \(.flags | contains(["UP"]))"') == "$2 10000 true" ]]
}

stop_subject() {
  [[ -n $subject_pid ]] || return 0
  kill "$subject_pid" 2>/dev/null || true
  wait "$subject_pid" 2>/dev/null || true
  subject_pid=''
}

# measure TEST: Gbit/s as the receiver counts them.
measure() {
  local options=()
  case $1 in
  *4-flows*) options+=(-P 4) ;;
  *reverse*) options+=(-R) ;;
  esac
  ip netns exec "$consumer" iperf3 -J -c "$endpoint" -p "$port" -t "$seconds" --connect-timeout 3000 "${options[@]}" >"$work/iperf.json" ||
    die "iperf3 failed: $(jq -r '.error // "no reason given"' "$work/iperf.json")"
  jq -e '.end.sum_received.bits_per_second / 1e9 * 1000 | round / 1000' "$work/iperf.json"
}

progress() {
  [[ -t 2 ]] || return 0
  printf '\r\e[K%s' "$*" >&2
}

# ---- set-up ----------------------------------------------------------------------------------------------------------

if $install; then
  install_packages ip:iproute2 iperf3:iperf3 jq:jq
else
  for command in ip iperf3 jq; do
    command -v "$command" >/dev/null || die "$command is missing: sudo apt-get install iproute2 iperf3 jq"
  done
fi
if [[ -z ${PRIVLINK:-} || -z ${PUMP:-} ]]; then
  need_cargo
  step "building privlink and the pump (cargo build --release, as $builder)"
  as_builder cargo build --release --bin privlink --example pump
fi
privlink=${PRIVLINK:-$repo/target/release/privlink} pump=${PUMP:-$repo/target/release/examples/pump}

for name in "$consumer" "$provider"; do
  [[ ! -e /run/netns/$name ]] ||
    die "the namespace $name exists already: another run of this script, or a leftover (ip netns delete $name)"
  ip netns add "$name"
  made+=("$name")
  ip -n "$name" link set lo up
done
write_template
ip netns exec "$provider" iperf3 -s -p "$port" >/dev/null 2>&1 &
server_pid=$!

# ---- rounds ----------------------------------------------------------------------------------------------------------

# run_rounds FIRST LAST: every test at every MTU with every subject in turn; appends to the samples.
run_rounds() {
  local round test mtu subject value
  for test in "${tests[@]}"; do
    for mtu in "${mtus[@]}"; do
      for ((round = $1; round <= $2; round++)); do
        for subject in "${subjects[@]}"; do
          progress "$test, MTU $mtu, round $round of $2: $subject"
          start_subject "$subject" "$mtu"
          value=$(measure "$test")
          stop_subject
          printf '%s\t%s\t%s\t%s\n' "$test" "$mtu" "$subject" "$value" >>"$work/samples"
        done
      done
    done
  done
  progress
}

# One object per test, MTU and subject: its rounds in order, and what they come to.
evaluate() {
  jq -R -s '
    def median: sort | if length % 2 == 1 then .[length / 2 | floor] else (.[length / 2 - 1] + .[length / 2]) / 2 end;
    def ratio($to): [., $to] | transpose | map(.[0] / .[1]) | median;
    [split("\n")[] | select(. != "") | split("\t")
      | {test: .[0], mtu: (.[1] | tonumber), subject: .[2], value: (.[3] | tonumber)}]
    | group_by([.test, .mtu])
    | map(
        group_by(.subject) | map({test: .[0].test, mtu: .[0].mtu, unit: "Gbit/s", subject: .[0].subject,
                                  median: (map(.value) | median), rounds: map(.value)})
        | . as $subjects
        | ($subjects[] | select(.subject == "pump").rounds) as $pump
        | ($subjects[] | select(.subject == "privlink --offload off").rounds) as $off
        | map(. + {of_pump: (.rounds | ratio($pump)), of_offload_off: (.rounds | ratio($off)),
                   spread: ((.rounds | max - min) / .median)})
      )
    | add | sort_by(.mtu, {"pump": 0, "privlink": 1}[.subject] // 2) | sort_by(.test)' "$work/samples" >"$work/results.json"
}

# What is below its floor, a line each.
below_the_floor() {
  jq -r --argjson pump "$floor_of_pump" --argjson off "$floor_of_offload" '
    .[] | select(.subject == "privlink")
    | (select(.of_pump < $pump) | "\(.test), MTU \(.mtu): \(.of_pump * 100 | round / 100) of the pump, the floor is \($pump)"),
      (select(.mtu == 1500 and .of_offload_off < $off)
        | "\(.test), MTU \(.mtu): \(.of_offload_off * 100 | round / 100) times its own run without offload, the floor is \($off)")' \
    "$work/results.json"
}

# Do the pump's own rounds differ so much that no ratio can be believed?
too_noisy() {
  jq -e --argjson noisy "$noisy" 'any(.[]; .subject == "pump" and .spread > $noisy)' "$work/results.json" >/dev/null
}

read -r load _ </proc/loadavg
awk -v load="$load" 'BEGIN { exit !(load > 1) }' &&
  note "the machine is busy (load $load): figures will be low, and the ratios uncertain"
step "$rounds rounds of $seconds s: ${tests[*]}; MTU ${mtus[*]}; in turn: pump, privlink, privlink --offload off"
run_rounds 1 "$rounds"
evaluate
failed=$(below_the_floor)
if [[ -n $failed ]] && too_noisy; then
  note "below the floor, but the machine is too noisy to believe it: $rounds rounds more"
  run_rounds $((rounds + 1)) $((2 * rounds))
  evaluate
  failed=$(below_the_floor)
fi

# ---- results ---------------------------------------------------------------------------------------------------------

as_builder mkdir -p target/bench
jq 'map({test: "\(.test)-mtu-\(.mtu)", unit, subject, median, rounds})' "$work/results.json" |
  as_builder tee target/bench/results.json >/dev/null

{
  printf 'TEST\tMTU\tSUBJECT\tGbit/s\tOF PUMP\tOF OFFLOAD OFF\tSPREAD\n'
  jq -r '.[] | [.test, .mtu, .subject, .median, .of_pump, .of_offload_off, .spread] | @tsv' "$work/results.json" |
    awk -F'\t' '{ printf "%s\t%d\t%s\t%.2f\t%.2f\t%.2f\t%.0f%%\n", $1, $2, $3, $4, $5, $6, $7 * 100 }'
} | awk -F'\t' '{ printf "%-20s %5s  %-24s %7s %8s %15s %7s\n", $1, $2, $3, $4, $5, $6, $7 }'

! too_noisy ||
  note "too noisy: the pump's own rounds differ by more than $(awk "BEGIN { print $noisy * 100 }") %; repeat on a quiet machine before believing a ratio"
[[ -z $failed ]] || die "below the floor:
$failed"
printf '%sok:%s privlink is at least %s of the pump, and at MTU 1500 at least %s times its own run without offload\n' \
  "$green" "$plain" "$floor_of_pump" "$floor_of_offload"
