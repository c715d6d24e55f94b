package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"

	"go.yaml.in/yaml/v3"
)

// digest sets the digest of each target: of all that is written at the top of the file, but for the other targets. Comments
// and white space do not count.
func (c *Config) digest(root *yaml.Node) {
	if len(c.Targets) == 0 || root.Kind != yaml.DocumentNode {
		return
	}
	top := root.Content[0]
	common := sha256.New()
	var targets *yaml.Node
	for i := 0; i+1 < len(top.Content); i += 2 {
		if top.Content[i].Value == "targets" {
			targets = top.Content[i+1]
			continue
		}
		digestNode(common, top.Content[i], 0)
		digestNode(common, top.Content[i+1], 0)
	}
	if targets != nil && targets.Kind == yaml.AliasNode {
		targets = targets.Alias
	}
	shared := common.Sum(nil)
	for i := range c.Targets {
		h := sha256.New()
		h.Write(shared)
		if targets != nil && i < len(targets.Content) {
			digestNode(h, targets.Content[i], 0)
		}
		c.Targets[i].Digest = hex.EncodeToString(h.Sum(nil)[:16])
	}
}

const maxDigestDepth = 100 // an alias may lead back to itself

// digestNode writes what a node says.
func digestNode(h hash.Hash, n *yaml.Node, depth int) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	fmt.Fprintf(h, "%d %q %q %d\n", n.Kind, n.Tag, n.Value, len(n.Content))
	if depth > maxDigestDepth {
		return
	}
	for _, child := range n.Content {
		digestNode(h, child, depth+1)
	}
}
