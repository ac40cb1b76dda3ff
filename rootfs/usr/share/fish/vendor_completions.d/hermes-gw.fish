# Completes hermes-gw in fish, by what its own help and list say.
function __hermes_gw -a home given command text usage option value
    set -l words (commandline -opc)
    set -l gw $words[1]
    set -l cur (commandline -ct)
    set -l begin (string match -r -- '^--[^=]+=' $cur)
    set -l all ($gw help 2>/dev/null)
    set -l options (string match -- '  -*' $all)
    for word in (string replace -r -- '^(--[^=]+)=' '$1'\n $words[2..]) (string trim -rc = -- $begin)
        if test "$value"
            test $value = DIR; and set -a home $option $word
            set value
        else if string match -q -- '-*' $word
            set option $word
            set value (string match -rg "[ [|]\Q$word\E ([A-Za-z][^] ]*)" $options)
        else if test -z "$command"
            set command $word
            set text ($gw help $word 2>/dev/null)
            set usage (string replace "Usage: hermes-gw $word" '' "$text[1]")
            set -a options $usage
        else
            set -a given $word
            # What is left of the usage; what may come again stays.
            set usage (string replace -r '^ (?!-|\S*\.\.\.)\S+' '' $usage)
        end
    end
    if test "$value" = DIR
        printf "$begin%s\n" (__fish_complete_directories (string replace -- "$begin" '' $cur) '')
    else if test "$value"
        printf "$begin%s\n" (string match -r '^[a-z].*' $value | string split '|')
    else if string match -q -- '-*' $cur
        string match -ra -- '(?<=[ [|])--?[A-Za-z][a-z-]*' $options
    else if test -z "$command"; or string match -q '*COMMAND*' $usage
        string replace -rf '^  ([a-z]\S*) +' '$1\t' $all
    else if string match -r '^ [a-z]\S*' $usage | string trim | string split '|'
    else if string match -q ' SIGNAL*' $usage
        string replace -f 'Signals: ' '' $text | string split ' '
    else if string match -q '*PROFILE*' $usage
        for word in ($gw $home list 2>/dev/null)
            contains $word $given; or echo $word
        end
    end
end
complete -c hermes-gw -f -a '(__hermes_gw)'
