# Completion of kubbi-mcp for fish. Save it as
# ~/.config/fish/completions/kubbi-mcp.fish, or load it in config.fish:
#   kubbi-mcp completion fish | source

function __kubbi_mcp_complete
	set -l words (commandline -opc)
	set -l current (commandline -ct)
	set -l program $words[1]
	set -e words[1]
	set -l lines ($program __complete -- $words "$current" 2>/dev/null)
	switch "$lines[1]"
		case file
			__fish_complete_path "$current"
		case dir
			__fish_complete_directories "$current" ''
	end
	set -e lines[1]
	printf '%s\n' $lines
end

complete -c kubbi-mcp -f -a '(__kubbi_mcp_complete)'
