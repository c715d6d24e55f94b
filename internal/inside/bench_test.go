package inside

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/proc"
)

// BenchmarkOpen is what a scan of a folder of a target costs more than one of a folder with a path here,
// which stands alongside.
func BenchmarkOpen(b *testing.B) {
	s := start(b, ownMounts(), privateTmp+"mkdir /tmp/a")
	members := s.members()
	r := s.resolver(func(o *Options) {
		o.Members = func() []proc.Member { return members }
		o.Reserved = []string{b.TempDir()}
	})
	r.opts.Once = true
	r = New(r.opts)
	b.Run("inside", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			o, err := r.open("/tmp/a", false)
			if err != nil {
				b.Fatal(err)
			}
			unix.Close(o.FD)
		}
	})
	dir := b.TempDir()
	b.Run("path", func(b *testing.B) {
		for b.Loop() {
			fd, err := dirscan.OpenRoot(dir)
			if err != nil {
				b.Fatal(err)
			}
			unix.Close(fd)
		}
	})
}
