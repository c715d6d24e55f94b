package config

import (
	"context"
	"fmt"

	"github.com/spillway-exporter/spillway_exporter/internal/policy"
	"github.com/spillway-exporter/spillway_exporter/internal/report"
)

// checkOrder warns of caches whose least recently used entries are not known from the times on disk.
func (c *Config) checkOrder(warn report.Func, checks *Checks) {
	ctx, cancel := context.WithTimeout(context.Background(), answerLimit)
	defer cancel()
	asked := make(map[*policy.Cache]question[policy.AccessTimes])
	c.eachCache(func(_, _ int, p *policy.Cache) {
		if p.NeedsAccessTimes() {
			asked[p] = ask(checks, p.Dir, func() policy.AccessTimes { return policy.AccessTimesOf(checks.Host.Join(p.Dir)) })
		}
	})
	c.eachCache(func(i, j int, p *policy.Cache) {
		q, ok := asked[p]
		if !ok {
			return
		}
		times, err := q.wait(ctx)
		if err != nil {
			return // the check of the folder itself has said so
		}
		if note := p.OrderNote(times); note != "" {
			warn(fmt.Sprintf("targets[%d].caches[%d].lru_by", i, j), "%s", note)
			if c.Orders == nil {
				c.Orders = make(map[string][]string)
			}
			c.Orders[c.Targets[i].Name] = append(c.Orders[c.Targets[i].Name], note)
		}
	})
}

func (c *Config) eachCache(f func(target, index int, p *policy.Cache)) {
	for i := range c.Targets {
		for j := range c.Targets[i].Caches {
			f(i, j, &c.Targets[i].Caches[j])
		}
	}
}
