// Package nodeagent holds the preload script by which a Node.js service lets its heap be read.
package nodeagent

import "embed"

// Script is the name of the preload script.
const Script = "spillway-agent.cjs"

// FS holds Script.
//
//go:embed spillway-agent.cjs
var FS embed.FS
