package nodeagent

import "embed"

// Script is the name of the preload script.
const Script = "spillway-agent.cjs"

// FS holds Script.
//
//go:embed spillway-agent.cjs
var FS embed.FS
