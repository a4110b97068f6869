# Completion of kubbi-mcp for bash. Load it in ~/.bashrc:
#   source <(kubbi-mcp completion bash)

_kubbi_mcp() {
	local line paths=''
	COMPREPLY=()
	while IFS= read -r line; do
		if [ -z "$paths" ]; then
			paths=$line
		else
			COMPREPLY+=("${line%%$'\t'*}")
		fi
	done < <("${COMP_WORDS[0]}" __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
	# The bash of macOS has no compopt: it offers files too often.
	case $paths in
	file) ;;
	dir) compopt -o dirnames +o default 2>/dev/null ;;
	*) compopt +o default 2>/dev/null ;;
	esac
}

complete -o default -F _kubbi_mcp kubbi-mcp
