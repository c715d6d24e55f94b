package action

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	mostLinks        = 40  // symbolic links of one path, as the kernel follows them
	mostInterpreters = 5   // of a script whose interpreter is a script, as the kernel follows them
	maxFirstLine     = 256 // of a script, as the kernel reads it
)

// interpreters are programs that run what an argument names, with the letters of the options after which the
// program is the argument itself. Versions, as in python3.12, are left out.
var interpreters = map[string]string{
	"sh": "c", "bash": "c", "dash": "c", "ash": "c", "ksh": "c", "zsh": "c", "busybox": "c", "env": "", "node": "ep", "nodejs": "ep",
	"deno": "", "bun": "e", "java": "", "python": "cm", "pypy": "cm", "perl": "eE", "ruby": "e", "php": "r", "lua": "e", "luajit": "e",
	"tclsh": "", "dotnet": "",
}

// Interprets reports whether a program runs what its arguments name, as shells and runtimes do.
func Interprets(program string) bool {
	_, ok := interpreters[interpreterName(program)]
	return ok
}

func interpreterName(program string) string {
	return strings.TrimRight(filepath.Base(program), "0123456789.-")
}

// scriptOf returns the argument that an interpreter runs, "" where there is none that is an absolute path.
func scriptOf(argv []string) string {
	letters, ok := interpreters[interpreterName(argv[0])]
	if !ok {
		return ""
	}
	for _, arg := range argv[1:] {
		switch {
		case filepath.IsAbs(arg):
			return arg
		case arg == "--eval" || arg == "--print":
			return ""
		case strings.HasPrefix(arg, "-") && !strings.HasPrefix(arg, "--") && strings.ContainsAny(arg, letters):
			return ""
		}
	}
	return ""
}

// checkOwners says why a command is not safe to run: its program, the script that an interpreter is given, the
// interpreter of a script, or a folder on the way to one of them belongs to a user who is neither root nor that of
// this process, or can be written by its group or by all. Whoever can change one of these can run a program
// of his own with the rights of this process: cron and sudo refuse the same. The sticky bit does not help, since it
// does not protect a name that is free. lookup is the PATH that the command is given.
//
// Everything is looked at by descriptor, from the root down. So what was found good can be exchanged before the
// program is started only by root or the user of this process.
func checkOwners(argv []string, lookup string) error {
	if len(argv) == 0 {
		return nil
	}
	if err := checkChain(argv[0], lookup, mostInterpreters); err != nil {
		return err
	}
	script := scriptOf(argv)
	if script == "" {
		return nil
	}
	err := checkChain(script, lookup, mostInterpreters)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the interpreter will say so
	}
	return err
}

// checkChain checks a program and, when it is a script, its interpreters.
func checkChain(path, lookup string, depth int) error {
	fd, err := openOwned(path)
	if err != nil {
		return err
	}
	line, err := firstLine(fd)
	unix.Close(fd)
	script, ok := bytes.CutPrefix(line, []byte("#!"))
	if err != nil || !ok || depth == 0 { // one that may be run and not read is not a script; the kernel refuses one that is too deep
		return nil
	}
	words := strings.Fields(string(script))
	if len(words) == 0 || !filepath.IsAbs(words[0]) {
		return nil
	}
	if err := checkChain(words[0], lookup, depth-1); err != nil {
		return fmt.Errorf("the interpreter of %q: %w", path, err)
	}
	if name := envProgram(words); name != "" {
		if err := checkFound(name, lookup, depth-1); err != nil {
			return fmt.Errorf("the interpreter of %q: %w", path, err)
		}
	}
	return nil
}

// envProgram returns the name that env looks up in PATH for a script: "node" for "/usr/bin/env -S node".
func envProgram(words []string) string {
	if filepath.Base(words[0]) != "env" {
		return ""
	}
	for _, word := range words[1:] {
		if !strings.HasPrefix(word, "-") && !strings.Contains(word, "=") {
			return word
		}
	}
	return ""
}

