# shellcheck shell=bash
# What scripts/bench.sh compares: kernel, haproxy, pump and privlink, each between two namespaces of its own, all alike
# in addresses, MTU and queue length; and the servers behind them. Sourced, never run.
#
#   bench-SUBJECT-a  172.18.0.108  --- 172.18.0.70 is the endpoint --->  bench-SUBJECT-b  172.18.0.108

host=172.18.0.108 endpoint=172.18.0.70 gateway=172.18.0.83
iperf_port=5201 http_port=80 ping_pong_port=7
queue=10000 congestion_control=cubic

declare -A pid_of=()
made_namespaces=()

# spawn NAME NAMESPACE COMMAND...: in the background, with its output in $work/NAME.log; NAMESPACE may be empty.
# A session of its own: Ctrl-C reaches this script, which then ends it in order.
spawn() {
  local name=$1 namespace=$2
  shift 2
  setsid ${namespace:+ip netns exec "$namespace"} "$@" >"$work/$name.log" 2>&1 </dev/null &
  pid_of[$name]=$!
}

# stop NAME...: ends what was spawned, and waits for its end, five seconds at most.
stop() {
  local name deadline=$((SECONDS + 5))
  for name in "$@"; do kill "${pid_of[$name]}" 2>/dev/null || true; done
  for name in "$@"; do
    while kill -0 "${pid_of[$name]}" 2>/dev/null; do
      ((SECONDS < deadline)) || kill -KILL "${pid_of[$name]}" 2>/dev/null || true
      sleep 0.01
    done
    wait "${pid_of[$name]}" 2>/dev/null || true
    unset "pid_of[$name]"
  done
}

# Is everything that was spawned still there? If not, its name and its last words.
all_alive() {
  local name
  for name in "${!pid_of[@]}"; do
    kill -0 "${pid_of[$name]}" 2>/dev/null || die "$name ended early: $(tail -n 20 "$work/$name.log")"
  done
}

# wait_until WHAT COMMAND...: until the command succeeds, ten seconds at most.
wait_until() {
  local what=$1 deadline=$((SECONDS + 10))
  shift
  until "$@"; do
    all_alive
    ((SECONDS < deadline)) || die "$what: not after ten seconds"$'\n'"$(tail -n 5 "$work"/*.log)"
    sleep 0.05
  done
}

# With Linux's own settings a client has 14,000 ports before it must search for one, and keeps each for a minute after a
# connection that it closed first: a second's worth. What is measured is the way, not that search.
make_namespace() {
  allow_congestion_control
  ip netns add "$1"
  made_namespaces+=("$1")
  ip -n "$1" link set lo up
  ip netns exec "$1" sysctl -q -w net.ipv4.ip_local_port_range='12000 65535' net.ipv4.tcp_tw_reuse=1 net.core.somaxconn=8192 \
    net.ipv4.tcp_congestion_control="$congestion_control"
}

# A namespace may have what the machine allows to everybody. What that was is restored at the end.
allow_congestion_control() {
  local allowed
  allowed=$(sysctl -n net.ipv4.tcp_allowed_congestion_control)
  [[ " $allowed " != *" $congestion_control "* ]] || return 0
  machines_allowed=$allowed
  sysctl -q -w net.ipv4.tcp_allowed_congestion_control="$allowed $congestion_control" ||
    die "this kernel has no congestion control '$congestion_control'; it has: $(sysctl -n net.ipv4.tcp_available_congestion_control)"
}

