module kubbi-mcp

go 1.26.0
