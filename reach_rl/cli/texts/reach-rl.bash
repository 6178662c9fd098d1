_reach_rl() {
    local line="${COMP_LINE:0:COMP_POINT}" word reply
    word="${line##*[[:space:]]}"
    COMPREPLY=()
    while IFS= read -r reply; do
        [[ $reply == *[=.] ]] || reply="$reply "
        [[ $COMP_WORDBREAKS == *=* && $word == *=* ]] && reply="${reply#"${word%=*}="}"
        COMPREPLY+=("$reply")
    done < <(reach-rl _complete "$line" 2>/dev/null)
}
complete -o default -o nospace -F _reach_rl reach-rl
