package pythonagent

import "embed"

// Dir is the folder that belongs into PYTHONPATH.
const Dir = "python"

// FS holds the modules in Dir.
//
//go:embed python/*.py
var FS embed.FS
