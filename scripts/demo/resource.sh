# shellcheck shell=bash
# The demo's scenario `resource`: an endpoint, a resource gateway, one instance behind them. Sourced by scripts/demo.sh.

template=examples/resource-endpoint.yaml
consumer=ec2-a provider=ec2-b
endpoints=(172.18.1.70 172.18.0.247)
denied_port=8080
namespaces_up=false

clean_up() {
  if $namespaces_up; then "$repo/scripts/namespaces.sh" down >/dev/null; fi
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

scenario() {
  step "two namespaces for two EC2 instances, nginx in $provider"
  # Where they stand already, somebody works by hand: they stay.
  [[ -e /run/privlink-namespaces ]] || namespaces_up=true
  "$repo/scripts/namespaces.sh" up | sed 's/^/  /'

  privlink_up "$template"

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
}

how_to_use() {
  cat <<END
  sudo ip netns exec $consumer curl ${endpoints[0]}
  sudo $PRIVLINK show flows
END
}

how_to_end() {
  echo "  sudo $repo/scripts/namespaces.sh down"
}
