package hostfs

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestReadFile: what is not a file is refused at once.
func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/file", []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("file", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(dir+"/pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(path, want, wantErr string) {
		t.Helper()
		raw, err := ReadFile(path, 3)
		if string(raw) != want || (err == nil) != (wantErr == "") || err != nil && !strings.HasSuffix(err.Error(), wantErr) {
			t.Errorf("%s: %q, %v, want %q, %q", path, raw, err, want, wantErr)
		}
	}
	f(dir+"/file", "1234", "") // one more than the limit
	f(dir+"/link", "1234", "")
	f(dir+"/pipe", "", "is a pipe, not a file")
	f(dir, "", "is a folder, not a file")
	f("/dev/zero", "", "is a device, not a file")
	f(dir+"/missing", "", "no such file or directory")
}

// TestUserID: names and numbers of users.
func TestUserID(t *testing.T) {
	f := func(name string, want uint32, wantErr string) {
		t.Helper()
		got, err := UserID(name)
		if got != want || (err == nil) != (wantErr == "") || err != nil && !strings.HasPrefix(err.Error(), wantErr) {
			t.Errorf("%q: %d, %v, want %d, %q", name, got, err, want, wantErr)
		}
	}
	f("root", 0, "")
	f("4294967294", 4294967294, "")
	f("4294967295", 0, `"4294967295" is not the number of a user: write one below 4294967295`)
	f("99999999999", 0, `"99999999999" is not the number of a user`)
	f("-1", 0, `no user "-1" on this host: write the name`)
	f("", 0, `no user "" on this host`)
}
