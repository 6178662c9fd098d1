#compdef reach-rl
_reach_rl() {
    local -a found=("${(@f)$(reach-rl _complete "$LBUFFER" 2>/dev/null)}")
    [[ -n $found ]] || { _files; return }
    compadd -Q -S '' -- ${(M)found:#*[=.]}
    compadd -Q -- ${found:#*[=.]}
}
compdef _reach_rl reach-rl
