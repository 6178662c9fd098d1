complete -c reach-rl -f -a '(reach-rl _complete (commandline -cp | string collect))'