// checkFound checks the program that a name is found as, and the folders in which it would be found first if
// another user put it there.
func checkFound(name, lookup string, depth int) error {
	if strings.Contains(name, "/") {
		return checkChain(name, lookup, depth)
	}
	for _, dir := range filepath.SplitList(lookup) {
		if !filepath.IsAbs(dir) {
			continue
		}
		switch err := checkChain(filepath.Join(dir, name), lookup, depth); {
		case err == nil:
			return nil
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	return nil // there is none, which env will say
}

// way is a path of which a part has been walked. Each folder that has been passed was looked at.
type way struct {
	fd    int    // where it has come to, open for looking only
	at    string // the path of that, without links
	rest  []string
	links int
}

// openOwned opens a file by its path, for looking only, when no one but root and the user of this process can
// change what stands under that path.
func openOwned(path string) (int, error) {
	w := way{fd: -1, rest: names(path)}
	err := w.top()
	for err == nil {
		if err = checkOwner(w.fd, w.at); err != nil {
			break
		}
		if len(w.rest) == 0 {
			return w.fd, nil
		}
		err = w.step()
	}
	if w.fd >= 0 {
		unix.Close(w.fd)
	}
	return -1, err
}

// top goes to the root.
func (w *way) top() error {
	fd, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("the root folder: %w", err)
	}
	if w.fd >= 0 {
		unix.Close(w.fd)
	}
	w.fd, w.at = fd, "/"
	return nil
}

// step goes to the next name, or stays and puts what a link says in its place.
func (w *way) step() error {
	at := filepath.Join(w.at, w.rest[0])
	next, err := unix.Openat(w.fd, w.rest[0], unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%q cannot be looked at: %w", at, err)
	}
	w.rest = w.rest[1:]
	target, isLink, err := readLink(next, at)
	if err == nil && !isLink {
		unix.Close(w.fd)
		w.fd, w.at = next, at
		return nil
	}
	unix.Close(next)
	if err != nil {
		return err
	}
	if w.links++; w.links > mostLinks {
		return fmt.Errorf("%q: %w", at, unix.ELOOP)
	}
	w.rest = append(names(target), w.rest...)
	if filepath.IsAbs(target) {
		return w.top()
	}
	return nil
}

func names(path string) []string {
	return slices.DeleteFunc(strings.Split(path, "/"), func(name string) bool { return name == "" || name == "." })
}

// readLink returns where a link leads. Its folder has been looked at: only who may write there can change it. The
// links of a procfs lead elsewhere than they say.
func readLink(fd int, at string) (target string, isLink bool, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return "", false, fmt.Errorf("%q: %w", at, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return "", false, nil
	}
	var on unix.Statfs_t
	if err := unix.Fstatfs(fd, &on); err != nil || on.Type == unix.PROC_SUPER_MAGIC {
		return "", true, fmt.Errorf("%q is a link of a procfs, which does not lead where it says: write the path of the program", at)
	}
	b := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", b)
	if err != nil {
		return "", true, fmt.Errorf("%q: %w", at, err)
	}
	return string(b[:n]), true, nil
}

// checkOwner says who else can change an open file or folder.
func checkOwner(fd int, at string) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("%q: %w", at, err)
	}
	what, move := "the program", ""
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		what, move = "a folder on the way to the program", ", or move the program to a folder that only root can write, such as /usr/local/bin"
	}
	switch writes := st.Mode & 0o022; {
	case st.Uid != 0 && int(st.Uid) != os.Geteuid():
		return fmt.Errorf("%q, %s, belongs to %s, who can put another program there: chown root %s%s", at, what, userName(st.Uid), at, move)
	case writes&0o002 != 0 && st.Mode&unix.S_ISVTX != 0:
		return fmt.Errorf("%q, %s, can be written by everyone on this host (mode %04o): move the program to a folder that only root can write, such as /usr/local/bin", at, what, st.Mode&0o7777)
	case writes&0o002 != 0:
		return fmt.Errorf("%q, %s, can be written by everyone on this host (mode %04o): chmod go-w %s%s", at, what, st.Mode&0o7777, at, move)
	case writes != 0:
		return fmt.Errorf("%q, %s, can be written by its group (mode %04o): chmod g-w %s%s", at, what, st.Mode&0o7777, at, move)
	}
	return nil
}

// userName returns the name of a user, with its number.
func userName(uid uint32) string {
	number := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(number); err == nil {
		return fmt.Sprintf("%s (uid %s)", u.Username, number)
	}
	return "uid " + number
}

// firstLine reads the first line of a file that is open for looking only.
func firstLine(fd int) ([]byte, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, err // a device or a pipe is not opened
	}
	f, err := os.Open("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head := make([]byte, maxFirstLine)
	n, _ := f.Read(head)
	line, _, _ := bytes.Cut(head[:n], []byte("\n"))
	return line, nil
}
