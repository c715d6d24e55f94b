// Command agent runs in the virtual machine: it runs the programs of its boot, reports what they
// print, and reboots or powers off.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spillway-exporter/spillway_exporter/internal/vmtest"
)

// bootFile remembers how often the machine was up.
const bootFile = "/var/lib/vmtest.boot"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "agent:", err)
		os.Exit(1)
	}
}

func run() error {
	port, err := os.OpenFile(vmtest.Port, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer port.Close()
	report := json.NewEncoder(port)
	var programs []vmtest.Program
	text, err := os.ReadFile(filepath.Join(vmtest.Payload, "programs.json"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &programs); err != nil {
		return err
	}
	text, _ = os.ReadFile(bootFile)
	boot := len(text) + 1
	if err := os.WriteFile(bootFile, []byte(strings.Repeat("+", boot)), 0o600); err != nil {
		return err
	}
	// A unit that failed makes it degraded; what matters has a test of its own.
	_ = exec.Command("systemctl", "is-system-running", "--wait").Run()
	if err := report.Encode(vmtest.Message{Boot: boot, Kernel: firstLine("uname", "-r"), Systemd: firstLine("systemctl", "--version")}); err != nil {
		return err
	}
	last := 0
	for _, p := range programs {
		last = max(last, p.Boot)
		if p.Boot == boot {
			if err := runProgram(p, report); err != nil {
				return err
			}
		}
	}
	if boot < last {
		if err := report.Encode(vmtest.Message{Reboot: true}); err != nil {
			return err
		}
		return exec.Command("systemctl", "reboot").Run()
	}
	if err := report.Encode(vmtest.Message{Done: true}); err != nil {
		return err
	}
	return exec.Command("systemctl", "poweroff").Run()
}

// runProgram runs one program to its end. It errs only when it cannot report.
func runProgram(p vmtest.Program, report *json.Encoder) error {
	binary := filepath.Join(vmtest.Payload, "guest.test")
	cmd := exec.Command("runuser", "-u", p.User, "--", binary, "-test.v", "-test.count=1", "-test.timeout="+p.Limit, "-test.run="+p.Run)
	cmd.Dir = "/tmp"
	cmd.Env = append(os.Environ(), "LANG=C.UTF-8", "HOME=/tmp")
	out := &output{program: p.Name, report: report}
	cmd.Stdout, cmd.Stderr = out, out
	err := cmd.Run()
	if out.err != nil {
		return out.err
	}
	ended := vmtest.Message{Program: p.Name, Ended: true}
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		ended.Code = failed.ExitCode()
	} else if err != nil {
		ended.Code, ended.Output = -1, err.Error()+"\n"
	}
	return report.Encode(ended)
}

// output reports what a program prints.
type output struct {
	program string
	report  *json.Encoder
	err     error
}

// Write is called by one goroutine, since both streams are the same writer.
func (o *output) Write(p []byte) (int, error) {
	o.err = o.report.Encode(vmtest.Message{Program: o.program, Output: string(p)})
	return len(p), o.err
}

func firstLine(name string, args ...string) string {
	text, _ := exec.Command(name, args...).Output()
	line, _, _ := strings.Cut(string(text), "\n")
	return line
}
