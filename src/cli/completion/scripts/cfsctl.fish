# fish completion for cfsctl. Install it as /usr/share/fish/vendor_completions.d/cfsctl.fish,
# or put this into ~/.config/fish/config.fish: cfsctl completion fish | source

function __cfsctl_complete
    set -l words (commandline --current-process --tokenize --cut-at-cursor)
    set -l current (commandline --current-token --cut-at-cursor)
    set -l program (string replace -r '^~/' "$HOME/" -- $words[1])
    # what is typed may have an open quotation mark, and escapes
    set -l plain (string replace -r '^[\'"]' '' -- $current | string replace -ra '\\\\(.)' '$1')
    COMPLETE=fish $program -- $words "$plain" 2>/dev/null
end

# ~/FILE is a path that only the shell understands
function __cfsctl_is_tilde
    string match -q '~*' -- (commandline --current-token --cut-at-cursor)
end

complete --command cfsctl --no-files --keep-order --arguments '(__cfsctl_complete)'
complete --command cfsctl --condition __cfsctl_is_tilde --force-files
