#!/usr/bin/env bash
# The two machines of examples/resource-endpoint.yaml as network namespaces, with nginx in the second one.
set -Eeuo pipefail
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"

consumer=ec2-a provider=ec2-b
run=/run/privlink-namespaces # what `up` made, so that `down` removes that and nothing else

help() {
  cat <<END
Usage: scripts/namespaces.sh up|down|status

  up      creates the network namespaces $consumer and $provider where they are missing, and starts an nginx of
          its own in $provider: it answers as soon as \`privlink up\` has given the namespace an interface
  down    stops that nginx and removes the namespaces that \`up\` created; others stay
  status  says what is there

The whole by-hand path:

  sudo ./scripts/namespaces.sh up
  sudo ./target/release/privlink up --detach examples/resource-endpoint.yaml
  sudo ip netns exec $consumer curl 172.18.1.70
  sudo ./target/release/privlink down
  sudo ./scripts/namespaces.sh down
END
}

exists() { [[ -e /run/netns/$1 ]]; }

# The pid of our nginx if it runs: a process that was started with our configuration, not merely one with that number.
nginx_pid() {
  local pid
  pid=$(cat "$run/nginx.pid" 2>/dev/null) || return 1
  [[ -n $pid ]] && tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF "$run/nginx.conf" || return 1
  echo "$pid"
}

up() {
  need_root up
  for program in ip nginx; do
    PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null ||
      die "$program is missing: sudo apt-get install iproute2 nginx-light"
  done
  PATH=$PATH:/usr/sbin:/sbin
  install -d -m 755 "$run"
  local name
  for name in "$consumer" "$provider"; do
    if exists "$name"; then
      echo "namespace $name is there already"
      continue
    fi
    ip netns add "$name"
    echo "$name" >>"$run/created"
    ip -n "$name" link set lo up
    echo "namespace $name created"
  done
  start_nginx
}

start_nginx() {
  if nginx_pid >/dev/null; then
    echo "nginx runs in $provider already (pid $(nginx_pid))"
    return
  fi
  install -d -m 755 "$run/nginx"
  cat >"$run/nginx.conf" <<END
# Made by scripts/namespaces.sh: an nginx of its own, beside the system's.
worker_processes 1;
pid $run/nginx.pid;
error_log $run/nginx/error.log warn;
events { worker_connections 1024; }
http {
  access_log off;
  default_type text/plain;
  client_body_temp_path $run/nginx/body;
  proxy_temp_path $run/nginx/proxy;
  fastcgi_temp_path $run/nginx/fastcgi;
  uwsgi_temp_path $run/nginx/uwsgi;
  scgi_temp_path $run/nginx/scgi;
  server {
    # Every address: eni0 comes only with \`privlink up\`.
    listen 0.0.0.0:80;
    location / {
      return 200 "Hello from nginx in $provider (EC2_B).\nI am \$server_addr:\$server_port and see you as \$remote_addr:\$remote_port.\n";
    }
  }
}
END
  local early=() problem
  # Before it reads its configuration, nginx opens the error log that it was compiled with; from 1.19.5 it can be told.
  nginx -h 2>&1 | grep -q -- ' -e filename' && early=(-e "$run/nginx/error.log")
  problem=$(ip netns exec "$provider" nginx "${early[@]}" -p "$run/nginx" -c "$run/nginx.conf" 2>&1 </dev/null) ||
    die "nginx did not start in $provider: ${problem:-$(tail -n3 "$run/nginx/error.log")}"
  echo "nginx started in $provider (pid $(nginx_pid))"
}

down() {
  need_root down
  PATH=$PATH:/usr/sbin:/sbin
  [[ -d $run ]] || {
    echo "nothing to remove"
    return
  }
  local name pid tries created=()
  [[ -e $run/created ]] && mapfile -t created <"$run/created"
  for name in "${created[@]}"; do
    if exists "$name" && ip -n "$name" link show eni0 >/dev/null 2>&1; then
      die "privlink still runs in $name: end it first, with \`privlink down\`"
    fi
  done
  if pid=$(nginx_pid); then
    kill -TERM "$pid"
    for ((tries = 50; tries > 0; tries--)); do
      [[ -d /proc/$pid ]] || break
      sleep 0.1
    done
    [[ -d /proc/$pid ]] && die "nginx (pid $pid) does not end"
    echo "nginx ended"
  fi
  for name in "${created[@]}"; do
    exists "$name" || continue
    ip netns del "$name"
    echo "namespace $name removed"
  done
  rm -rf "$run"
}

status() {
  local name
  for name in "$consumer" "$provider"; do
    if ! exists "$name"; then
      echo "namespace $name: missing"
    elif grep -qsx "$name" "$run/created"; then
      echo "namespace $name: created here"
    else
      echo "namespace $name: there before"
    fi
  done
  echo "nginx in $provider: $(nginx_pid | sed 's/^/pid /' || echo 'not running')"
}

case ${1:-} in
up | down | status) (($# == 1)) || usage_error "'$1' takes no arguments (see --help)"; "$1" ;;
-h | --help | help) help ;;
'') help >&2; exit 2 ;;
*) usage_error "unknown command '$1': up, down or status (see --help)" ;;
esac
