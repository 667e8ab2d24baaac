# shellcheck shell=bash
# The demo's scenario `postgres`: psql through an endpoint to a database that is a name, and its failover. Sourced by scripts/demo.sh.
# shellcheck source-path=SCRIPTDIR
source "$repo/scripts/demo/dns.sh"

programs+=(/usr/lib/postgresql:postgresql psql:postgresql-client)
template=examples/rds-postgres.yaml
name=mydb.cluster-c9akciq32rgz.ap-northeast-1.rds.amazonaws.com
declare -A address_of=([db-1]=172.18.0.50 [db-2]=172.18.1.50) postgres_of=() servers=()
keep_work=true # the databases are in there
idle_timeout=60 session='' idle=''

clean_up() {
  local pid
  for pid in $session $idle; do kill "$pid" 2>/dev/null; done
  # A fast shutdown: what is still connected is disconnected.
  for pid in "${postgres_of[@]}"; do kill -INT "$pid" 2>/dev/null; done
  wait "${servers[@]}" 2>/dev/null
  stop_public_dns
  return 0
}

# serve INSTANCE: a PostgreSQL in its namespace, that says who it is.
serve() {
  local dir=$work/$1 bin
  bin=$(find /usr/lib/postgresql/*/bin -maxdepth 0 | sort -V | tail -n1)
  chmod 711 "$work"
  install -d -o postgres -m 700 "$dir"
  runuser -u postgres -- "$bin/initdb" -D "$dir/data" --auth=trust --no-sync >"$dir.init" 2>&1 || die "initdb: $(<"$dir.init")"
  echo 'host all all all trust' >>"$dir/data/pg_hba.conf"
  ip netns exec "$1" runuser -u postgres -- "$bin/postgres" -D "$dir/data" -c listen_addresses='*' -c unix_socket_directories="$dir" \
    -c cluster_name="$1" -c fsync=off >"$dir.log" 2>&1 </dev/null &
  servers+=($!)
  wait_for 10 "PostgreSQL in $1" test -s "$dir/data/postmaster.pid"
  postgres_of[$1]=$(head -n1 "$dir/data/postmaster.pid")
}

# psql_by NAME ARGUMENT...: from the application.
psql_by() {
  local host=$1
  shift
  ip netns exec app psql "host=$host user=postgres dbname=postgres connect_timeout=5" -XAtq "$@"
}

answered() { psql_by "$endpoint" -c 'show cluster_name' 2>"$work/psql.err"; }
answers() { [[ $(answered) == "$1" ]]; }

scenario() {
  local code=0 began

  step "the public DNS (dnsmasq on $upstream, port $upstream_port): the cluster's writer is db-1"
  public_dns "--host-record=$name,${address_of[db-1]}"
  privlink_up "$template" --upstream "$upstream:$upstream_port"
  step "two PostgreSQL servers, in db-1 and db-2"
  for server in db-1 db-2; do serve "$server"; done
  endpoint=$("$PRIVLINK" show endpoints --output json | jq -r '.[0].DnsEntries[0].DnsName')
  wait_for 30 "PostgreSQL's answer" answers db-1

  step "app: psql host=$endpoint"
  psql_by "$endpoint" -c "select 'this is ' || current_setting('cluster_name') || ' at ' || inet_server_addr() || ', and you are ' || inet_client_addr()" |
    sed "s/^/  $green/; s/\$/$plain/"
  echo

  step "two sessions stay open: one that is used, and one that rests for longer than IdleTimeout, $idle_timeout seconds"
  mkfifo "$work/session"
  psql_by "$endpoint" <"$work/session" >>"$work/session.out" 2>&1 &
  session=$!
  exec 8>"$work/session"
  echo 'show cluster_name;' >&8
  began=$SECONDS
  psql_by "$endpoint" >"$work/idle.out" 2>&1 < <(echo 'show cluster_name;'; sleep $((idle_timeout + 8)); echo 'show cluster_name;') &
  idle=$!
  wait_for 10 "both sessions" grep -q db-1 "$work/session.out"
  wait_for 10 "both sessions" grep -q db-1 "$work/idle.out"
  "$PRIVLINK" show flows | sed 's/^/  /'
  echo

  step "the failover: the same name leads to db-2 (its TTL is 5 seconds)"
  public_dns "--host-record=$name,${address_of[db-2]}"
  wait_for 15 "new connections at db-2" answers db-2
  printf '  a new connection:  %s%s%s\n' "$green" "$(answered)" "$plain"
  : >"$work/session.out"
  echo 'show cluster_name;' >&8
  wait_for 10 "the open session's answer" test -s "$work/session.out"
  printf '  the one that was open: %s%s%s\n\n' "$green" "$(<"$work/session.out")" "$plain"
  grep -q db-1 "$work/session.out" || die "the open session has moved"
  exec 8>&-
  wait "$session" || die "the open session ended with exit code $?"
  session=''

  step "the session that rests: after $idle_timeout idle seconds its flow is gone, and the next statement is told so at once"
  wait "$idle" || code=$?
  idle=''
  sed 's/^/  /' "$work/idle.out"
  ((code != 0)) || die "a session that had rested for longer than IdleTimeout was answered"
  echo "  ($((SECONDS - began)) s after it began)"
  echo

  step "what happened"
  cat <<END
  Both VPCs are 172.18.0.0/16, and the application has the first database's own address. The resource is a name: privlink
  looks it up as the resource gateway's VPC is to see it, keeps the answer for its TTL, and sends each new
  connection where it leads then. A failover needs no change here: what is open drains, what is new follows the name.
END
}

how_to_use() {
  cat <<END
  sudo ip netns exec app psql host=$endpoint user=postgres
  sudo $PRIVLINK show flows
END
}

how_to_end() { echo "  sudo kill -INT ${postgres_of[*]}; sudo kill $dnsmasq; sudo rm -r $work"; }
