package config

import "testing"

// TestSharedFolders: policies may share a folder when no name can be of both, and one may stand below
// another that is not recursive or excludes it.
func TestSharedFolders(t *testing.T) {
	cfg, err := Parse("f.yml", []byte(`
targets:
  - name: app
    temp_dirs:
      - {name: wav, dir: /srv/app/tmp, include: ['*.wav'], max_age: 1h}
      - {name: mp3, dir: /srv/app/tmp, include: ['*.mp3'], max_age: 2h}
      - {name: rest, dir: /srv/app/tmp, include: ['*'], keep: ['*.wav', '*.mp3', '*.log*'], exclude: [parts/], max_age: 3h}
      - {name: parts, dir: /srv/app/tmp/parts, include: ['*.part'], max_age: 1h}
      - {name: top, dir: /srv/app/top, include: ['*'], recursive: false, max_age: 1h}
      - {name: hidden, dir: /srv/app/top, include: ['.*'], recursive: false, max_age: 1h}
  - name: other
    caches: [{name: below, dir: /srv/app/top/cache, include: ['*'], max_entries: 1}]
    logs: [{name: log, dir: /srv/app/tmp, include: ['*.log'], max_bytes: 1MiB}]
`))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(cfg.Targets[0].TempDirs); n != 6 {
		t.Errorf("%d policies", n)
	}
}
