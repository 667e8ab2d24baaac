#!/bin/bash
# What 100 changes of other things do to an iperf3 run, at full speed or at a bit rate such as 8G: its rate without them, beside
# as many programs that change nothing (`privlink --version`: what starting them takes from two cores), and with them, in turn.
#
#   cargo build --release && sudo ./scripts/bench/changes.sh [ROUNDS [BITRATE]]
#   PRIVLINK=PATH: another binary
set -euo pipefail
cd "$(dirname "$0")/../.."

rounds=${1:-9} bitrate=${2:-0} seconds=5 changes=100 endpoint=172.18.1.70
privlink=${PRIVLINK:-target/release/privlink}
work=$(mktemp -d) children=()

clean_up() {
  for child in "${children[@]}"; do kill "$child" 2>/dev/null || true; done
  wait || true
  rm -rf "$work"
}
trap clean_up EXIT

# The three templates, in namespaces of our own and one region; the transfer's also with another endpoint, and with another rule.
write_templates() {
  local file
  for file in resource-endpoint saas-provider saas-consumer; do
    sed -E -e 's/^( +Namespace: )([a-z0-9-]+)/\1changes-\2/' -e 's/us-west-2/ap-northeast-1/' \
      "examples/$file.yaml" >"$work/$file.yaml"
  done
  mkdir "$work"/{endpoint,rule,0,1}
  sed 's/^Resources:$/&\
  Another:\
    Type: AWS::EC2::VPCEndpoint\
    Properties:\
      VpcEndpointType: Resource\
      VpcId: !Ref Vpc1\
      SubnetIds: [!Ref Vpc1SubnetA]\
      ResourceConfigurationArn: !GetAtt Configuration.Arn\
/' "$work/resource-endpoint.yaml" >"$work/endpoint/resource-endpoint.yaml"
  sed 's/^Resources:$/&\
  AnotherRule:\
    Type: AWS::EC2::SecurityGroupIngress\
    Properties: {GroupId: !Ref TargetSecurityGroup, IpProtocol: tcp, FromPort: 8080, ToPort: 8080, CidrIp: 172.18.0.0\/16}\
/' "$work/resource-endpoint.yaml" >"$work/rule/resource-endpoint.yaml"
  # A deleted endpoint comes back when its template asks for another one.
  for file in 0 1; do
    sed "s/^      VpcEndpointType: Interface\$/&\\n      Tags: [{Key: Name, Value: \"$file\"}]/" \
      "$work/saas-consumer.yaml" >"$work/$file/saas-consumer.yaml"
  done
}

ask() { "$privlink" "$@" --state-dir "$work/state" >"$work/said" 2>&1 || { cat "$work/said" >&2; return 1; }; }

start() {
  "$privlink" up --state-dir "$work/state" "$work"/*.yaml >"$work/log" 2>&1 &
  children+=($!)
  for _ in {1..100}; do
    ! grep -q Ready "$work/log" || break
    sleep 0.1
  done
  grep -q Ready "$work/log" || { cat "$work/log" >&2; return 1; }
  ip netns exec changes-ec2-b iperf3 -s -p 80 >"$work/server" 2>&1 &
  children+=($!)
}

change() {
  case $(($1 % 5)) in
  0) ask apply "$work/endpoint/resource-endpoint.yaml" ;;
  1) ask endpoints accept saas-consumer:Endpoint ;;
  2) ask apply "$work/rule/resource-endpoint.yaml" ;;
  3) ask endpoints delete saas-consumer:Endpoint ;;
  4) ask apply "$work/resource-endpoint.yaml" "$work/$(($1 % 2))/saas-consumer.yaml" ;;
  esac
}

# over_the_run COMMAND: with the numbers from 0, spread over the time of a run, but for its begin and end.
over_the_run() {
  local began=${EPOCHREALTIME/./} number due now
  for ((number = 0; number < changes; number++)); do
    due=$((began + 300000 + number * (seconds * 1000000 - 600000) / changes)) now=${EPOCHREALTIME/./}
    # No `sleep`: that were a process more.
    ((due <= now)) || read -rt "$(printf '0.%06d' $((due - now)))" <>"$work/never" || true
    "$1" "$number"
  done
}
nothing() { :; }
program() { "$privlink" --version >"$work/said"; }

dropped() { ask show drops --output json; jq '[.[].Packets] | add // 0' "$work/said"; }

# A line: subject, Gbit/s as the receiver counts them, retransmissions, packets that privlink dropped.
run() {
  local before transfer
  before=$(dropped)
  ip netns exec changes-ec2-a iperf3 -J -c "$endpoint" -p 80 -t "$seconds" -b "$bitrate" >"$work/iperf3.json" &
  transfer=$!
  over_the_run "$2"
  wait "$transfer"
  jq -r --arg subject "$1" --argjson drops $(($(dropped) - before)) \
    '[$subject, .end.sum_received.bits_per_second / 1e9, .end.sum_sent.retransmits, $drops] | @tsv' "$work/iperf3.json"
}

mkfifo "$work/never"
write_templates
start
run warm-up nothing >"$work/warm-up"
for ((round = 1; round <= rounds; round++)); do
  run without nothing
  run programs program
  run changes change
done | tee "$work/samples"

python3 - "$work/samples" <<'PY'
import statistics, sys

rates, lost = {}, {}
for line in open(sys.argv[1]):
    subject, rate, *counts = line.split()
    rates.setdefault(subject, []).append(float(rate))
    lost[subject] = [a + int(b) for a, b in zip(lost.get(subject, [0, 0]), counts)]
print("\nsubject    median  quartiles    ratio  retransmits  drops")
base = rates["without"]
low, middle, high = statistics.quantiles(base, n=4, method="inclusive")
for subject, found in rates.items():
    first, median, third = statistics.quantiles(found, n=4, method="inclusive")
    ratio = statistics.median(a / b for a, b in zip(found, base))
    print(f"{subject:9} {median:7.2f}  {first:.2f}-{third:.2f}  {ratio:5.3f}  {lost[subject][0]:11}  {lost[subject][1]:5}")
median = statistics.median(rates["changes"])
word = "within" if low <= median <= high else "above" if median > high else "below"
print(f"With changes: {word} the quartiles of the runs without.")
PY
