package action

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/report"
	"github.com/spillway-exporter/spillway_exporter/internal/restart"
	"github.com/spillway-exporter/spillway_exporter/internal/units"
)

const (
	defaultReady = units.Duration(time.Minute)
	maxReady     = time.Hour
)

var (
	// unitForm is the full name of a unit that can be restarted (systemd.unit(5)).
	unitForm = regexp.MustCompile(`^[A-Za-z0-9:_.\\-]+(@[A-Za-z0-9:_.\\-]+)?\.(service|socket)$`)
	// containerForm is a name or an ID as Docker and Podman take them.
	containerForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,252}$`)
)

// unitKinds are the suffixes of units; a name without one is a service.
var unitKinds = []string{".service", ".socket", ".timer", ".target", ".path", ".mount", ".automount", ".slice", ".scope", ".swap", ".device"}

// RestartSettings are the keys of a step that restarts.
type RestartSettings struct {
	Via       string         `yaml:"via"`         // systemd, docker, podman, kubernetes or command; else by where the target's processes run
	Unit      string         `yaml:"unit"`        // systemd: the unit; else the one that the target matches
	Container string         `yaml:"container"`   // docker, podman: its name; else the container that the target's processes run in
	Socket    string         `yaml:"socket"`      // docker, podman: where the engine listens; else the socket of the system's engine
	Program   []string       `yaml:"command"`     // command: the program that restarts, absolute, and its arguments
	Env       []string       `yaml:"command_env"` // command: names of variables that are passed on
	Drain     Drain          `yaml:"drain"`       // how the service is asked to take no more work first
	Ready     units.Duration `yaml:"ready"`       // the longest wait until the service is well again
	Budget    restart.Budget `yaml:"budget"`      // restarts of this target that are allowed
}

// Least is how long the drain and the start after it may take together.
func (s *RestartSettings) Least() time.Duration {
	least := cmp.Or(s.Ready, defaultReady)
	if s.Drain.Post != "" {
		least += cmp.Or(s.Drain.Deadline, defaultDrain)
	}
	return least.Std()
}

// command returns the settings of the program that restarts.
func (s *RestartSettings) command() *CommandSettings {
	return &CommandSettings{Argv: s.Program, Env: s.Env}
}

// Command returns those settings, nil where no program restarts.
func (s *RestartSettings) Command() *CommandSettings {
	if s.via() != restart.ViaCommand {
		return nil
	}
	return s.command()
}

// via is what the keys say without a look at the target; "" when they leave it open.
func (s *RestartSettings) via() string {
	switch {
	case s.Via != "":
		return s.Via
	case s.Unit != "":
		return restart.ViaSystemd
	case len(s.Program) > 0:
		return restart.ViaCommand
	}
	return ""
}

// String implements Settings.
func (s *RestartSettings) String() string {
	switch s.via() {
	case restart.ViaCommand:
		return "restart via command " + shownArgv(s.Program)
	case "":
		return "restart"
	}
	return strings.TrimSpace("restart via " + s.via() + " " + s.unit() + s.Container)
}

func (s *RestartSettings) unit() string {
	if s.Unit == "" || slices.Contains(unitKinds, filepath.Ext(s.Unit)) {
		return s.Unit
	}
	return s.Unit + ".service"
}

// Validate implements Settings.
func (s *RestartSettings) Validate(report report.Func) {
	if s.Ready == 0 {
		s.Ready = defaultReady
	}
	if s.Ready.Std() < time.Second || s.Ready.Std() > maxReady {
		report("ready", "%s is out of range: write 1s to %s", s.Ready, units.Duration(maxReady))
	}
	s.Budget.Default(restart.DefaultTarget)
	s.Budget.Validate(report.Under("budget"))
	s.Drain.validate(report.Under("drain"))
	via := s.via()
	if via != "" && !slices.Contains(restart.Vias, via) {
		report("via", "%q restarts nothing: write systemd, docker, podman, kubernetes or command", via)
		return
	}
	engine := via == "" || via == restart.ViaDocker || via == restart.ViaPodman
	if s.Unit != "" && via != restart.ViaSystemd {
		report("unit", "is for via: systemd: remove the key")
	}
	if s.Unit != "" && !unitForm.MatchString(s.unit()) {
		report("unit", "%q is not the name of a service of systemd: write it as systemctl shows it, such as app.service", s.Unit)
	}
	if s.Container != "" && !engine {
		report("container", "is for docker and podman: write via: docker or via: podman")
	}
	if s.Container != "" && !containerForm.MatchString(s.Container) {
		report("container", "%q is not the name of a container: write it as the list of containers shows it", s.Container)
	}
	if s.Socket != "" && !engine {
		report("socket", "is for docker and podman: write via: docker or via: podman")
	}
	if s.Socket != "" && !filepath.IsAbs(s.Socket) {
		report("socket", "%q is not absolute: write the whole path", s.Socket)
	}
	switch {
	case via == restart.ViaCommand:
		c := s.command()
		c.Validate(func(key, format string, args ...any) { report(ownKey(key), format, args...) })
		s.Env = c.Env
	case len(s.Program) > 0:
		report("command", "is for via: command: remove the key")
	case len(s.Env) > 0:
		report("command_env", "is for via: command: remove the key")
	}
}

// ownKey returns the key of a step that restarts for one of a step that runs a command.
func ownKey(key string) string {
	if rest, ok := strings.CutPrefix(key, "argv"); ok {
		return "command" + rest
	}
	return "command_" + key
}

// Complete fills in what follows from how the target is matched: its unit, or that it is in a container or a pod.
// It returns the key that is missing where nothing follows, and what to write.
func (s *RestartSettings) Complete(unit string, contained bool) (key, missing string) {
	contained = contained || s.Container != "" || s.Socket != ""
	if s.via() == restart.ViaSystemd && s.Unit == "" || s.via() == "" && !contained {
		s.Unit = unit
	}
	switch {
	case s.via() == "" && !contained:
		return "via", "is missing: write systemd, docker, podman, kubernetes or command, since the target's conditions say neither a unit nor a container"
	case s.via() == restart.ViaSystemd && s.Unit == "":
		return "unit", "is missing, and the target's conditions name no unit: write it, such as app.service"
	}
	s.Unit = s.unit()
	return "", ""
}

// Spec says what is to be restarted, given where the target's processes are. The error is a *restart.Refusal.
func (s *RestartSettings) Spec(place *restart.Place) (restart.Spec, error) {
	out := restart.Spec{Via: s.via(), Unit: s.Unit, Container: s.Container, Socket: s.Socket, Owner: place.Owner}
	if out.Via == "" {
		switch {
		case place.Pod != "" && place.Namespace != "":
			out.Via = restart.ViaKubernetes
		case place.Engine == restart.ViaDocker, place.Engine == restart.ViaPodman:
			out.Via = place.Engine
		}
	}
	nothing := func(format string, args ...any) (restart.Spec, error) {
		return out, &restart.Refusal{Reason: restart.ReasonNotIts, Text: fmt.Sprintf(format, args...)}
	}
	switch out.Via {
	case "":
		return nothing("it is not known what restarts the target, since its processes are in no container that is known: write via in the step")
	case restart.ViaDocker, restart.ViaPodman:
		if out.Container == "" {
			out.Container = place.Container
		}
		switch {
		case out.Container == "":
			return nothing("the container is not known: the target has no processes, or in several containers; write container in the step")
		case place.UserOwned && out.Socket == "":
			return nothing("the container belongs to a user's own engine: write socket in the step")
		}
	case restart.ViaKubernetes:
		out.Pod, out.Namespace, out.PodUID = place.Pod, place.Namespace, place.PodUID
		if out.Pod == "" || out.Namespace == "" || place.UserOwned {
			return nothing("the pod is not known: the target has no processes, or in several pods")
		}
	}
	return out, nil
}

// commandManager restarts by a program, for managers such as pm2 and supervisor. It is run by the action command.
type commandManager struct{ r *restarting }

// State implements restart.Manager: what the exporter sees itself.
func (m *commandManager) State(context.Context) (restart.State, error) {
	id := m.r.Service.Instance()
	if id == "" {
		return restart.State{Phase: restart.Running, Text: "not seen"}, nil
	}
	return restart.State{Phase: restart.Running, Instance: id, Text: "running"}, nil
}

// Restart implements restart.Manager.
func (m *commandManager) Restart(ctx context.Context, _ restart.State) error {
	req := *m.r.req
	req.Settings = m.r.s.command()
	res, err := NewCommand(m.r.Logger).Run(ctx, req)
	if res.Output != "" {
		m.r.output = res.Output
	}
	switch {
	case err == nil:
		return nil
	case res.Outcome == Unknown:
		return errors.Join(restart.ErrUnseen, err)
	}
	return errors.Join(restart.ErrEnded, err)
}

// Check implements restart.Manager.
func (m *commandManager) Check(context.Context) error { return m.r.s.command().CheckOwners() }
