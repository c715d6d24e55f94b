package policy

import "bytes"

// In the root of a cache, a name with this end is the cache's own index, such as .cache-index.json, unless
// a glob of include has the mark.
const (
	indexSuffix = "index.json"
	indexMark   = "index"
)

// bookkeeping are names that programs use to keep their books among files that may go: without them a
// cache is read wrongly, or not at all. They are those of ccache (CACHEDIR.TAG, ccache.conf, stats), of
// Chromium (index, the-real-index), of pip, npm, Gradle and the hub of Hugging Face (locks), of web servers
// and of git.
var bookkeeping = map[string]bool{
	"CACHEDIR.TAG": true, "lock": true, "LOCK": true, "index": true, "the-real-index": true, "ccache.conf": true, "stats": true,
	".gitkeep": true, ".gitignore": true, ".gitattributes": true, ".keep": true, ".htaccess": true, ".htpasswd": true, ".nomedia": true,
}

// longestBook is the longest of bookkeeping.
const longestBook = len(".gitattributes")

// bookEnds are ends of such names: locks, and the playlists of HLS and DASH, which name the files of a stream.
var bookEnds = [][]byte{[]byte(".lock"), []byte(".m3u8"), []byte(".mpd")}

// bookBegin is what a file is called on NFS that was removed while a process has it open.
var bookBegin = []byte(".nfs")

// isBookkeeping reports whether programs use a name to keep their books.
func isBookkeeping(name []byte) bool {
	if len(name) <= longestBook && bookkeeping[string(name)] {
		return true
	}
	if bytes.HasPrefix(name, bookBegin) {
		return true
	}
	for _, end := range bookEnds {
		if bytes.HasSuffix(name, end) {
			return true
		}
	}
	return false
}

// indexNames and indexEnds are what an index or a database is often called: of LevelDB and RocksDB, of
// SQLite, of Chromium's block files and of others.
var (
	indexNames = map[string]bool{
		"CURRENT": true, "IDENTITY": true, "data_0": true, "data_1": true, "data_2": true, "data_3": true,
	}
	indexBegins = [][]byte{[]byte("MANIFEST-"), []byte("OPTIONS-")}
	indexEnds   = [][]byte{
		[]byte(".sqlite"), []byte(".sqlite3"), []byte(".db"), []byte(".db3"), []byte(".ldb"), []byte(".sst"), []byte(".mdb"), []byte(".rdb"),
		[]byte("-wal"), []byte("-shm"), []byte("-journal"), []byte(".idx"), []byte(indexSuffix),
	}
)

// LooksLikeIndex reports whether a file with this name may be the index of what lies next to it, or a
// database. It is for a warning only.
func LooksLikeIndex(name []byte) bool {
	if indexNames[string(name)] || isBookkeeping(name) {
		return true
	}
	for _, begin := range indexBegins {
		if bytes.HasPrefix(name, begin) {
			return true
		}
	}
	for _, end := range indexEnds {
		if bytes.HasSuffix(name, end) {
			return true
		}
	}
	return false
}
