# shellcheck shell=bash
# What the scripts here share: words on the terminal, apt packages, and cargo as the user who called sudo.
# Sourced, never run.

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export repo

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
  bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' yellow=$'\e[33m' plain=$'\e[0m'
else
  bold='' dim='' red='' green='' yellow='' plain=''
fi
export bold dim red green yellow plain

# A step that begins.
step() { printf '%s==> %s%s\n' "$bold" "$*" "$plain"; }
# Something that the reader should know.
note() { printf '%snote:%s %s\n' "$yellow" "$plain" "$*" >&2; }
# The end: what is wrong, and what would be right.
die() {
  printf '%serror:%s %s\n' "$red" "$plain" "$*" >&2
  exit 1
}
# A wrong command line.
usage_error() {
  printf '%serror:%s %s\n' "$red" "$plain" "$*" >&2
  exit 2
}

need_root() {
  ((EUID == 0)) || die "needs root, for namespaces and interfaces: sudo $0 $*"
}

# install_packages COMMAND:PACKAGE... installs the packages whose command is missing.
# A command may be a path, for what is no program.
install_packages() {
  local pair command missing=()
  for pair in "$@"; do
    command=${pair%%:*}
    if [[ $command == /* ]]; then
      [[ -e $command ]] || missing+=("${pair#*:}")
    else
      PATH=$PATH:/usr/sbin:/sbin command -v "$command" >/dev/null || missing+=("${pair#*:}")
    fi
  done
  ((${#missing[@]})) || return 0
  command -v apt-get >/dev/null ||
    die "missing, and there is no apt-get to install it: ${missing[*]} (names of Debian's packages)"
  ((EUID == 0)) || die "missing: ${missing[*]}; install with: sudo apt-get install ${missing[*]}"
  step "installing ${missing[*]}"
  apt_install "${missing[@]}"
}

# apt-get install, with fresh package lists only if the present ones do not do, and without starting services:
# Debian's nginx package would bring up a web server on the host's port 80.
apt_install() (
  policy=/usr/sbin/policy-rc.d
  if [[ ! -e $policy ]]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
  fi
  export DEBIAN_FRONTEND=noninteractive
  had_nginx=$(command -v nginx || true)
  try() { apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 "$@" </dev/null; }
  if ! apt-get install -s -q --no-install-recommends "$@" >/dev/null 2>&1; then
    apt-get update -q </dev/null || die "apt-get update failed (no network?)"
  fi
  # A stale list names files that the mirror has dropped: once more with a fresh one.
  try "$@" || { apt-get update -q </dev/null && try "$@"; } || die "apt-get could not install: $*"
  if [[ -z $had_nginx && -d /run/systemd/system ]] && command -v nginx >/dev/null; then
    systemctl disable --quiet nginx.service || true
    note "nginx was installed for its program only: its system service is neither started nor enabled"
  fi
)

# Who builds: the user who called sudo, so that neither target/ nor ~/.cargo gets files of root's.
builder=$(id -un)
if ((EUID == 0)) && [[ -n ${SUDO_USER:-} && $SUDO_USER != root ]]; then
  if runuser -u "$SUDO_USER" -- test -w "$repo"; then
    builder=$SUDO_USER
  else
    note "$SUDO_USER may not write to $repo: building as root"
  fi
fi
export builder

# as_builder COMMAND... runs it in the repository as the builder, with cargo on the PATH.
as_builder() {
  # A login shell would know a CARGO_HOME of the user's own; sudo's environment does not.
  # shellcheck disable=SC2016
  local setup='
    for dir in "${CARGO_HOME:-$HOME/.cargo}/bin" /usr/local/cargo/bin; do
      [ -x "$dir/cargo" ] || continue
      PATH=$dir:$PATH
      if [ "$dir" = /usr/local/cargo/bin ]; then
        export CARGO_HOME="${CARGO_HOME:-/usr/local/cargo}" RUSTUP_HOME="${RUSTUP_HOME:-/usr/local/rustup}"
      fi
      break
    done
    cd "$0" && exec "$@"'
  if [[ $builder == "$(id -un)" ]]; then
    bash -c "$setup" "$repo" "$@"
  else
    # Not -c: that would open a new session, out of Ctrl-C's reach.
    runuser -l -s /bin/bash "$builder" --session-command "$(printf 'exec bash -c %q %q' "$setup" "$repo")$(printf ' %q' "$@")"
  fi
}

# Is there a cargo, and is it new enough? (With rustup, rust-toolchain.toml fetches the right one.)
need_cargo() {
  local found want
  want=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$repo/Cargo.toml")
  as_builder which cargo >/dev/null 2>&1 || die "cargo is missing for user $builder (privlink needs Rust $want). Install it as $builder with
         curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal
       or with: sudo apt-get install rustup && rustup default stable    (Debian 13 and later; Debian 12's own cargo is too old)"
  found=$(as_builder cargo --version) || die "cargo --version failed for user $builder in $repo (no network to fetch the toolchain?)"
  found=${found#cargo }
  found=${found%% *}
  [[ $(printf '%s\n' "$want" "$found" | sort -V | head -n1) == "$want" ]] ||
    die "cargo $found is too old: privlink needs $want. Get it with: rustup update stable, or see https://rustup.rs"
}
