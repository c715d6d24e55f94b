package config

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestAskIsBounded: a path that does not answer costs its bound once, and no second goroutine.
func TestAskIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Checks
		gate := make(chan struct{})
		var looks atomic.Int32
		look := func() int { looks.Add(1); <-gate; return 7 }
		start := time.Now()
		for range 3 {
			if _, err := Ask(&c, "/dead", look); !errors.Is(err, ErrNoAnswer) || !strings.Contains(err.Error(), "/dead") {
				t.Errorf("a path that does not answer: %v, want ErrNoAnswer with its name", err)
			}
		}
		if took := time.Since(start); took != answerLimit || looks.Load() != 1 {
			t.Errorf("three checks took %s and looked %d times, want %s, 1", took, looks.Load(), answerLimit)
		}
		if got, err := Ask(&c, "/well", func() int { return 3 }); got != 3 || err != nil {
			t.Errorf("another path: %d, %v", got, err)
		}
		close(gate)
		synctest.Wait()
		if got, err := Ask(&c, "/dead", look); got != 7 || err != nil {
			t.Errorf("once it answers: %d, %v", got, err)
		}
	})
}

// TestAskTogether: those that answer are heard although the first of them does not.
func TestAskTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Checks
		gate := make(chan struct{})
		ctx, cancel := context.WithTimeout(t.Context(), answerLimit)
		defer cancel()
		asked := []question[int]{ask(&c, "/dead", func() int { <-gate; return 0 })}
		for i := range 50 {
			asked = append(asked, ask(&c, fmt.Sprintf("/well/%d", i%10), func() int { return i }))
		}
		if _, err := asked[0].wait(ctx); !errors.Is(err, ErrNoAnswer) {
			t.Errorf("the dead path: %v", err)
		}
		for i, q := range asked[1:] {
			if got, err := q.wait(ctx); got != i || err != nil {
				t.Errorf("path %d: %d, %v", i, got, err)
			}
		}
		close(gate)
		synctest.Wait()
	})
}