# Ends all that was spawned, then whatever else lives in our namespaces, and removes those.
remove_everything() {
  local name pids
  [[ -z ${machines_allowed:-} ]] || sysctl -q -w net.ipv4.tcp_allowed_congestion_control="$machines_allowed"
  machines_allowed=''
  stop "${!pid_of[@]}"
  for name in "${made_namespaces[@]}"; do
    mapfile -t pids < <(ip netns pids "$name")
    ((${#pids[@]} == 0)) || kill -KILL "${pids[@]}"
    ip netns delete "$name"
  done
  made_namespaces=()
}

# start_subjects MTU SUBJECT...: with their servers; all of them are up at once, and idle while another is measured.
start_subjects() {
  local mtu=$1 subject
  shift
  for subject in "$@"; do
    make_namespace "bench-$subject-a"
    make_namespace "bench-$subject-b"
    "start_$subject" "$mtu"
    serve "$subject"
  done
  for subject in "$@"; do
    wait_until "$subject's links with MTU $mtu and txqueuelen $queue" links_are_alike "$subject" "$mtu"
    wait_until "$subject's way to iperf3" answers "$subject" "$iperf_port"
    wait_until "$subject's way to nginx" answers "$subject" "$http_port"
    wait_until "$subject's way to the ping-pong" answers "$subject" "$ping_pong_port"
  done
}

# haproxy takes connections from lo to lo, which has no queue.
links_are_alike() {
  local link=eni0 side
  [[ $1 != haproxy ]] || link=lo
  for side in a b; do
    ip -n "bench-$1-$side" -j link show "$link" 2>/dev/null |
      jq -e --argjson mtu "$2" --argjson queue "$queue" '
        .[0] | .mtu == $mtu and (.ifname == "lo" or .txqlen == $queue) and (.flags | contains(["UP"]))' >/dev/null || return 1
  done
}

# shellcheck disable=SC2016  # $0 and $1 are the inner shell's.
answers() { timeout 1 ip netns exec "bench-$1-a" bash -c ': </dev/tcp/$0/$1' "$endpoint" "$2" 2>/dev/null; }

# ---- the subjects ----------------------------------------------------------------------------------------------------

# A third namespace between two veth pairs. Both sides have the same addresses: what came from one goes to the other.
start_kernel() {
  local router=bench-kernel-router side
  make_namespace "$router"
  for side in a b; do
    ip -n "$router" link add name "to-$side" mtu "$1" txqueuelen "$queue" type veth \
      peer name eni0 mtu "$1" txqueuelen "$queue" netns "bench-kernel-$side"
    ip -n "bench-kernel-$side" address add "$host/16" dev eni0
    ip -n "bench-kernel-$side" link set eni0 up
    ip -n "$router" link set "to-$side" up
  done
  ip -n "$router" address add "$endpoint/32" dev to-a
  ip -n "$router" address add "$gateway/32" dev to-b
  ip netns exec "$router" sysctl -q -w net.ipv4.ip_forward=1 \
    net.ipv4.conf.{all,default,to-a,to-b}.rp_filter=0 net.ipv4.conf.all.send_redirects=0
  ip -n "$router" route add 172.18.0.0/16 dev to-a table 1
  ip -n "$router" route add 172.18.0.0/16 dev to-b table 2
  ip -n "$router" rule add iif to-b lookup 1
  ip -n "$router" rule add iif to-a lookup 2
  ip netns exec "$router" nft -f - <<END
table ip privatelink {
  chain prerouting {
    type nat hook prerouting priority dstnat
    iifname to-a ip daddr $endpoint dnat to $host
  }
  chain postrouting {
    type nat hook postrouting priority srcnat
    oifname to-b snat to $gateway
  }
}
END
}

# Every option that is not named here is haproxy's default: as many threads as cores.
start_haproxy() {
  local side port
  for side in a b; do
    ip -n "bench-haproxy-$side" link set lo mtu "$1"
    ip -n "bench-haproxy-$side" address add "$host/32" dev lo
  done
  ip -n bench-haproxy-a address add "$endpoint/32" dev lo
  {
    cat <<END
global
  maxconn 4000
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
END
    for port in "$iperf_port" "$http_port" "$ping_pong_port"; do
      cat <<END
listen port-$port
  bind $endpoint:$port namespace bench-haproxy-a
  server provider $host:$port namespace bench-haproxy-b
END
    done
  } >"$work/haproxy.cfg"
  spawn haproxy '' haproxy -db -f "$work/haproxy.cfg"
}

start_pump() { spawn pump '' "$pump" bench-pump-a bench-pump-b --mtu "$1"; }

start_privlink() { privlink_up privlink 0 --mtu "$1"; }
# The same among 62 other instances, which are idle.
start_privlink-64() { privlink_up privlink-64 31 --mtu "$1"; }
# The same with every packet by itself.
start_privlink-offload-off() { privlink_up privlink-offload-off 0 --mtu "$1" --offload off; }

# privlink_up NAME OTHERS OPTION...: with OTHERS more instances in each VPC.
privlink_up() {
  local name=$1 others=$2
  shift 2
  write_template "bench-$name" "$others" >"$work/$name.yaml"
  spawn "$name" '' "$privlink" --state-dir "$work/$name" up "$work/$name.yaml" "$@"
}

write_template() {
  local vpc i
  cat <<END
AWSTemplateFormatVersion: "2010-09-09"
Resources:
END
  for vpc in 1 2; do
    cat <<END
  Vpc$vpc: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 172.18.0.0/16, EnableDnsHostnames: true}}
  Subnet$vpc:
    Type: AWS::EC2::Subnet
    Properties: {VpcId: !Ref Vpc$vpc, AvailabilityZone: us-east-1a, CidrBlock: 172.18.0.0/24}
  Group$vpc:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupDescription: the servers of the benchmark
      VpcId: !Ref Vpc$vpc
      SecurityGroupIngress:
        - {IpProtocol: tcp, FromPort: $http_port, ToPort: $http_port, CidrIp: 172.18.0.0/16}
        - {IpProtocol: tcp, FromPort: $iperf_port, ToPort: $iperf_port, CidrIp: 172.18.0.0/16}
        - {IpProtocol: udp, FromPort: $iperf_port, ToPort: $iperf_port, CidrIp: 172.18.0.0/16}
        - {IpProtocol: tcp, FromPort: $ping_pong_port, ToPort: $ping_pong_port, CidrIp: 172.18.0.0/16}
END
    for ((i = 1; i <= $2; i++)); do
      cat <<END
  Other${vpc}x$i:
    Type: AWS::EC2::Instance
    Metadata: {privlink: {Namespace: $1-other-$vpc-$i}}
    Properties: {SubnetId: !Ref Subnet$vpc, PrivateIpAddress: 172.18.0.$((120 + i))}
END
    done
  done
  cat <<END
  Client:
    Type: AWS::EC2::Instance
    Metadata: {privlink: {Namespace: $1-a}}
    Properties: {SubnetId: !Ref Subnet1, PrivateIpAddress: $host}
  Server:
    Type: AWS::EC2::Instance
    Metadata: {privlink: {Namespace: $1-b}}
    Properties: {SubnetId: !Ref Subnet2, PrivateIpAddress: $host, SecurityGroupIds: [!Ref Group2]}
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
    Metadata: {privlink: {Protocols: [TCP, UDP]}}
    Properties:
      Name: bench-configuration
      ResourceConfigurationType: SINGLE
      ResourceGatewayId: !Ref Gateway
      ProtocolType: TCP
      PortRanges: ["$http_port", "$iperf_port", "$ping_pong_port"]
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

# ---- the servers behind them -----------------------------------------------------------------------------------------

serve() {
  local namespace=bench-$1-b
  spawn "$1-iperf3" "$namespace" iperf3 -s -p "$iperf_port"
  spawn "$1-ping-pong" "$namespace" "$ping_pong_program" serve "$ping_pong_port"
  serve_http "$1" "$namespace"
}

# serve_http NAME NAMESPACE: nginx with a small page.
serve_http() {
  local dir=$work/$1-nginx early=()
  mkdir -p "$dir"
  cat >"$dir/nginx.conf" <<END
daemon off;
pid $dir/nginx.pid;
error_log $dir/error.log warn;
worker_processes auto;
events { worker_connections 8192; }
http {
  access_log off;
  client_body_temp_path $dir/body;
  proxy_temp_path $dir/proxy;
  fastcgi_temp_path $dir/fastcgi;
  uwsgi_temp_path $dir/uwsgi;
  scgi_temp_path $dir/scgi;
  keepalive_requests 1000000000;
  server {
    listen $http_port backlog=8192;
    location / { return 200 "A page of a hundred bytes or so, out of memory: what is measured is the way to it, not a disk.\n"; }
  }
}
END
  # Before it reads its configuration, nginx opens the error log that it was compiled with; from 1.19.5 it can be told.
  nginx -h 2>&1 | grep -q -- ' -e filename' && early=(-e "$dir/error.log")
  spawn "$1-nginx" "$2" nginx "${early[@]}" -p "$dir" -c "$dir/nginx.conf"
}
