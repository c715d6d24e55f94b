// Command scan walks a folder once with the walker of the exporter and prints what it counted, so
// that scan.sh can measure it alongside other programs. With -histogram it fills the age histogram
// too, as the first pass of an eviction does.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/dirscan"
	"github.com/spillway-exporter/spillway_exporter/internal/refuse"
)

func main() {
	debug.SetGCPercent(50) // as the exporter does
	count := flag.Bool("count", false, "names only")
	ages := flag.Bool("histogram", false, "fill the age histogram")
	workers := flag.Int("workers", 1, "walkers")
	rss := flag.Bool("rss", false, "print by how much the scan made this process grow")
	without := flag.String("without", "", "system calls to refuse, such as openat2:ENOSYS")
	flag.Parse()
	if *without != "" {
		if err := refuse.Install(*without); err != nil {
			fmt.Fprintln(os.Stderr, "scan:", err)
			os.Exit(1)
		}
	}
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "scan: give one folder")
		os.Exit(2)
	}
	o := dirscan.Options{Dir: flag.Arg(0), Recursive: true, CountOnly: *count, Now: time.Now(), Workers: *workers}
	if *ages {
		o.Ages = new(dirscan.Histogram)
	}
	before := residentPeak()
	res, err := dirscan.Scan(context.Background(), o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "scan:", err)
		os.Exit(1)
	}
	fmt.Printf("files %d folders %d empty %d size %d allocated %d oldest %d\n",
		res.Files, res.Folders, res.EmptyFiles, res.SizeBytes, res.AllocatedBytes, res.OldestNs)
	if *rss {
		fmt.Printf("resident memory grew by %d KiB to %d KiB\n", residentPeak()-before, residentPeak())
	}
}

// residentPeak returns the largest resident size of this process so far, in KiB (proc(5), VmHWM).
func residentPeak() (kib int64) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ = strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		}
	}
	return kib
}
