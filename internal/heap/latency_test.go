package heap

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"testing"
	"time"
)

// BenchmarkNodeTargetLatency is the latency of a target's own endpoint while its heap is read: the
// runs differ in the sampling only.
func BenchmarkNodeTargetLatency(b *testing.B) {
	path, err := exec.LookPath("node")
	if err != nil {
		b.Skip("node is not installed: the inspector is measured with the real thing only")
	}
	cmd := exec.Command(path, "--inspect=127.0.0.1:0", "../../examples/leaky-node/server.js", "--dir="+b.TempDir(), "--every=3600000", "--for=3600")
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	var s struct{ Address, Inspector string }
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil || json.Unmarshal(line, &s) != nil {
		b.Fatalf("first line %q, %v", line, err)
	}
	for _, every := range []time.Duration{0, time.Second, 100 * time.Millisecond, 0, time.Second, 100 * time.Millisecond} {
		b.Run(fmt.Sprintf("sampling=%s", every), func(b *testing.B) {
			stop, done := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				if every > 0 {
					sampleEvery(b, s.Inspector, every, stop)
				}
			}()
			b.ResetTimer()
			var took []time.Duration
			for b.Loop() {
				start := time.Now()
				resp, err := http.Get("http://" + s.Address + "/health")
				if err != nil {
					b.Fatal(err)
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				took = append(took, time.Since(start))
			}
			close(stop)
			<-done
			reportPercentiles(b, took)
		})
	}
	http.DefaultClient.CloseIdleConnections()
}

func sampleEvery(b *testing.B, address string, every time.Duration, stop <-chan struct{}) {
	c := newClient(b, newPool(b), nodeConfig(address))
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			if _, err := readWithin(c, time.Second); err != nil {
				b.Error(err)
			}
		}
	}
}

// BenchmarkNodeCollect is the pause of a full collection, and what the profiler's would take.
func BenchmarkNodeCollect(b *testing.B) {
	for _, live := range []int{10, 270} {
		for name, collect := range map[string]func(*inspector, *session) error{
			"gc": func(n *inspector, s *session) error { return n.force(b.Context(), s, CollectGentle) },
			"profiler": func(_ *inspector, s *session) error {
				_, _, err := s.call(b.Context(), methodCollect, nil)
				return err
			},
		} {
			b.Run(fmt.Sprintf("live=%dMiB/%s", live, name), func(b *testing.B) {
				n := startNode(b, freeAddress(b))
				n.do("objects", live)
				n.expect("end objects")
				c := newClient(b, newPool(b), nodeConfig(n.address))
				readSoon(b, c)
				client := c.shared.backend.(*inspector)
				for b.Loop() {
					err := client.with(b.Context(), func(s *session) error { return collect(client, s) })
					if err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
