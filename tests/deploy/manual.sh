#!/usr/bin/env bash
# What the binary says of itself to shells and to `man`: loaded, completed by, and looked through. manual.sh BINARY
set -uo pipefail
binary=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
ln -s "$binary" "$dir/tasktally"
export PATH=$dir:$PATH

check() {
  local said=$1
  shift
  if "$@" >"$dir/said" 2>&1; then echo "ok      manual: $said"; else
    echo "FAILED  manual: $said"
    tail -n 20 "$dir/said"
  fi
}

# completed WORDS...: what bash offers for the last of them, as at a prompt.
completed() {
  # shellcheck disable=SC2016
  bash --norc -euc '
    source <(tasktally completions bash)
    found=$(complete -p tasktally)
    [[ $found == *"-F _tasktally tasktally" ]]
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE=$* COMP_POINT=${#COMP_LINE}
    _tasktally "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
    echo "${COMPREPLY[*]}"' bash "$@"
}
bash_completes() {
  completed tasktally se && completed tasktally serve --max-watchers-p && completed tasktally dead-letters re &&
    completed tasktally serve --tls-client-auth ""
  [ "$(completed tasktally se)" = serve ] &&
    [ "$(completed tasktally serve --max-watchers-p)" = --max-watchers-per-account ] &&
    [ "$(completed tasktally dead-letters re)" = resend ] &&
    [ "$(completed tasktally serve --tls-client-auth "")" = "require request" ]
}
fish_completes() {
  tasktally completions fish >"$dir/tasktally.fish" && fish --no-execute "$dir/tasktally.fish" || return
  HOME=$dir fish --no-config -c "source $dir/tasktally.fish; complete --do-complete 'tasktally health'" | tee "$dir/offered"
  grep -q '^healthcheck' "$dir/offered"
}
zsh_reads() { tasktally completions zsh >"$dir/_tasktally" && zsh -n "$dir/_tasktally"; }

pages_are_clean() {
  tasktally man "$dir/man1" && mandoc -T lint -W error "$dir"/man1/*.1 && [ "$(ls "$dir/man1" | wc -l)" -gt 20 ]
}
pages_are_shown() {
  tasktally man "$dir/man1" && mandoc -T utf8 "$dir/man1/tasktally-serve.1" | sed $'s/.\b//g' >"$dir/shown" || return
  # Every flag of the help is in the page, with its variable.
  tasktally serve --help | grep -oE '^ +--[a-z-]+' | tr -d ' ' | sort -u >"$dir/flags"
  tasktally serve --help | grep -oE 'env: [A-Z_]+' | cut -d' ' -f2 | sort -u >>"$dir/flags"
  local word missing=0
  while read -r word; do
    grep -q -e "$word" "$dir/shown" || { echo "not in the page: $word" && missing=1; }
  done <"$dir/flags"
  [ "$missing" = 0 ] && [ "$(wc -l <"$dir/flags")" -gt 50 ] && tasktally man | mandoc -T utf8 | grep -q 'Exit codes'
}

check "bash loads the completions, and completes commands, flags and values" bash_completes
check "fish loads them, and completes a command" fish_completes
check "zsh finds no mistake in them" zsh_reads
check "mandoc finds no error in the pages" pages_are_clean
check "the page of serve shows every flag and variable of its help" pages_are_shown
