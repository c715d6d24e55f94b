package evidence

import (
	"fmt"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/series"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

// The reasons for which a capture is skipped, as they stand in the journal and in the outcome of the metrics.
const (
	SkipEmergency = "emergency" // only what was sampled all along is read at emergency
	SkipPause     = "max_pause" // it may pause the target for longer than allowed
	SkipHeadroom  = "headroom"  // it may take more memory than allowed of what is left
	SkipUnknown   = "headroom_unknown"
	SkipTime      = "time"     // the limit may be reached before it ends
	SkipBudget    = "per_hour" // there were as many in the last hour as allowed
	SkipBusy      = "busy"     // another capture of the target runs
	SkipNone      = "no_runtime"
	SkipRest      = "rest" // the last one is only just over
)

// Room is what a target has left at present.
type Room struct {
	Level series.Level
	Known bool          // false: no limit or no present reading is known
	Free  units.Bytes   // between now and the limit; of memory and heap the smaller
	Until time.Duration // until the limit at the present growth; 0: it does not grow
	Used  units.Bytes   // of the heap, else of memory
}

// Check returns why a rung must not be taken at a price, "" when it may.
func (c *Config) Check(r *Rung, price Price, room Room) (reason, detail string) {
	allowed := units.Bytes(float64(c.Headroom) * float64(room.Free))
	switch {
	case room.Level >= series.LevelEmergency && !r.Sampling:
		return SkipEmergency, fmt.Sprintf("%s is not taken at emergency: it goes over the whole heap", r.Name)
	case price.Pause > c.MaxPause.Std():
		return SkipPause, fmt.Sprintf("%s may pause the service for %s, and max_pause is %s", r.Name, price.Pause.Round(time.Millisecond), c.MaxPause)
	case !room.Known:
		return SkipUnknown, fmt.Sprintf("how much room is left up to a limit is not known, and %s may take %s", r.Name, price.Bytes)
	case room.Free <= 0:
		return SkipHeadroom, fmt.Sprintf("%s may take %s, and nothing is left up to the limit", r.Name, price.Bytes)
	case price.Bytes > allowed:
		return SkipHeadroom, fmt.Sprintf("%s may take %s, and only %s may be used: %.0f%% of the %s that are left", r.Name, price.Bytes, allowed, 100*float64(c.Headroom), room.Free)
	case room.Until > 0 && room.Until < 2*price.Pause:
		return SkipTime, fmt.Sprintf("the limit may be reached in %s, and %s may take %s", room.Until.Round(time.Millisecond), r.Name, price.Pause.Round(time.Millisecond))
	}
	return "", ""
}
