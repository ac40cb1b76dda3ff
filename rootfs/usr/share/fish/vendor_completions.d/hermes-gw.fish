# Completes hermes-gw in fish, by its help and list.
function __hermes_gw -a home had verb text uses opt val
    set -l ws (commandline -opc)
    set -l gw $ws[1]
    set -l cur (commandline -ct)
    set -l begin (string match -r -- '^--[^=]+=' $cur)
    set -l all ($gw help 2>/dev/null)
    set -l opts (string match -- '  -*' $all)
    for word in (string replace -r -- '^(--[^=]+)=' '$1'\n $ws[2..]) (string trim -rc = -- $begin)
        if test "$val"
            test $val = DIR; and set -a home $opt $word
            set val
        else if string match -q -- '-*' $word
            set opt $word
            set val (string match -rg "[ [|]\Q$word\E ([A-Za-z][^] ]*)" $opts)
        else if test -z "$verb"
            set verb $word
            set text ($gw help $word 2>/dev/null)
            set uses (string trim -- $text | string join ' ' | string replace -r "Usage: hermes-gw $word(.*?)  .*" '$1')
            set -a opts $uses
        else
            set -a had $word
            # What may come again stays.
            set uses (string replace -r '^ (?!-|\S*\.\.\.)\S+' '' $uses)
        end
    end
    if test "$val" = DIR
        printf "$begin%s\n" (__fish_complete_directories (string replace -- "$begin" '' $cur) '')
    else if test "$val"
        printf "$begin%s\n" (string match -r '^[a-z].*' $val | string split '|')
    else if string match -q -- '-*' $cur
        string match -ra -- '(?<=[ [|])--?[A-Za-z][a-z-]*' $opts
    else if test -z "$verb"; or string match -q '*COMMAND*' $uses
        string replace -rf '^  ([a-z]\S*) +' '$1\t' $all
        test "$verb"; and printf '%s\n' settings exit-codes
    else if string match -r '^ [a-z]\S*' $uses | string trim | string split '|'
    else if string match -q ' SIGNAL*' $uses
        string replace -f 'Signals: ' '' $text | string split ' '
    else if string match -q '*PROFILE*' $uses
        for word in ($gw $home list 2>/dev/null)
            contains $word $had; or echo $word
        end
    end
end
complete -c hermes-gw -f -a '(__hermes_gw)'
