//go:build linux && !portable

package dirscan

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

func TestTurnsGiveATurn(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, func(t *testing.T) {
		var turns Turns
		turns.Take() // begins
		begun := turns.last
		<-time.After(turnEvery - 1)
		turns.Take()
		if turns.last != begun {
			t.Errorf("a turn was given after %v, want none before %v", turnEvery-1, turnEvery)
		}
		ran := make(chan struct{})
		go close(ran)
		for range 10 { // now and then the scheduler looks first at those that gave a turn
			turns.last = time.Now().Add(-turnEvery)
			turns.Take()
			select {
			case <-ran:
				return
			default:
			}
		}
		t.Errorf("no other goroutine had a turn after %v", turnEvery)
	})
}
