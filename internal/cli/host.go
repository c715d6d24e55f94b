package cli

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/hostcheck"
)

// asService is what the packages ship to run check as the service runs.
const asService = "/usr/share/spillway/check-as-service"

// printHost writes what will not work on this machine, and what to write so that it does.
func printHost(w io.Writer, r *hostcheck.Report) {
	fmt.Fprintf(w, "\nhost: as %s (%d) on Linux %s, cgroups %s", quoteName(r.User), r.UID, quoteName(r.Kernel), r.Cgroups)
	if len(r.Findings) == 0 {
		fmt.Fprintln(w, ": nothing is missing, not even for mode enforce")
	} else {
		fmt.Fprintln(w)
	}
	for i := range r.Findings {
		printFinding(w, &r.Findings[i])
	}
	if r.DropIn != "" {
		fmt.Fprintf(w, "  all of it in one drop-in (sudo systemctl edit spillway_exporter):\n\n%s\n", strings.Map(printableLine, r.DropIn))
	}
	if _, err := os.Stat(asService); err == nil && r.Systemd && !r.Unit {
		fmt.Fprintf(w, "  the service has another user, other rights and another view of the files: sudo %s\n", asService)
	}
}

func printFinding(w io.Writer, f *hostcheck.Finding) {
	word := "missing"
	if f.Unknown {
		word = "unknown"
	}
	if f.Enforce {
		word += " for enforce"
	}
	var whom []string
	for _, s := range []string{f.Target, f.Of} {
		if s != "" {
			whom = append(whom, s)
		}
	}
	where := ""
	if len(whom) > 0 {
		where = strings.Join(whom, ", ") + ": "
	}
	fmt.Fprintf(w, "  %s: %s\n", word, strings.Map(printable, where+f.Problem))
	for _, line := range f.Unit {
		fmt.Fprintf(w, "    write %s\n", strings.Map(printable, line))
	}
	if f.Do != "" {
		fmt.Fprintf(w, "    do    %s\n", strings.Map(printable, f.Do))
	}
}

// printableLine is printable that keeps the ends of lines.
func printableLine(r rune) rune {
	if r == '\n' {
		return r
	}
	return printable(r)
}
