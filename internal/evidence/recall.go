package evidence

import (
	"cmp"
	"time"
)

// ReasonManual is the reason of captures that a person has requested. The budget of an hour does not count them.
const ReasonManual = "manual"

// recall has a target rest, and reckons with what captures have cost it, as the process did that took those that are kept:
// captures of a full heap one right after another would end the service, however often the exporter is restarted in between.
func (k *Keeper) recall(target string) {
	k.mu.Lock()
	done := k.recalled[target]
	k.mu.Unlock()
	if done {
		return
	}
	all, err := k.opts.Store.All(target)
	if err != nil {
		k.opts.Logger.Warn("what earlier captures have cost is not known", "target", target, "err", err)
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.recalled[target] = true
	now := k.opts.Now()
	for i := range all {
		k.recallOne(target, &all[i], now)
	}
}

// recallOne is recall of one capture. It is called with the lock held. One that the clock says lies ahead was just now.
func (k *Keeper) recallOne(target string, p *Profile, now time.Time) {
	at := p.Time
	if at.After(now) {
		at = now
	}
	if p.Reason != ReasonManual {
		k.took[target] = append(k.took[target], at)
	}
	for i := range Rungs {
		r := &Rungs[i]
		if r.Runtime != p.Runtime || r.Name != p.Rung {
			continue
		}
		if until := at.Add(cmp.Or(r.Rest, restBetween)); until.After(k.rest[target]) {
			k.rest[target] = until
		}
		cost := Measured{Pause: p.Pause, Bytes: bytesOf(p.Took), Used: bytesOf(p.Used), At: at}
		if p.Took == 0 {
			cost.Bytes = unread(r.Worst.At(cost.Used))
		}
		of := rungOf{target, r.Provider, r.Name}
		past := k.cost[of]
		k.cost[of] = append(past[max(0, len(past)-mostCosts+1):], cost)
	}
}
