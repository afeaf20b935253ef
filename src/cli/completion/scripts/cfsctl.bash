# bash completion for cfsctl. Install it as /usr/share/bash-completion/completions/cfsctl,
# or put this into ~/.bashrc: source <(cfsctl completion bash)

# Bash divides words at the characters of COMP_WORDBREAKS, ':' and '=' among them, and replaces only what comes behind
# the last one. So the words are put together again, and what is not replaced is cut off the candidates.
_cfsctl() {
    local rest=$COMP_LINE word blanks cursor i last=-1
    local -a words=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        blanks=${rest%%[![:space:]]*}
        rest=${rest:${#blanks}}
        if ((i == 0 || ${#blanks} > 0)); then
            words[++last]=
        fi
        if ((i == COMP_CWORD)); then
            cursor=$((COMP_POINT - ${#COMP_LINE} + ${#rest}))
            word=${word:0:cursor > 0 ? cursor : 0}
        fi
        words[last]+=$word
        rest=${rest:${#word}}
    done

    local current=${words[last]} prefix='' break start
    local quote=${current:0:1}
    if [[ $quote != [\'\"] ]]; then
        quote=
        for break in : = @; do
            if [[ $COMP_WORDBREAKS == *"$break"* && $current == *"$break"* ]]; then
                start=${current%"${current##*"$break"}"}
                if ((${#start} > ${#prefix})); then
                    prefix=${start//\\/}
                fi
            fi
        done
    fi
    for i in "${!words[@]}"; do
        word=${words[i]}
        case $word in
            \'*) word=${word#\'} word=${word%\'} ;;
            \"*) word=${word#\"} word=${word%\"} ;;
            *) word=${word//\\/} ;;
        esac
        words[i]=$word
    done

    local -a found=()
    local line
    while IFS= read -r line || [[ -n $line ]]; do
        found+=("$line")
    done < <(COMPLETE=bash _CLAP_IFS=$'\n' _CLAP_COMPLETE_INDEX=$last \
        "${words[0]/#\~\//$HOME/}" -- "${words[@]}" 2>/dev/null)

    COMPREPLY=()
    for line in "${found[@]}"; do
        line=${line#"$prefix"}
        if [[ -z $quote && -n $line ]]; then
            printf -v line %q "$line"
        fi
        COMPREPLY+=("$line")
    done
    if ((${#COMPREPLY[@]} == 1)); then
        if [[ ${COMPREPLY[0]} == *[/:=] ]]; then
            compopt -o nospace
        fi
    elif ((${#COMPREPLY[@]} == 0)) && [[ $current == [~./]* ]]; then
        # such as ~/FILE, which only the shell understands
        compopt -o default
    fi
}

complete -o nosort -F _cfsctl cfsctl 2>/dev/null || complete -F _cfsctl cfsctl
