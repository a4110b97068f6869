#compdef kubbi-mcp
# Completion of kubbi-mcp for zsh. Save it as _kubbi-mcp in a folder of $fpath, or
# load it in ~/.zshrc, after compinit:
#   source <(kubbi-mcp completion zsh)

_kubbi-mcp() {
	local -a lines candidates
	local line paths
	lines=("${(@f)$("${(Q)words[1]}" __complete -- "${(@Q)words[2,CURRENT-1]}" "$PREFIX" 2>/dev/null)}")
	paths=$lines[1]
	for line in "${(@)lines[2,-1]}"; do
		candidates+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
	done
	(( $#candidates )) && _describe kubbi-mcp candidates
	case $paths in
	file) compset -P '--*='; _files ;;
	dir) compset -P '--*='; _files -/ ;;
	esac
}

if [[ $funcstack[1] == _kubbi-mcp ]]; then
	_kubbi-mcp "$@"
else
	compdef _kubbi-mcp kubbi-mcp
fi
