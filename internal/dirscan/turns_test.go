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
		<-time.After(1)
		ran := make(chan struct{})
		go close(ran)
		turns.Take()
		select {
		case <-ran:
		default:
			t.Errorf("no other goroutine had a turn after %v", turnEvery)
		}
	})
}
