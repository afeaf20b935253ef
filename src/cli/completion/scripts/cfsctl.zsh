#compdef cfsctl
# zsh completion for cfsctl. Install it as _cfsctl in a directory of $fpath, such as
# /usr/share/zsh/vendor-completions, or put this into ~/.zshrc, behind compinit: source <(cfsctl completion zsh)

_cfsctl() {
    local -a typed found complete_ unfinished
    local candidate value
    typed=("${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}")
    found=("${(@f)$(COMPLETE=zsh _CLAP_IFS=$'\n' _CLAP_COMPLETE_INDEX=$((CURRENT - 1)) \
        ${typed[1]/#\~\//$HOME/} -- "${typed[@]}" 2>/dev/null)}")
    for candidate in $found; do
        # the value ends at the first colon that is not escaped
        value=${candidate//\\:/$'\1'}
        value=${value%%:*}
        case $value in
            (*[/=]|*$'\1') unfinished+=("$candidate") ;;
            (*) complete_+=("$candidate") ;;
        esac
    done
    if (($#complete_ + $#unfinished == 0)); then
        # such as ~/FILE, which only the shell understands
        [[ $PREFIX == [~./]* ]] && _files
        return
    fi
    (($#complete_)) && _describe -V 'cfsctl' complete_
    (($#unfinished)) && _describe -V 'cfsctl' unfinished -S ''
}

if [[ $funcstack[1] == _cfsctl ]]; then
    _cfsctl "$@"
else
    compdef _cfsctl cfsctl
fi
