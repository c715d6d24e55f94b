package container

import "strings"

const (
	// random are the characters of the suffixes that Kubernetes makes up (k8s.io/apimachinery,
	// pkg/util/rand, String), and hashed those of the ten digits of a hash as SafeEncodeString there
	// writes them: each byte modulo the number of random ones.
	random = "bcdfghjklmnpqrstvwxz2456789"
	hashed = "456789bcdf"

	suffixLength = 5  // of a name that is made up (k8s.io/apiserver, pkg/storage/names)
	longestName  = 63 // of such a name; what it begins with is cut to make room
	shortestHash = 6
	longestHash  = 10
)

// Owner returns the name of what made a pod, as far as the pod's name says: without the hash of the
// ReplicaSet and the suffix that a Deployment's pod has anew with each start, without the suffix of a
// DaemonSet's or a Job's and the time of a CronJob's. The ordinal of a StatefulSet's stays: it is the
// same after a restart.
func Owner(pod string) string {
	name, ok := cutSuffix(pod, random, suffixLength, suffixLength)
	switch {
	case ok:
	case len(pod) == longestName && strings.Trim(pod[longestName-suffixLength:], random) == "":
		// What it began with was cut, with the hyphen that ended it.
		name = pod[:longestName-suffixLength]
		if short, ok := cutSuffix(name, hashed, 1, longestHash); ok {
			return short
		}
		return strings.TrimRight(name, "-")
	default:
		return pod
	}
	if owner, ok := cutSuffix(name, hashed, shortestHash, longestHash); ok {
		return owner
	}
	if owner, ok := cutSuffix(name, "0123456789", 8, 10); ok {
		return owner
	}
	return name
}

// cutSuffix cuts a hyphen and, behind it, low to high characters of an alphabet.
func cutSuffix(name, alphabet string, low, high int) (string, bool) {
	i := strings.LastIndexByte(name, '-')
	if i <= 0 || len(name)-i-1 < low || len(name)-i-1 > high || strings.Trim(name[i+1:], alphabet) != "" {
		return name, false
	}
	return name[:i], true
}
