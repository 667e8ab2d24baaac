#!/usr/bin/env bash
# The whole test suite, with its own set-up: a machine with Rust, apt and this repository is enough.
set -Eeuo pipefail
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"

help() {
  cat <<END
Usage: sudo scripts/test.sh

Installs what is missing (apt packages, cfn-lint in target/cfn-lint), then runs formatting, clippy, shellcheck,
cfn-lint on the examples, all tests, the count of instructions per packet (benches/instructions.rs), the namespace
tests (tests/netns, as root) and the demos; at the end it checks that nothing was left behind. The last line is
"N passed, N failed": N tests, where a failed check counts as a failed test. Exit code 1 if anything failed.

Under sudo everything but the namespace tests and the demos runs as the user who called it.
Without root the namespace tests and the demos are skipped, and that is said.
END
}
case ${1:-} in
'') ;;
-h | --help) help; exit 0 ;;
*) usage_error "unknown argument '$1' (see --help)" ;;
esac

passed=0 failed=0 problems=()
log=$(mktemp)
trap 'rm -f "$log"' EXIT
PATH=$PATH:/usr/sbin:/sbin

# fail WHAT: one more that failed.
fail() {
  failed=$((failed + 1))
  problems+=("$*")
  printf '%sFAILED: %s%s\n' "$red" "$*" "$plain"
}

# check NAME COMMAND...: a check that is not a test.
check() {
  local name=$1 began=$SECONDS
  shift
  step "$name"
  if "$@"; then
    echo "ok: $name ($((SECONDS - began)) s)"
  else
    fail "$name"
  fi
}

# tests NAME COMMAND...: a test run whose "test result:" lines are summed.
tests() {
  local name=$1 began=$SECONDS code=0 ok bad
  shift
  step "$name"
  "$@" 2>&1 | tee "$log" || code=$?
  read -r ok bad < <(awk '
    /^test result: / { for (i = 2; i <= NF; i++) { if ($i ~ /^passed/) p += $(i-1); if ($i ~ /^failed/) f += $(i-1) } }
    END { print p + 0, f + 0 }' "$log")
  passed=$((passed + ok))
  failed=$((failed + bad))
  echo "$name: $ok passed, $bad failed ($((SECONDS - began)) s)"
  if ((bad)); then
    problems+=("$name: $bad tests")
  elif ((code)); then
    fail "$name: exit code $code"
  elif ((ok == 0)); then
    fail "$name: not one test ran"
  fi
}

# What the machine holds that a test could leave behind, a line each: namespaces, interfaces, state, cgroups, and running
# programs of the kinds that tests start.
machine() {
  {
    ip netns list | awk '{print "namespace " $1}'
    ip -o link show | awk -F': ' '{print "interface " $2}'
    find /etc/netns -mindepth 1 -printf 'file %p\n' 2>/dev/null || true
    find /run -maxdepth 1 -name 'privlink*' -printf 'state %p\n'
    find /tmp -maxdepth 1 -name 'privlink-*' -printf 'files %p\n'
    find /sys/fs/cgroup -maxdepth 3 -type d -name '*privlink*' -printf 'cgroup %p\n' 2>/dev/null
    local pid program
    for pid in /proc/[0-9]*; do
      program=$(cat "$pid/comm" 2>/dev/null) || continue
      case $program in
      privlink | nginx | tcpdump | dnsmasq | postgres) echo "process ${pid#/proc/} $program" ;;
      esac
    done
  } | sort
}

nothing_left() {
  local tries left
  for ((tries = 20; tries > 0; tries--)); do
    left=$(comm -13 <(printf '%s\n' "$before") <(machine))
    [[ -n $left ]] || return 0
    sleep 0.25
  done
  echo "not there before:"
  printf '%s\n' "$left"
  return 1
}

lint_templates() {
  local venv=$repo/target/cfn-lint
  if ! as_builder test -x "$venv/bin/cfn-lint"; then
    as_builder sh -c 'rm -rf "$1" && /usr/bin/python3 -m venv "$1" && "$1/bin/pip" install -q --disable-pip-version-check "cfn-lint~=1.40"' \
      sh "$venv" || {
      echo "cfn-lint could not be installed into $venv (no network to the Python package index?)"
      return 1
    }
  fi
  local templates=("$repo"/examples/*.y*ml)
  [[ -e ${templates[0]} ]] || {
    echo "no templates in examples/"
    return 1
  }
  as_builder "$venv/bin/cfn-lint" --regions ap-northeast-1 --template "${templates[@]}"
}

namespace_tests() {
  local binary
  binary=$(as_builder cargo test --locked --no-run --test netns --message-format=json 2>/dev/null |
    sed -n 's/.*"executable":"\([^"]*\/deps\/netns-[^"]*\)".*/\1/p' | tail -n1)
  [[ -x $binary ]] || {
    echo "the namespace tests were not built"
    return 1
  }
  (cd "$repo" && "$binary")
}

# demo SCENARIO NAMESPACE...: with the namespaces that it makes.
demo() {
  local privlink=$repo/target/debug/privlink scenario=$1 name
  for name in "${@:2}"; do
    [[ ! -e /run/netns/$name ]] || {
      echo "the namespace $name is in use (scripts/namespaces.sh down, ip netns del $name)"
      return 1
    }
  done
  PRIVLINK=$privlink "$repo/scripts/demo.sh" "$scenario" </dev/null
}

# Debian splits venv off: the program python3 alone does not tell.
venv=/usr/bin/python3
/usr/bin/python3 -c 'import ensurepip' 2>/dev/null || venv=/missing
install_packages cc:gcc /usr/include/errno.h:libc6-dev curl:curl ip:iproute2 nstat:iproute2 ping:iputils-ping ethtool:ethtool \
  tcpdump:tcpdump nginx:nginx-light dig:bind9-dnsutils dnsmasq:dnsmasq-base haproxy:haproxy iperf3:iperf3 jq:jq nc:netcat-openbsd strace:strace valgrind:valgrind shellcheck:shellcheck /usr/lib/postgresql:postgresql psql:postgresql-client \
  /usr/bin/python3:python3 "$venv:python3-venv"
need_cargo
before=$(machine)

check "formatting" as_builder cargo fmt --check
check "clippy" as_builder cargo clippy --locked --all-targets -- -D warnings
check "shellcheck" shellcheck -S warning -x -P "$repo/scripts" "$repo"/scripts/*.sh "$repo/.ci/run"
check "cfn-lint" lint_templates
tests "instructions per packet" as_builder cargo bench --locked --bench instructions
if ((EUID == 0)); then
  if [[ $builder == root ]]; then
    tests "tests, with the namespace tests" as_builder cargo test --locked --no-fail-fast
  else
    tests "tests, as $builder" as_builder cargo test --locked --no-fail-fast
    tests "namespace tests, as root" namespace_tests
  fi
  check "demo" demo resource ec2-a ec2-b
  check "demo saas" demo saas provider-1 provider-2 client client-2
  check "demo private-dns" demo private-dns monitoring client outsider
  check "demo postgres" demo postgres app db-1 db-2
  check "nothing left behind" nothing_left
else
  tests "tests" as_builder cargo test --locked --no-fail-fast
  note "not root: the namespace tests (tests/netns) and the demos were skipped; run them with: sudo $0"
fi

echo
for problem in "${problems[@]}"; do echo "failed: $problem"; done
((failed == 0)) || code=1
echo "$passed passed, $failed failed"
exit "${code:-0}"
