package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/vmtest"
)

// silence is how long a machine may say nothing, on its console or its port, while it boots.
const silence = 2 * time.Minute

// errSilent is a machine that says nothing: emulated boots hang now and then.
var errSilent = errors.New("the machine said nothing for two minutes")

// errEnded is an emulator that ended before the tests did.
var errEnded = errors.New("the machine ended before its tests did")

// machine is one virtual machine. The image is never written: what the machine writes goes to an
// overlay, which is new for each run and kept over a reboot.
type machine struct {
	image, payload, out string
}

// qemu returns the command. Without an acceleration that VM_ACCEL names the processor is emulated:
// a /dev/kvm that exists does not always work. A reboot ends the emulator.
func (m *machine) qemu(ctx context.Context, console, cmdline string, args ...string) *exec.Cmd {
	accel, cpu := "tcg,thread=multi", "max,la57=off"
	if a := os.Getenv("VM_ACCEL"); a != "" {
		accel, cpu = a, "host"
	}
	return command(ctx, "qemu-system-x86_64", append([]string{
		"-machine", "q35", "-accel", accel, "-cpu", cpu, "-smp", "2", "-m", "2048", "-no-reboot",
		"-nodefaults", "-no-user-config", "-display", "none", "-nic", "none", "-serial", console,
		"-kernel", filepath.Join(m.image, "vmlinuz"), "-initrd", filepath.Join(m.image, "initrd.img"),
		"-append", "root=/dev/vda rw console=ttyS0 nokaslr mitigations=off panic=10 net.ifnames=0 " + cmdline,
		"-drive", "if=virtio,format=qcow2,cache=unsafe,file=" + m.overlay(),
		"-drive", "if=virtio,format=raw,snapshot=on,file=" + m.payload,
		"-device", "virtio-rng-pci",
	}, args...)...)
}

func (m *machine) overlay() string { return filepath.Join(m.out, "overlay.qcow2") }

// reset makes the overlay anew.
func (m *machine) reset(ctx context.Context) error {
	disk, err := filepath.Abs(filepath.Join(m.image, "disk.img"))
	if err != nil {
		return err
	}
	return command(ctx, "qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", disk, m.overlay()).Run()
}

// shell gives the console to the terminal.
func (m *machine) shell(ctx context.Context) error {
	if err := m.reset(ctx); err != nil {
		return err
	}
	cmd := m.qemu(ctx, "mon:stdio", "")
	cmd.Stdin, cmd.Stdout = os.Stdin, os.Stdout
	return cmd.Run()
}

// test boots the machine until its tests are done, and returns what it reported, also with an error.
// A boot that is silent is started once more.
func (m *machine) test(ctx context.Context) (*results, error) {
	res := newResults(m.out)
	if err := m.reset(ctx); err != nil {
		return res, err
	}
	log, err := os.Create(filepath.Join(m.out, "console.txt"))
	if err != nil {
		return res, err
	}
	defer log.Close()
	for silent := 0; ; {
		done, err := m.boot(ctx, res, log)
		switch {
		case errors.Is(err, errSilent) && silent == 0:
			silent++
			fmt.Printf("vmtest: %v while it booted or went down: started once more\n", err)
		case done || err != nil:
			return res, err
		}
	}
}

// boot starts the machine and follows it to its end, or to a reboot.
func (m *machine) boot(ctx context.Context, res *results, log io.Writer) (done bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	socket := filepath.Join(m.out, "port")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return false, fmt.Errorf("%w (another run, or remove the file)", err)
	}
	defer listener.Close()
	// A getty would cut off other writers of the console.
	cmd := m.qemu(ctx, "stdio", "vmtest loglevel=4 systemd.mask=serial-getty@ttyS0.service",
		"-device", "virtio-serial-pci", "-chardev", "socket,id=port,path="+socket, "-device", "virtserialport,chardev=port,name=vmtest")
	cmd.WaitDelay = 5 * time.Second
	heard := make(notifier, 1)
	cmd.Stdout = io.MultiWriter(log, heard)
	if err := cmd.Start(); err != nil {
		return false, err
	}
	messages := make(chan vmtest.Message)
	go receive(ctx, listener, messages)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	done, err = m.follow(ctx, res, messages, heard, ended)
	if done || errors.Is(err, errSilent) || ctx.Err() != nil {
		cancel()
		fmt.Fprintln(log, "vmtest: the emulator was stopped:", <-ended)
	}
	return done, err
}

// follow takes messages until the last one, or until the machine went down to be started again.
func (m *machine) follow(ctx context.Context, res *results, messages <-chan vmtest.Message, heard <-chan struct{}, ended <-chan error) (done bool, err error) {
	quiet := time.NewTimer(silence)
	defer quiet.Stop()
	up, down := false, false
	for {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-heard:
			if !up {
				quiet.Reset(silence)
			}
		case msg := <-messages:
			// Once it is up the time limit of the tests holds: a test may be silent.
			up, down = !msg.Reboot, msg.Reboot
			quiet.Stop()
			if down {
				quiet.Reset(silence)
			}
			if msg.Done {
				return true, nil
			}
			if err := res.take(msg); err != nil {
				return false, err
			}
		case <-quiet.C:
			return false, errSilent
		case err := <-ended:
			if down {
				return false, nil
			}
			return false, errors.Join(fmt.Errorf("%w: see %s", errEnded, filepath.Join(m.out, "console.txt")), err)
		}
	}
}

func receive(ctx context.Context, l net.Listener, messages chan<- vmtest.Message) {
	conn, err := l.Accept()
	if err != nil {
		return
	}
	defer conn.Close()
	lines := bufio.NewReader(conn)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var msg vmtest.Message
		if json.Unmarshal(line, &msg) != nil {
			continue // the rest of a line that a reset cut off
		}
		select {
		case messages <- msg:
		case <-ctx.Done():
			return
		}
	}
}

// notifier reports that something was written.
type notifier chan struct{}

func (n notifier) Write(p []byte) (int, error) {
	select {
	case n <- struct{}{}:
	default:
	}
	return len(p), nil
}
